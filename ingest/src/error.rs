//! Why the gateway refuses a whole request. Receipts say what is wrong with single events.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use infra::http::Problem;

/// Each variant says its status. A sender repeats after 429 and 503 only, with the same event ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// 401
    #[error(
        "send `Authorization: Bearer <key>` with a key of a registered application (`ingest keys new APP` makes one)"
    )]
    NoKey,
    /// 401
    #[error("the key is unknown or has expired; ask the operator of The Eye for a new one")]
    UnknownKey,
    /// 401
    #[error("`?key=` takes browser keys only; send this one as `Authorization: Bearer <key>`")]
    KeyInUrl,
    /// 403
    #[error("the application may not send from this address; its registry entry lists `networks`")]
    Network,
    /// 403
    #[error(
        "the application may not send from pages of this origin; add it to `origins` in its registry entry"
    )]
    Origin,
    /// 413
    #[error("the body has more than {0} bytes, as sent or inflated; send fewer events in a request")]
    BodyTooLarge(usize),
    /// 413
    #[error("the body has more than {0} events; send fewer in a request")]
    TooManyEvents(usize),
    /// 415
    #[error("Content-Type must be application/json, application/x-ndjson or text/plain")]
    MediaType,
    /// 415
    #[error("Content-Encoding must be gzip, zstd, br or deflate, or left out")]
    Encoding,
    /// 400
    #[error("the body is not what Content-Encoding says: {0}")]
    Inflate(String),
    /// 400
    #[error("the body has no event; send one, an array of them, or one in each line as application/x-ndjson")]
    NoEvents,
    /// 400
    #[error("the body ended before it was complete")]
    Incomplete,
    /// 400
    #[error("there is no parameter `{0}`; the only one is `key`, for a sender that can't set a header")]
    UnknownParameter(String),
    /// 408
    #[error("the body did not arrive within {0} s")]
    BodyTooSlow(u64),
    /// 429
    #[error("the application is over its rate; send again in {0} s, with the same event ids")]
    Rate(u64),
    /// 413
    #[error("{0} events at once are more than the burst of the application, {1}; send fewer in a request")]
    Burst(usize, u32),
    /// 503
    #[error("there is no room for more events; send again in {0} s, with the same event ids")]
    Full(u64),
    /// 503
    #[error(
        "the brokers did not acknowledge in time: the events may or may not be in the log. Send again in {0} s with the same event ids; then they count once"
    )]
    Slow(u64),
    /// 503
    #[error("the brokers refused the events ({1}); send again in {0} s, with the same event ids")]
    Refused(u64, String),
}

impl Error {
    pub(crate) fn problem(&self) -> Problem {
        use StatusCode as S;
        let (status, code) = match self {
            Self::NoKey => (S::UNAUTHORIZED, "missing_key"),
            Self::UnknownKey => (S::UNAUTHORIZED, "unknown_key"),
            Self::KeyInUrl => (S::UNAUTHORIZED, "key_in_url"),
            Self::Network => (S::FORBIDDEN, "network_not_allowed"),
            Self::Origin => (S::FORBIDDEN, "origin_not_allowed"),
            Self::BodyTooLarge(_) => (S::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::TooManyEvents(..) => (S::PAYLOAD_TOO_LARGE, "too_many_events"),
            Self::Burst(..) => (S::PAYLOAD_TOO_LARGE, "over_burst"),
            Self::MediaType => (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::Encoding => (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding"),
            Self::Inflate(_) => (S::BAD_REQUEST, "bad_encoding"),
            Self::NoEvents => (S::BAD_REQUEST, "no_events"),
            Self::Incomplete => (S::BAD_REQUEST, "incomplete_body"),
            Self::UnknownParameter(_) => (S::BAD_REQUEST, "invalid_parameter"),
            Self::BodyTooSlow(_) => (S::REQUEST_TIMEOUT, "body_too_slow"),
            Self::Rate(_) => (S::TOO_MANY_REQUESTS, "rate_limited"),
            Self::Full(_) => (S::SERVICE_UNAVAILABLE, "queue_full"),
            Self::Slow(_) => (S::SERVICE_UNAVAILABLE, "brokers_slow"),
            Self::Refused(..) => (S::SERVICE_UNAVAILABLE, "brokers_refused"),
        };
        let problem = Problem::new(status, code, self.to_string());
        match self {
            Self::Rate(seconds) | Self::Full(seconds) | Self::Slow(seconds) | Self::Refused(seconds, _) => {
                problem.retry_after(*seconds)
            }
            Self::MediaType => problem.field("Content-Type"),
            Self::Encoding | Self::Inflate(_) => problem.field("Content-Encoding"),
            Self::NoKey | Self::UnknownKey => problem.field("Authorization"),
            Self::KeyInUrl => problem.field("key"),
            Self::UnknownParameter(name) => problem.field(name),
            Self::Origin => problem.field("Origin"),
            _ => problem,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.problem().into_response()
    }
}
