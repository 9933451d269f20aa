//! The fields of an event's object: found, and read one by one.

use std::borrow::Cow;

use uuid::Uuid;

use crate::json::{Kind, Value};
use crate::reason::ReasonCode::*;
use crate::reason::Reasons;
use crate::timestamp::{self, TimeError};

/// The fields of an event; others are allowed and not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    SessionId,
    Category,
    Name,
    Data,
    Timestamp,
    EventId,
    SentAt,
}

/// The event's value of each [`Field`].
#[derive(Debug, Default)]
pub(super) struct Fields<'a, 'd> {
    values: [Option<Value<'a, 'd>>; 7],
}

impl Field {
    fn of_key(key: &str) -> Option<Self> {
        Some(match key {
            "session_id" => Self::SessionId,
            "category" => Self::Category,
            "name" => Self::Name,
            "data" => Self::Data,
            "timestamp" => Self::Timestamp,
            "event_id" => Self::EventId,
            "sent_at" => Self::SentAt,
            _ => return None,
        })
    }

    fn pointer(self) -> &'static str {
        match self {
            Self::SessionId => "/session_id",
            Self::Category => "/category",
            Self::Name => "/name",
            Self::Data => "/data",
            Self::Timestamp => "/timestamp",
            Self::EventId => "/event_id",
            Self::SentAt => "/sent_at",
        }
    }
}

impl<'a, 'd> Fields<'a, 'd> {
    /// A field that occurs twice is a fault: readers of the log would disagree on it. The first one
    /// is judged.
    pub(super) fn read(event: Value<'a, 'd>, reasons: &mut Reasons) -> Option<Self> {
        if event.kind() != Kind::Object {
            reasons.add(NotAnObject, "", format_args!("an event is a JSON object"));
            return None;
        }
        let mut fields = Self::default();
        for (key, value) in event.members() {
            let Some(field) = key.as_str().and_then(|key| Field::of_key(&key)) else { continue };
            let Some(slot) = fields.values.get_mut(field as usize) else { continue };
            if slot.is_some() {
                reasons.add(InvalidField, field.pointer(), format_args!("the field occurs more than once"));
            } else {
                *slot = Some(value);
            }
        }
        Some(fields)
    }

    /// The session and, if that is none, the text that stands in its place. A UUID between blanks is rejected, and is
    /// of its session all the same.
    pub(super) fn session_id(&self, reasons: &mut Reasons) -> (Option<Uuid>, Cow<'a, str>) {
        let none = (None, Cow::Borrowed(""));
        let Some(value) = self.required(Field::SessionId, reasons) else { return none };
        if let Some(session) = self.uuid(value, Field::SessionId, reasons) {
            return (Some(session), none.1);
        }
        let Some(text) = value.as_str() else { return none };
        match Uuid::try_parse(text.trim()) {
            Ok(session) => (Some(session), none.1),
            Err(_) => (None, text),
        }
    }

    pub(super) fn event_id(&self, reasons: &mut Reasons) -> Option<Uuid> {
        self.uuid(self.optional(Field::EventId)?, Field::EventId, reasons)
    }

    /// Category or name, and whether it is one that an event may have.
    pub(super) fn label(&self, field: Field, reasons: &mut Reasons) -> (Cow<'a, str>, bool) {
        let Some(value) = self.required(field, reasons) else { return (Cow::Borrowed(""), false) };
        let Some(text) = value.as_str() else {
            reasons.add(InvalidField, field.pointer(), format_args!("must be a string"));
            return (Cow::Borrowed(""), false);
        };
        // A character has one to four bytes.
        if (1..=MAX_CHARS).contains(&text.len()) {
            return (text, true);
        }
        let start = first_chars(&text);
        if start.len() == text.len() && !text.is_empty() {
            return (text, true);
        }
        reasons.add(InvalidField, field.pointer(), format_args!("must have 1 to {MAX_CHARS} characters"));
        (Cow::Owned(start.into()), false)
    }

    pub(super) fn data(&self, reasons: &mut Reasons) -> Option<Value<'a, 'd>> {
        let value = self.required(Field::Data, reasons)?;
        if value.kind() != Kind::Object {
            reasons.add(InvalidField, Field::Data.pointer(), format_args!("must be an object"));
            return None;
        }
        Some(value)
    }

    pub(super) fn timestamp(&self, reasons: &mut Reasons) -> Option<i64> {
        self.time(self.required(Field::Timestamp, reasons)?, Field::Timestamp, reasons)
    }

    pub(super) fn sent_at(&self, reasons: &mut Reasons) -> Option<i64> {
        self.time(self.optional(Field::SentAt)?, Field::SentAt, reasons)
    }

    fn required(&self, field: Field, reasons: &mut Reasons) -> Option<Value<'a, 'd>> {
        let value = self.values.get(field as usize).copied().flatten();
        if value.is_none() {
            reasons.add(MissingField, field.pointer(), format_args!("the field is required"));
        }
        value
    }

    /// `null` is as good as nothing: many serializers write it.
    fn optional(&self, field: Field) -> Option<Value<'a, 'd>> {
        self.values.get(field as usize).copied().flatten().filter(|value| value.kind() != Kind::Null)
    }

    fn uuid(&self, value: Value<'a, 'd>, field: Field, reasons: &mut Reasons) -> Option<Uuid> {
        let uuid = value.as_str().and_then(|text| Uuid::try_parse(&text).ok());
        if uuid.is_none() {
            reasons.add(InvalidField, field.pointer(), format_args!("must be a UUID in a string"));
        }
        uuid
    }

    fn time(&self, value: Value<'a, 'd>, field: Field, reasons: &mut Reasons) -> Option<i64> {
        let time = value.as_str().map_or(Err(TimeError::Form), |text| timestamp::parse(&text));
        match time {
            Ok(_) => {}
            Err(TimeError::Form) => reasons.add(
                InvalidField,
                field.pointer(),
                format_args!(
                    "must be a time such as \"2021-01-01 09:15:27.243860\" (UTC) or one of RFC 3339"
                ),
            ),
            Err(TimeError::OutOfRange) => reasons.add(
                TimestampOutOfRange,
                field.pointer(),
                format_args!("must lie between the years 1900 and 2299 (UTC)"),
            ),
        }
        time.ok()
    }
}

/// The most characters of a category or name.
const MAX_CHARS: usize = 255;

/// The first [`MAX_CHARS`] characters.
pub(super) fn first_chars(text: &str) -> &str {
    text.char_indices().nth(MAX_CHARS).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}
