//! The fates of events, by the answer of the gateway.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// The fate of one event of a request.
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
///
/// Only what a gateway names is refused for good: an answer without a code is that of some other server on
/// the way, and says nothing about the events. But for a 413: what is too large for that one never arrives.
pub(crate) fn fates(status: u16, body: &[u8], count: usize) -> Vec<Fate> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Body {
        receipts: Vec<Receipt>,
        code: Option<String>,
    }
    #[derive(Deserialize)]
    struct Receipt {
        error: Option<Error>,
    }
    #[derive(Deserialize)]
    struct Error {
        code: String,
    }

    let Body { receipts, code } = serde_json::from_slice(body).unwrap_or_default();
    if matches!(status, 202 | 400) && receipts.len() == count {
        let fate = |receipt: Receipt| match receipt.error {
            None => Fate::Delivered,
            Some(Error { code }) if RETRYABLE_EVENT.contains(&code.as_str()) => Fate::Again,
            Some(Error { code }) => Fate::Refused(code),
        };
        return receipts.into_iter().map(fate).collect();
    }
    let fate = match status {
        413 => Fate::Refused("too_large".into()),
        400..500 if !RETRYABLE_STATUS.contains(&status) => code.map_or(Fate::Again, Fate::Refused),
        _ => Fate::Again,
    };
    vec![fate; count]
}

/// How long the gateway asks to wait: a number of seconds or a date (RFC 9110, 10.2.3). Whatever else the
/// header holds asks for nothing.
pub(crate) fn retry_after(headers: &HeaderMap) -> Duration {
    const MAX: Duration = Duration::from_secs(300);
    let value = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wait = if value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        // Hundreds of digits are infinite, and no Duration.
        value.parse().map_or(Duration::ZERO, |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(MAX))
    } else {
        OffsetDateTime::parse(value, &Rfc2822)
            .ok()
            .and_then(|date| (date - OffsetDateTime::now_utc()).try_into().ok())
            .unwrap_or_default()
    };
    wait.min(MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wait = |value: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]));
        let (none, most) = (Duration::ZERO, Duration::from_secs(300));
        assert_eq!(wait("7"), Duration::from_secs(7));
        assert_eq!(wait("1.5"), Duration::from_millis(1500));
        for value in ["99999", &"9".repeat(400), "Thu, 01 Jan 2099 09:15:27 GMT"] {
            assert_eq!(wait(value), most, "{value}");
        }
        for value in ["0", "-1", "", ".", "nan", "soon", "Fri, 01 Jan 2021 09:15:27 GMT", "\u{e9}"] {
            assert_eq!(wait(value), none, "{value}");
        }
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
        assert_eq!(
            fates(415, br#"{"code":"unsupported_media_type"}"#, 1),
            [Fate::Refused("unsupported_media_type".into())]
        );
        assert_eq!(fates(405, b"<html>a proxy says no</html>", 1), [Fate::Again]);
        assert_eq!(fates(400, b"", 1), [Fate::Again]);
        assert_eq!(
            fates(400, br#"{"receipts":[{"error":{"code":"invalid_json"}}]}"#, 1),
            [Fate::Refused("invalid_json".into())]
        );
        assert_eq!(fates(202, br#"{"receipts":[{"error":{"code":"brokers_slow"}}]}"#, 1), [Fate::Again]);
    }
}
