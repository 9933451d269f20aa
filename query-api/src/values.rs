//! Values as they are read from ClickHouse and written as JSON: one type for both directions.

use std::borrow::Cow;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, macros::datetime};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

/// A moment to the microsecond. JSON: RFC 3339 in UTC with six digits; ClickHouse: `DateTime64(6)`.
/// A parameter may leave out the zone (UTC), have a space for the T, or be a date alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

impl Time {
    /// What `DateTime64(6)` can hold.
    pub const MIN: Self = Self((datetime!(1900-01-01 0:00 UTC).unix_timestamp_nanos() / 1000) as i64);
    pub const MAX: Self = Self((datetime!(2299-12-31 0:00 UTC).unix_timestamp_nanos() / 1000) as i64);

    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since 1970.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis * 1000)
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The number of its day (UTC), as `usage_days` counts them: 1 is 1900-01-01.
    pub const fn day(self) -> i64 {
        (self.0 - Self::MIN.0).div_euclid(Self::DAY) + 1
    }

    /// Whether it is the start of its day.
    pub fn is_midnight(self) -> bool {
        self == Self::from_day(self.day())
    }

    /// The start of a day.
    pub const fn from_day(day: i64) -> Self {
        Self(Self::MIN.0 + (day - 1) * Self::DAY)
    }

    const DAY: i64 = 86_400_000_000;

    /// Parses what a person or a program writes.
    ///
    /// # Errors
    /// A sentence that says which forms are understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut complete = text.trim().to_owned();
        if complete.len() == "2021-01-01".len() {
            complete.push_str("T00:00:00");
        }
        if complete.as_bytes().get(10) == Some(&b' ') {
            complete.replace_range(10..11, "T");
        }
        let clock = complete.get(11..).unwrap_or_default();
        if !clock.ends_with(['Z', 'z']) && !clock.contains(['+', '-']) {
            complete.push('Z');
        }
        let parsed = OffsetDateTime::parse(&complete, &Rfc3339).map_err(|_| {
            format!(
                "{text:?} is not a time: write 2021-01-31, 2021-01-31T09:15:27.243860Z or 2021-01-31 09:15:27 \
                 (UTC; a + in a URL is written %2B)"
            )
        })?;
        let time = Self((parsed.unix_timestamp_nanos() / 1000) as i64);
        if (Self::MIN..=Self::MAX).contains(&time) {
            Ok(time)
        } else {
            Err(format!("{text:?} is outside of the years 1900 to 2299"))
        }
    }

    /// As a server-side parameter of type `DateTime64(6, 'UTC')`.
    pub fn to_param(self) -> String {
        self.to_string().replace('T', " ").replace('Z', "")
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(t) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000) else {
            return f.write_str("invalid time");
        };
        let (date, micros) = (t.date(), t.microsecond());
        let (hour, minute, second) = t.to_hms();
        write!(
            f,
            "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z",
            date.year(),
            u8::from(date.month()),
            date.day()
        )
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text: Cow<'de, str> = Deserialize::deserialize(deserializer)?;
            Self::parse(&text).map_err(D::Error::custom)
        } else {
            Deserialize::deserialize(deserializer).map(Self)
        }
    }
}

/// A UUID. JSON: lower-case with hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id(pub Uuid);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.hyphenated())
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text: Cow<'de, str> = Deserialize::deserialize(deserializer)?;
            Uuid::try_parse(&text).map(Self).map_err(|_| {
                D::Error::custom(format!(
                    "{text:?} is not a UUID such as e2085be5-9137-4e4e-80b5-f1ffddc25423"
                ))
            })
        } else {
            let (high, low): (u64, u64) = Deserialize::deserialize(deserializer)?;
            Ok(Self(Uuid::from_u64_pair(high, low)))
        }
    }
}

/// A feature: what is used. Ordered by category, then name, in code points.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(from = "(String, String)")]
pub struct Feature {
    pub category: String,
    pub name: String,
}

impl From<(String, String)> for Feature {
    fn from((category, name): (String, String)) -> Self {
        Self { category, name }
    }
}

/// Why a record could not become an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(from = "(String, String, String, String)")]
pub struct Reason {
    pub code: String,
    /// JSON pointer into the event.
    pub pointer: String,
    /// The keyword of the schema that the event breaks, if it is one.
    pub keyword: String,
    pub message: String,
}

impl From<(String, String, String, String)> for Reason {
    fn from((code, pointer, keyword, message): (String, String, String, String)) -> Self {
        Self { code, pointer, keyword, message }
    }
}

/// The verdict on a record of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub enum Verdict {
    Accepted,
    Rejected,
    Duplicate,
    /// The log holds no record at this offset, such as a transaction marker.
    Absent,
    /// The session of the record is erased.
    Erased,
    /// The record asks to erase a session.
    Erasure,
    /// The log lost the record before it was judged.
    Lost,
}

impl TryFrom<String> for Verdict {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        use Verdict::{Absent, Accepted, Duplicate, Erased, Erasure, Lost, Rejected};
        [Accepted, Rejected, Duplicate, Absent, Erased, Erasure, Lost]
            .into_iter()
            .find(|verdict| word(verdict) == text)
            .ok_or_else(|| format!("{text:?} is no verdict"))
    }
}

/// The snake_case word of a choice, as a server-side parameter. (The crate would quote an enum.)
pub fn word(choice: impl Serialize) -> String {
    match serde_json::to_value(choice) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// JSON text of a sender, which is passed on as it is.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Json(String);

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<&RawValue>(&self.0) {
            Ok(raw) => raw.serialize(serializer),
            // No projector writes such a row. It is shown as a text rather than left out.
            Err(_) => self.0.serialize(serializer),
        }
    }
}

macro_rules! documented_as {
    ($type:ty, $name:literal, $schema:expr) => {
        impl PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $schema.into()
            }
        }
        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
        }
    };
}

fn text(format: &str) -> utoipa::openapi::Object {
    utoipa::openapi::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .format(Some(utoipa::openapi::SchemaFormat::Custom(format.into())))
        .build()
}

documented_as!(Time, "Time", text("date-time"));
documented_as!(Id, "Id", text("uuid"));
documented_as!(
    Json,
    "Json",
    utoipa::openapi::ObjectBuilder::new().description(Some("what the sender wrote")).build()
);

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn times_are_read_generously_and_written_one_way() {
        for (text, written) in [
            ("2021-01-01 09:15:27.243860", "2021-01-01T09:15:27.243860Z"),
            ("2021-01-01T09:15:27Z", "2021-01-01T09:15:27.000000Z"),
            ("2021-01-01T09:15:27.5+02:00", "2021-01-01T07:15:27.500000Z"),
            ("2021-01-01", "2021-01-01T00:00:00.000000Z"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(Time::parse(text).unwrap().to_string(), written, "{text}");
        }
        for text in ["", "yesterday", "2021-13-01", "1800-01-01", "2021-01-01T09", "9999-01-01T00:00:00Z"] {
            assert!(Time::parse(text).is_err(), "{text}");
        }
        assert_eq!(Time::MIN.to_param(), "1900-01-01 00:00:00.000000");
    }
}
