//! What can go wrong with a question, and what its asker is told.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use infra::http::Problem;
use tables::derived::NO_NUMBER;

/// The fate of a question that has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 400: a parameter that does not exist, or a value that is not understood.
    #[error("{detail}")]
    Parameter { field: String, detail: String },
    /// 404: not in the part of the log that was read.
    #[error("{0}")]
    NotFound(String),
    /// 401: no key, or an unknown one.
    #[error("a reader's key is needed")]
    Unauthorized,
    /// 429: this key asked too often; seconds to wait.
    #[error("this key asks too often")]
    TooMany(u64),
    /// 408: the body of a question did not arrive in time.
    #[error("the body came too slowly")]
    BodyTooSlow,
    /// 503: no room for another question now.
    #[error("too many questions are under way")]
    Busy,
    /// 422: the question exceeds its limit of time, memory or result.
    #[error("the question is too large: {0}")]
    TooLarge(&'static str),
    /// 503: an event has a feature without a number. A question that adds nothing meets none.
    #[error("a feature has no number yet")]
    Unnumbered,
    /// 503: there are no tables yet.
    #[error("there are no tables to read yet")]
    NotReady,
    /// 503: ClickHouse does not answer. 500: its answer is of no use.
    #[error("ClickHouse could not answer")]
    Database(#[source] clickhouse::error::Error),
    /// 500: a statement of ours has a fault.
    #[error("a statement could not be put together")]
    Statement(#[from] minijinja::Error),
}

impl Error {
    pub(crate) fn parameter(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Parameter { field: field.into(), detail: detail.into() }
    }

    pub(crate) fn unreadable_body(error: impl std::fmt::Display) -> Self {
        Self::parameter("body", format!("the body can't be read: {error}"))
    }

    fn problem(&self) -> Problem {
        match self {
            Self::Parameter { field, detail } => {
                Problem::new(StatusCode::BAD_REQUEST, "invalid_parameter", detail).field(field)
            }
            Self::NotFound(detail) => Problem::new(StatusCode::NOT_FOUND, "not_found", detail),
            Self::Unauthorized => Problem::new(
                StatusCode::UNAUTHORIZED,
                "unknown_key",
                "send `Authorization: Bearer KEY` with the key of a reader",
            ),
            Self::TooMany(seconds) => Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                format!("this key asks too often: wait {seconds} s, or ask the operator for a higher rate"),
            )
            .retry_after(*seconds),
            Self::BodyTooSlow => Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_too_slow",
                "the body did not come in within 10 s: send it again as a whole",
            ),
            Self::Busy => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "too many questions are under way: try again in a second",
            )
            .retry_after(1),
            Self::TooLarge(what) => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "too_large",
                format!(
                    "the question needs more than its limit of {what}: narrow it by `from` and `to`, by `app` or \
                     `category`, or ask for shorter paths or fewer rows"
                ),
            ),
            Self::Unnumbered => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "a feature was used for the first time a moment ago: try again in a second",
            )
            .retry_after(1),
            Self::NotReady => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "not_ready",
                "there are no tables to read yet: start ClickHouse if it is down, else run `projector migrate` and \
                 the projector",
            )
            .retry_after(2),
            Self::Database(clickhouse::error::Error::Network(_) | clickhouse::error::Error::TimedOut) => {
                Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "database_unreachable",
                    "ClickHouse does not answer: try again in a few seconds",
                )
                .retry_after(2)
            }
            Self::Database(_) | Self::Statement(_) => Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "database",
                "the question could not be answered; the log of query-api says why",
            ),
        }
    }
}

impl From<clickhouse::error::Error> for Error {
    fn from(error: clickhouse::error::Error) -> Self {
        match infra::database::exception_code(&error) {
            Some(159 | 160) => Self::TooLarge("time"),
            Some(241) => Self::TooLarge("memory"),
            Some(396) => Self::TooLarge("result"),
            Some(202) => Self::Busy,
            Some(60 | 81) => Self::NotReady,
            Some(395) if error.to_string().contains(NO_NUMBER) => Self::Unnumbered,
            _ => Self::Database(error),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match &self {
            Self::Database(_) | Self::Statement(_) => {
                tracing::error!(error = std::error::Error::source(&self), "question failed")
            }
            Self::NotReady | Self::Busy | Self::Unnumbered => tracing::warn!("{self}"),
            _ => tracing::debug!("{self}"),
        }
        self.problem().into_response()
    }
}
