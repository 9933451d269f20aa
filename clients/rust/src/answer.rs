//! What an answer of the gateway settles.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// What became of one event of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Delivered,
    /// For good, with the gateway's code.
    Refused(String),
    Again,
}

/// Statuses that say nothing about the events, beside every 5xx: a key that is registered, or an address
/// that is repaired, a minute late costs nothing.
const RETRYABLE_STATUS: [u16; 6] = [401, 403, 404, 408, 425, 429];
/// Errors in a receipt that say nothing about the event itself.
const RETRYABLE_EVENT: [&str; 3] = ["queue_full", "brokers_slow", "brokers_refused"];

/// The fates of the `count` events of a request.
pub(crate) fn fates(status: u16, body: &[u8], count: usize) -> Vec<Fate> {
    #[derive(Deserialize)]
    struct Body {
        receipts: Vec<Receipt>,
    }
    #[derive(Deserialize)]
    struct Receipt {
        error: Option<Error>,
    }
    #[derive(Deserialize)]
    struct Error {
        code: String,
    }

    if let (202 | 400, Ok(Body { receipts })) = (status, serde_json::from_slice(body))
        && receipts.len() == count
    {
        let fate = |receipt: Receipt| match receipt.error {
            None => Fate::Delivered,
            Some(Error { code }) if RETRYABLE_EVENT.contains(&code.as_str()) => Fate::Again,
            Some(Error { code }) => Fate::Refused(code),
        };
        return receipts.into_iter().map(fate).collect();
    }
    let fate = match status {
        413 => Fate::Refused("too_large".into()),
        400..500 if !RETRYABLE_STATUS.contains(&status) => Fate::Refused(format!("http_{status}")),
        _ => Fate::Again,
    };
    vec![fate; count]
}

/// How long the gateway asks to wait: a number of seconds or a date (RFC 9110, 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    const MAX: Duration = Duration::from_secs(300);
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = OffsetDateTime::parse(value, &Rfc2822).ok()?;
            (date - OffsetDateTime::now_utc()).try_into().unwrap_or_default()
        }
    };
    Some(wait.min(MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(value: &str) -> Option<Duration> {
        retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]))
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("99999"), Some(Duration::from_secs(300)));
        assert_eq!(wait("Fri, 01 Jan 2021 09:15:27 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("Thu, 01 Jan 2099 09:15:27 GMT"), Some(Duration::from_secs(300)));
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn only_receipts_settle_events() {
        let delivered = br#"{"receipts":[{"event_id":"x","partition":0,"offset":1}]}"#;
        assert_eq!(fates(202, delivered, 1), [Fate::Delivered]);
        assert_eq!(fates(202, delivered, 2), [Fate::Again, Fate::Again]);
        assert_eq!(fates(202, b"thanks", 1), [Fate::Again]);
        assert_eq!(fates(200, delivered, 1), [Fate::Again]);
        assert_eq!(fates(503, b"", 1), [Fate::Again]);
        assert_eq!(fates(401, b"", 1), [Fate::Again]);
        assert_eq!(fates(415, b"", 1), [Fate::Refused("http_415".into())]);
        assert_eq!(
            fates(400, br#"{"receipts":[{"error":{"code":"invalid_json"}}]}"#, 1),
            [Fate::Refused("invalid_json".into())]
        );
        assert_eq!(fates(202, br#"{"receipts":[{"error":{"code":"brokers_slow"}}]}"#, 1), [Fate::Again]);
    }
}
