//! The envelope of an event, as a Rust type and as a JSON Schema.

use std::borrow::Cow;

use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::Reason;

/// An event as an application sends it.
///
/// Fields that are not listed are allowed; they stay in the log and mean nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// The session, made by the application; applications may share one.
    pub session_id: Uuid,
    /// With `name`, the event type.
    #[schemars(length(min = 1, max = 255))]
    pub category: Cow<'static, str>,
    #[schemars(length(min = 1, max = 255))]
    pub name: Cow<'static, str>,
    /// What the schema of the event type asks for.
    pub data: Map<String, Value>,
    /// When it happened: `2021-01-01 09:15:27.243860` (no zone: UTC) or RFC 3339, kept to the
    /// microsecond; from 1900 to 2299, and not in the future.
    #[schemars(regex(pattern = TIME))]
    pub timestamp: String,
    /// The idempotency key of a retry: of events with the same id only the first counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<Uuid>,
    /// The sender's clock when it sent the event, in the form of `timestamp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = TIME))]
    pub sent_at: Option<String>,
}

const TIME: &str = r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})?$";

/// The JSON Schemas that are derived from Rust types: file name in `schemas/generated/`, and text.
pub fn generated() -> [(&'static str, String); 2] {
    [
        ("event.schema.json", format!("{:#}\n", schema_for!(Event).to_value())),
        ("reason.schema.json", format!("{:#}\n", schema_for!(Reason).to_value())),
    ]
}
