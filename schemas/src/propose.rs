//! Proposes a first schema for events of an unknown type.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

/// A first schema for an unknown event type, from the `data` of events that were sent. It takes all of them. A person
/// should read it and add what the events don't show.
#[derive(Debug, Default)]
pub struct Proposal {
    events: u64,
    data: Shape,
}

impl Proposal {
    /// Learns from one event's `data`. Memory grows with what the samples show, so give it some
    /// hundreds, not all.
    pub fn add(&mut self, data: &Value) {
        self.events += 1;
        self.data.add(data);
    }

    /// The whole schema file: version 1 of the event type.
    pub fn schema(&self, category: &str, name: &str) -> Value {
        let mut schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "x-category": category,
            "x-name": name,
            "x-version": 1,
            "$comment": format!("proposed from {} events", self.events),
        });
        if let Some(keywords) = schema.as_object_mut() {
            keywords.extend(self.data.schema());
        }
        schema
    }
}

/// The values that were seen at one place.
#[derive(Debug, Default)]
struct Shape {
    types: BTreeSet<&'static str>,
    has_negative: bool,
    strings: Strings,
    elements: Option<Box<Shape>>,
    objects: u64,
    /// How many of the objects had the property, and its values.
    properties: BTreeMap<String, (u64, Shape)>,
    /// There are so many names that they are data themselves.
    is_map: bool,
}

#[derive(Debug, Default)]
struct Strings {
    count: u64,
    has_empty: bool,
    /// Up to [`FEW_VALUES`] different ones.
    values: BTreeSet<String>,
    has_many_values: bool,
    /// Which of [`FORMATS`] some string did not have.
    not_formats: BTreeSet<&'static str>,
}

/// More property names than this are taken for the keys of a map.
const MAX_PROPERTIES: usize = 100;
/// A string with no more values than this over [`MANY_STRINGS`] samples may be an enumeration.
const FEW_VALUES: usize = 6;
const MANY_STRINGS: u64 = 20;
/// Longer strings are no names of anything.
const MAX_VALUE_BYTES: usize = 64;

/// Formats that are looked for, the first that fits being proposed.
static FORMATS: LazyLock<Vec<(&str, jsonschema::Validator)>> = LazyLock::new(|| {
    let compiled = ["uuid", "date-time", "date", "email", "ipv4", "uri"].into_iter().filter_map(|format| {
        let options = jsonschema::options().should_validate_formats(true);
        Some((format, options.build(&json!({"format": format})).ok()?))
    });
    compiled.collect()
});

impl Shape {
    fn add(&mut self, value: &Value) {
        self.types.insert(match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        });
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => self.has_negative |= number.as_f64().is_none_or(|number| number < 0.0),
            Value::String(text) => self.strings.add(text, value),
            Value::Array(elements) => {
                for element in elements {
                    self.elements.get_or_insert_default().add(element);
                }
            }
            Value::Object(members) => self.add_object(members),
        }
    }

    fn add_object(&mut self, members: &Map<String, Value>) {
        self.objects += 1;
        self.is_map |= members.len() > MAX_PROPERTIES;
        for (name, value) in members {
            if self.is_map {
                break;
            }
            let (count, shape) = self.properties.entry(name.clone()).or_default();
            *count += 1;
            shape.add(value);
            self.is_map = self.properties.len() > MAX_PROPERTIES;
        }
        if self.is_map {
            self.properties.clear();
        }
    }

    fn schema(&self) -> Map<String, Value> {
        let mut schema = Map::new();
        let mut types: Vec<_> = self.types.iter().copied().collect();
        if types.contains(&"number") {
            types.retain(|name| *name != "integer");
        }
        match types.as_slice() {
            [] => {}
            [one] => drop(schema.insert("type".into(), (*one).into())),
            several => drop(schema.insert("type".into(), several.into())),
        }
        if !self.has_negative && (types.contains(&"number") || types.contains(&"integer")) {
            schema.insert("minimum".into(), 0.into());
        }
        schema.extend(self.strings.schema());
        if let Some(elements) = &self.elements {
            schema.insert("items".into(), elements.schema().into());
        }
        if !self.properties.is_empty() {
            let properties =
                self.properties.iter().map(|(name, (_, shape))| (name.clone(), shape.schema().into()));
            schema.insert("properties".into(), Value::Object(properties.collect()));
            let always = self.properties.iter().filter(|(_, (count, _))| *count == self.objects);
            let always: Vec<_> = always.map(|(name, _)| name.as_str()).collect();
            if !always.is_empty() {
                schema.insert("required".into(), always.into());
            }
        }
        schema
    }
}

impl Strings {
    fn add(&mut self, text: &str, value: &Value) {
        self.count += 1;
        self.has_empty |= text.is_empty();
        for (format, validator) in FORMATS.iter() {
            if !self.not_formats.contains(format) && !validator.is_valid(value) {
                self.not_formats.insert(format);
            }
        }
        self.has_many_values |= text.len() > MAX_VALUE_BYTES;
        if !self.has_many_values {
            self.values.insert(text.to_owned());
            self.has_many_values = self.values.len() > FEW_VALUES;
        }
        if self.has_many_values {
            self.values.clear();
        }
    }

    fn schema(&self) -> Map<String, Value> {
        let mut schema = Map::new();
        if self.count == 0 {
            return schema;
        }
        if !self.has_empty {
            schema.insert("minLength".into(), 1.into());
        }
        if let Some((format, _)) = FORMATS.iter().find(|(format, _)| !self.not_formats.contains(format)) {
            schema.insert("format".into(), (*format).into());
        } else if self.count >= MANY_STRINGS && !self.has_many_values {
            let values: Vec<_> =
                self.values.iter().map(|value| Value::from(value.as_str()).to_string()).collect();
            let comment = format!("an enumeration? seen: {}", values.join(", "));
            schema.insert("$comment".into(), comment.into());
        }
        schema
    }
}
