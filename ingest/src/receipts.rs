//! The answer to each event, in input order: its place in the log, or what is wrong with it.

use bytes::Bytes;
use schemas::personal::Unmaskable;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::append::{Failure, Place};

/// One event's answer.
pub(crate) enum Receipt {
    Appended(Uuid, Place),
    Fault(Fault),
}

/// Why one event is not in the log. It does not harm its neighbours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// `invalid_json`, `not_an_object`, `missing_session_id`, `event_too_large`: send it corrected.
    /// `undeclared_event_type`: declare its type to the gateways first, then send it again.
    /// `queue_full`, `brokers_slow`, `brokers_refused`: send it again with the same `event_id`.
    #[schema(value_type = String)]
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    /// The id that counts if the event is sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<Uuid>,
}

impl Fault {
    fn new(code: &'static str, message: impl Into<String>, field: Option<&'static str>) -> Self {
        Self { code, message: message.into(), field, event_id: None }
    }

    pub(crate) fn syntax(fault: &crate::json::Fault) -> Self {
        Self::new("invalid_json", format!("not JSON at byte {}: {}", fault.at, fault.why), None)
    }

    pub(crate) fn unmaskable(why: &Unmaskable) -> Self {
        let code = match why {
            Unmaskable::Unreadable(_) => "invalid_json",
            Unmaskable::Undeclared { .. } => "undeclared_event_type",
        };
        Self::new(code, why.to_string(), None)
    }

    pub(crate) fn not_utf8() -> Self {
        Self::new("invalid_json", "the event is not UTF-8", None)
    }

    pub(crate) fn not_an_object() -> Self {
        Self::new("not_an_object", "an event is a JSON object", None)
    }

    pub(crate) fn no_session() -> Self {
        let message = "session_id is missing or not a text: give the UUID of the session";
        Self::new("missing_session_id", message, Some("session_id"))
    }

    pub(crate) fn too_large(bytes: usize, limit: usize) -> Self {
        Self::new("event_too_large", format!("the event has {bytes} bytes, {limit} is the most"), None)
    }

    pub(crate) fn failed(failure: Failure, event_id: Uuid) -> Self {
        let (code, message) = match failure {
            Failure::Full => ("queue_full", "there was no room; send it again with the same event_id".into()),
            Failure::Slow => {
                ("brokers_slow", "not acknowledged in time; send it again with the same event_id".into())
            }
            Failure::TooLarge => ("event_too_large", "the brokers take no record of its size".into()),
            Failure::Refused(code) => ("brokers_refused", format!("the brokers refused it: {code:?}")),
        };
        Self { event_id: Some(event_id), ..Self::new(code, message, None) }
    }
}

/// The body of an answer. Written by hand, because it is most of what we write for a request.
pub(crate) struct Receipts;

impl Receipts {
    pub(crate) fn write(receipts: impl Iterator<Item = Receipt>) -> Bytes {
        let mut body = Vec::with_capacity(96 * receipts.size_hint().0.max(1) + 16);
        body.extend_from_slice(b"{\"receipts\":[");
        let mut number = itoa::Buffer::new();
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        for (index, receipt) in receipts.enumerate() {
            if index > 0 {
                body.push(b',');
            }
            match receipt {
                Receipt::Appended(event_id, place) => {
                    body.extend_from_slice(b"{\"event_id\":\"");
                    body.extend_from_slice(event_id.hyphenated().encode_lower(&mut id).as_bytes());
                    body.extend_from_slice(b"\",\"partition\":");
                    body.extend_from_slice(number.format(place.partition).as_bytes());
                    body.extend_from_slice(b",\"offset\":");
                    body.extend_from_slice(number.format(place.offset).as_bytes());
                    body.push(b'}');
                }
                Receipt::Fault(fault) => {
                    body.extend_from_slice(b"{\"error\":");
                    // Writing strings and an id into a Vec can't fail.
                    let _ = serde_json::to_writer(&mut body, &fault);
                    body.push(b'}');
                }
            }
        }
        body.extend_from_slice(b"]}");
        body.into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn receipts_and_errors_in_order() {
        let receipts = [
            Receipt::Appended(Uuid::nil(), Place { partition: 3, offset: 12 }),
            Receipt::Fault(Fault::no_session()),
            Receipt::Fault(Fault::failed(Failure::Slow, Uuid::nil())),
        ];
        let body: serde_json::Value = serde_json::from_slice(&Receipts::write(receipts.into_iter())).unwrap();
        let nil = Uuid::nil().to_string();
        assert_eq!(body["receipts"][0], serde_json::json!({"event_id": nil, "partition": 3, "offset": 12}));
        assert_eq!(body["receipts"][1]["error"]["field"], "session_id");
        assert_eq!(body["receipts"][2]["error"]["event_id"], nil);
        assert_eq!(&*Receipts::write(std::iter::empty()), b"{\"receipts\":[]}");
    }
}
