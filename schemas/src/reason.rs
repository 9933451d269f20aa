//! The reasons for which a record is rejected.

use std::borrow::Cow;
use std::fmt::{self, Write};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many reasons a judgement keeps; `reasons_total` tells how many there were.
pub const MAX_REASONS: usize = 16;

/// One fault of a rejected record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    pub code: ReasonCode,
    /// JSON pointer to the fault from the root of the event, such as `/timestamp` or
    /// `/data/host`; empty for the record as a whole. At most 255 characters.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub pointer: Cow<'static, str>,
    /// For `data_invalid`: the keyword of JSON Schema that failed, or `uniqueKeys` for a key that an
    /// object repeats. Otherwise empty.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub keyword: Cow<'static, str>,
    /// A sentence for the sender's developer. At most 300 characters, none of them a control
    /// character; never quotes a value of `data`.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub message: Cow<'static, str>,
}

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// The record has no value, or one of no bytes.
    EmptyRecord,
    /// The record is larger than the judge's limit; it was not read.
    RecordTooLarge,
    /// Not one JSON text in UTF-8, nested too deep, or with a number or an escape that no
    /// double or UTF-8 can hold.
    InvalidJson,
    /// JSON, but not an object.
    NotAnObject,
    /// A required field is absent.
    MissingField,
    /// A field has the wrong type or form, or occurs twice.
    InvalidField,
    /// `timestamp` lies further ahead of the time of receipt than the tolerance allows.
    FutureTimestamp,
    /// A time before 1900 or after 2299.
    TimestampOutOfRange,
    /// No event type is declared for this category and name.
    UnknownEventType,
    /// `data` does not fit the schema of its event type.
    DataInvalid,
    /// The record names no application, or one that is not registered.
    UnknownApplication,
    /// The record asks to erase something, and is not signed by who may.
    UnsignedErasure,
}

impl ReasonCode {
    pub const ALL: [Self; 12] = [
        Self::EmptyRecord,
        Self::RecordTooLarge,
        Self::InvalidJson,
        Self::NotAnObject,
        Self::MissingField,
        Self::InvalidField,
        Self::FutureTimestamp,
        Self::TimestampOutOfRange,
        Self::UnknownEventType,
        Self::DataInvalid,
        Self::UnknownApplication,
        Self::UnsignedErasure,
    ];

    /// The name used in tables, metrics and answers, the same as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmptyRecord => "empty_record",
            Self::RecordTooLarge => "record_too_large",
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::MissingField => "missing_field",
            Self::InvalidField => "invalid_field",
            Self::FutureTimestamp => "future_timestamp",
            Self::TimestampOutOfRange => "timestamp_out_of_range",
            Self::UnknownEventType => "unknown_event_type",
            Self::DataInvalid => "data_invalid",
            Self::UnknownApplication => "unknown_application",
            Self::UnsignedErasure => "unsigned_erasure",
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Collects the faults of one record: keeps the first [`MAX_REASONS`], counts all.
#[derive(Debug, Default)]
pub(crate) struct Reasons {
    kept: Vec<Reason>,
    total: usize,
}

impl Reasons {
    pub(crate) fn add(&mut self, code: ReasonCode, pointer: &'static str, message: fmt::Arguments<'_>) {
        if self.count() {
            self.kept.push(Reason {
                code,
                pointer: pointer.into(),
                keyword: "".into(),
                message: text(message),
            });
        }
    }

    /// `pointer` is relative to `data`.
    pub(crate) fn add_data(&mut self, pointer: &dyn fmt::Display, keyword: &str, message: &dyn fmt::Display) {
        if self.count() {
            self.kept.push(Reason {
                code: ReasonCode::DataInvalid,
                pointer: bounded(format_args!("/data{pointer}"), MAX_POINTER_CHARS).into(),
                keyword: bounded(format_args!("{keyword}"), MAX_POINTER_CHARS).into(),
                message: text(format_args!("{message}")),
            });
        }
    }

    /// Counts one fault; whether it is to be kept.
    fn count(&mut self) -> bool {
        self.total += 1;
        self.kept.len() < MAX_REASONS
    }

    /// The kept reasons, and how many there were (at most `u16::MAX`).
    pub(crate) fn finish(self) -> (Vec<Reason>, u16) {
        (self.kept, u16::try_from(self.total).unwrap_or(u16::MAX))
    }
}

const MAX_POINTER_CHARS: usize = 255;
const MAX_MESSAGE_CHARS: usize = 300;

fn text(message: fmt::Arguments<'_>) -> Cow<'static, str> {
    match message.as_str() {
        Some(constant) => constant.into(),
        None => bounded(message, MAX_MESSAGE_CHARS).into(),
    }
}

/// Formats at most `limit` characters, the last of them `…` if more were to come, with each
/// control character (NUL among them) as U+FFFD. Formatting stops there: a message about a huge
/// value costs no more than a message.
pub(crate) fn bounded(message: fmt::Arguments<'_>, limit: usize) -> String {
    struct Bounded {
        text: String,
        left: usize,
    }
    impl Write for Bounded {
        fn write_str(&mut self, piece: &str) -> fmt::Result {
            for character in piece.chars() {
                if self.left == 0 {
                    self.text.pop();
                    self.text.push('…');
                    return Err(fmt::Error);
                }
                self.left -= 1;
                self.text.push(if character.is_control() { char::REPLACEMENT_CHARACTER } else { character });
            }
            Ok(())
        }
    }
    let mut bounded = Bounded { text: String::new(), left: limit };
    // The error only says that the limit was reached.
    let _ = bounded.write_fmt(message);
    bounded.text
}
