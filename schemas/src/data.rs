//! The schema of `data`, checked by the `jsonschema` crate straight on our [`Document`]: the
//! library is the authority on what is valid, and nothing is parsed or built a second time.

#[cfg(test)]
pub(crate) mod tests;

use std::borrow::Cow;
use std::sync::OnceLock;

use jsonschema::json::{Array, Json, JsonNumber, Node, NodeIdentity, Object, cmp};
use jsonschema::{Draft, JsonType, PatternOptions, Validator};
use jsonschema_value::LazyInstance;
use serde_json::{Number, Value as JsonValue};

use crate::json::{Document, Elements, Kind, Members, Value};
use crate::reason::Reasons;

/// A compiled schema of `data`.
#[derive(Debug)]
pub(crate) struct Schema(Validator<InPlace>);

impl Schema {
    /// Refuses whatever would make a schema mean something else than its author thinks: another
    /// dialect, an unknown format, a reference that would have to be fetched. `format` is checked,
    /// not only noted. Patterns are matched in linear time, hence without look-around and
    /// back-references: no text can make one slow.
    pub(crate) fn compile(schema: &JsonValue) -> Result<Self, String> {
        jsonschema::options_for::<InPlace>()
            .with_draft(Draft::Draft202012)
            .offline()
            .should_validate_formats(true)
            .should_ignore_unknown_formats(false)
            .with_pattern_options(PatternOptions::regex())
            .build(schema)
            .map(Self)
            .map_err(|error| match error.instance_path().as_str() {
                "" => error.to_string(),
                pointer => format!("at {pointer}: {error}"),
            })
    }

    pub(crate) fn accepts(&self, data: Value<'_, '_>) -> bool {
        self.0.is_valid(data)
    }

    /// Adds every fault of `data`.
    pub(crate) fn check(&self, data: Value<'_, '_>, reasons: &mut Reasons) {
        if !self.0.is_valid(data) {
            for error in self.0.iter_errors(data) {
                reasons.add_data(error.instance_path(), error.kind().keyword(), &error.masked());
            }
        }
    }
}

/// Tells `jsonschema` how to walk a [`Document`].
struct InPlace;

impl Json for InPlace {
    type Node<'a> = Value<'a, 'a>;
    type PreparedKey = Box<str>;
    type StringBuffer = ();

    /// A lookup walks the members.
    const KEYS_PER_LOOKUP: usize = 4;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> Box<str> {
        key.into()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(Self::Node<'_>) -> T) -> T {
        f(Document::of_string(string).root())
    }
}

impl<'a> Node<'a, InPlace> for Value<'a, 'a> {
    type Object = Self;
    type Array = Self;
    type Number = Literal<'a>;

    fn as_object(&self) -> Option<Self> {
        (self.kind() == Kind::Object).then_some(*self)
    }

    fn as_array(&self) -> Option<Self> {
        (self.kind() == Kind::Array).then_some(*self)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        self.as_str()
    }

    fn as_number(&self) -> Option<Literal<'a>> {
        (self.kind() == Kind::Number).then(|| Literal(self.raw()))
    }

    fn as_boolean(&self) -> Option<bool> {
        match self.kind() {
            Kind::True => Some(true),
            Kind::False => Some(false),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    fn json_type(&self) -> JsonType {
        match self.kind() {
            Kind::Null => JsonType::Null,
            Kind::True | Kind::False => JsonType::Boolean,
            Kind::Number => JsonType::Number,
            Kind::Plain | Kind::Escaped => JsonType::String,
            Kind::Array => JsonType::Array,
            Kind::Object => JsonType::Object,
        }
    }

    fn string_length_within(&self, min: u64, max: u64) -> Option<bool> {
        if self.kind() == Kind::Plain {
            // A character has one to four bytes: that settles most cases.
            let bytes = self.raw_len() as u64;
            if min <= bytes.div_ceil(4) && bytes <= max {
                return Some(true);
            }
        }
        self.string_length().map(|length| (min..=max).contains(&length))
    }

    fn equals_value(&self, expected: &JsonValue) -> bool {
        match expected {
            JsonValue::String(text) => self.is_str(text),
            _ => cmp::equal(&self.to_value(), expected),
        }
    }

    fn to_value(&self) -> Cow<'a, JsonValue> {
        // The document has been checked, and is no deeper than serde_json reads.
        let value = self.as_str().map(|text| JsonValue::String(text.into_owned()));
        Cow::Owned(value.or_else(|| serde_json::from_str(self.raw()).ok()).unwrap_or_default())
    }

    /// An error carries the value that it is about, which our messages never show: not built, or a
    /// large object with many faults would be built for each of them.
    fn lazy_value(&self) -> LazyInstance<'a> {
        let make = |raw: &[u8], _| serde_json::from_slice(raw).unwrap_or_default();
        match self.kind() {
            Kind::Array | Kind::Object => {
                LazyInstance::Deferred { bytes: self.raw().as_bytes(), tag: 0, make, cell: OnceLock::new() }
            }
            _ => LazyInstance::Ready(self.to_value()),
        }
    }

    fn identity(&self) -> Option<NodeIdentity> {
        let (document, index) = Value::identity(self);
        Some(NodeIdentity::tagged(document, index))
    }
}

impl<'a> Object<'a, InPlace> for Value<'a, 'a> {
    type Node = Self;
    type MemberName = Cow<'a, str>;
    type MembersIter = NamedMembers<'a>;

    fn len(&self) -> usize {
        Value::len(self)
    }

    fn get(&self, key: &Box<str>) -> Option<Self> {
        Value::get(self, key)
    }

    fn members(&self) -> NamedMembers<'a> {
        NamedMembers(Value::members(self))
    }
}

struct NamedMembers<'a>(Members<'a, 'a>);

impl<'a> Iterator for NamedMembers<'a> {
    type Item = (Cow<'a, str>, Value<'a, 'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (key.as_str().unwrap_or_default(), value))
    }
}

impl<'a> Array<'a, InPlace> for Value<'a, 'a> {
    type Node = Self;
    type ElementsIter = Elements<'a, 'a>;

    fn len(&self) -> usize {
        Value::len(self)
    }

    fn elements(&self) -> Elements<'a, 'a> {
        Value::elements(self)
    }
}

/// A number as it is written.
struct Literal<'a>(&'a str);

impl JsonNumber for Literal<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    fn as_f64(&self) -> Option<f64> {
        self.0.parse().ok()
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0)
    }

    fn to_number(&self) -> Cow<'_, Number> {
        Cow::Owned(serde_json::from_str(self.0).unwrap_or_else(|_| Number::from(0)))
    }
}
