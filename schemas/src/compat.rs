//! The effect of a changed schema: would it refuse data that the old one took, or take data that the old one refused?
//!
//! The answer is on the safe side. Without a [`Stricter`](Effect::Stricter) or [`Unclear`](Effect::Unclear) change the
//! new schema takes all that the old one takes. Without a `Looser` or `Unclear` one it takes nothing else. A change may
//! be called stricter although some other keyword refused the same data before.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

/// One difference that can change a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// JSON pointer to the place in the schema.
    pub pointer: String,
    pub effect: Effect,
    /// Such as `"host" is now required`.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Some data that was valid is no longer.
    Stricter,
    /// Some data that was invalid is now valid.
    Looser,
    /// Cannot be told from the schemas: judge real events by both.
    Unclear,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = match self.effect {
            Effect::Stricter => "stricter",
            Effect::Looser => "looser",
            Effect::Unclear => "unclear",
        };
        write!(f, "{effect}: {} (at {:?})", self.message, self.pointer)
    }
}

/// What changes from `old` to `new`, two JSON Schemas (2020-12). Titles, descriptions and the like
/// are no changes.
pub fn compare(old: &Value, new: &Value) -> Vec<Change> {
    let mut comparison = Comparison { changes: Vec::new() };
    comparison.schemas(old, new, "");
    // The meaning of a reference may change anywhere. Only references into unchanged definitions are sure to mean the
    // same.
    let refers = refers_beyond_definitions(old) || refers_beyond_definitions(new);
    if refers && !comparison.changes.is_empty() {
        comparison.add(
            "",
            Effect::Unclear,
            "there are references to parts of the schema that may have changed".into(),
        );
    }
    comparison.changes
}

struct Comparison {
    changes: Vec<Change>,
}

/// The schema of a value that no keyword constrains.
const ANYTHING: Value = Value::Bool(true);

impl Comparison {
    fn add(&mut self, pointer: &str, effect: Effect, message: String) {
        self.changes.push(Change { pointer: pointer.into(), effect, message });
    }

    fn schemas(&mut self, old: &Value, new: &Value, at: &str) {
        if old == new {
            return;
        }
        match (old, new) {
            (Value::Bool(false), _) => {
                self.add(at, Effect::Looser, "something is allowed where nothing was".into())
            }
            (_, Value::Bool(false)) => self.add(at, Effect::Stricter, "nothing is allowed any more".into()),
            _ => {
                let (old, new) = (keywords(old), keywords(new));
                if old != new {
                    self.keywords(&old, &new, at);
                }
            }
        }
    }

    fn keywords(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str) {
        for keyword in old.keys().chain(new.keys()).map(String::as_str).collect::<BTreeSet<_>>() {
            let (was, is) = (old.get(keyword), new.get(keyword));
            let pointer = format!("{at}/{keyword}");
            match keyword {
                "type" => self.types(was, is, &pointer),
                "required" => self.required(was, is, &pointer),
                // Both say which values are allowed: compared together, below.
                "enum" | "const" | "properties" | "additionalProperties" => {}
                "minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties" => {
                    self.bound(keyword, was, is, false, &pointer);
                }
                "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties" => {
                    self.bound(keyword, was, is, true, &pointer);
                }
                "items" | "propertyNames" => {
                    self.schemas(was.unwrap_or(&ANYTHING), is.unwrap_or(&ANYTHING), &pointer);
                }
                "pattern" | "format" | "multipleOf" | "uniqueItems" | "allOf" => match (was, is) {
                    _ if was == is => {}
                    (None, Some(is)) => {
                        self.add(&pointer, Effect::Stricter, format!("{keyword} {is} is asked for"))
                    }
                    (Some(was), None) => {
                        self.add(
                            &pointer,
                            Effect::Looser,
                            format!("{keyword} {was} is not asked for any more"),
                        );
                    }
                    (Some(Value::Array(was)), Some(Value::Array(is))) if was.len() == is.len() => {
                        for (place, (was, is)) in was.iter().zip(is).enumerate() {
                            self.schemas(was, is, &format!("{pointer}/{place}"));
                        }
                    }
                    _ => self.add(&pointer, Effect::Unclear, format!("{keyword} has changed")),
                },
                _ if was == is => {}
                _ => self.add(&pointer, Effect::Unclear, format!("{keyword} has changed")),
            }
        }
        self.values(old, new, at);
        self.properties(old, new, at);
        for keyword in ["unevaluatedProperties", "unevaluatedItems"] {
            if old.contains_key(keyword) && new.contains_key(keyword) {
                let message = format!("{keyword} depends on what else has changed here");
                self.add(&format!("{at}/{keyword}"), Effect::Unclear, message);
            }
        }
    }

    fn types(&mut self, was: Option<&Value>, is: Option<&Value>, at: &str) {
        let (was, is) = (types(was), types(is));
        let list = |types: Vec<&&str>| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let (lost, won) = (list(was.difference(&is).collect()), list(is.difference(&was).collect()));
        if !lost.is_empty() {
            self.add(at, Effect::Stricter, format!("not allowed any more: {lost}"));
        }
        if !won.is_empty() {
            self.add(at, Effect::Looser, format!("now allowed: {won}"));
        }
    }

    fn required(&mut self, was: Option<&Value>, is: Option<&Value>, at: &str) {
        let names = |value: Option<&Value>| -> BTreeSet<String> {
            let names = value.and_then(Value::as_array).into_iter().flatten();
            names.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
        };
        let (was, is) = (names(was), names(is));
        for name in is.difference(&was) {
            self.add(at, Effect::Stricter, format!("{name:?} is now required"));
        }
        for name in was.difference(&is) {
            self.add(at, Effect::Looser, format!("{name:?} is not required any more"));
        }
    }

    fn bound(&mut self, keyword: &str, was: Option<&Value>, is: Option<&Value>, upper: bool, at: &str) {
        let limit = |value: &Value| value.as_f64().filter(|limit| limit.is_finite());
        let effect = match (was, is) {
            _ if was == is => return,
            (None, _) => Effect::Stricter,
            (_, None) => Effect::Looser,
            (Some(was), Some(is)) => match (limit(was), limit(is)) {
                (Some(was), Some(is)) if was < is => {
                    if upper {
                        Effect::Looser
                    } else {
                        Effect::Stricter
                    }
                }
                (Some(was), Some(is)) if was > is => {
                    if upper {
                        Effect::Stricter
                    } else {
                        Effect::Looser
                    }
                }
                _ => Effect::Unclear,
            },
        };
        let said = |value: Option<&Value>| value.map_or("none".into(), ToString::to_string);
        self.add(at, effect, format!("{keyword} was {}, is {}", said(was), said(is)));
    }

    fn values(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str) {
        let (was, is) = (allowed(old), allowed(new));
        match (was, is) {
            (was, is) if was == is => {}
            (None, _) => self.add(at, Effect::Stricter, "only certain values are allowed now".into()),
            (_, None) => self.add(at, Effect::Looser, "not only certain values are allowed any more".into()),
            (Some(was), Some(is)) => {
                for value in was.iter().filter(|value| !is.contains(value)) {
                    self.add(at, Effect::Stricter, format!("{value} is not allowed any more"));
                }
                for value in is.iter().filter(|value| !was.contains(value)) {
                    self.add(at, Effect::Looser, format!("{value} is now allowed"));
                }
            }
        }
    }

    fn properties(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str) {
        let nothing = Map::new();
        let named = |schema| Map::get(schema, "properties").and_then(Value::as_object).unwrap_or(&nothing);
        let others = |schema| Map::get(schema, "additionalProperties").unwrap_or(&ANYTHING);
        let (was, is) = (named(old), named(new));
        let has_patterns = old.contains_key("patternProperties") || new.contains_key("patternProperties");
        if has_patterns && !was.keys().eq(is.keys()) {
            let message = "which properties the other keywords are for has changed".into();
            return self.add(&format!("{at}/properties"), Effect::Unclear, message);
        }
        for name in was.keys().chain(is.keys()).collect::<BTreeSet<_>>() {
            let pointer = format!("{at}/properties/{}", name.replace('~', "~0").replace('/', "~1"));
            let (was, is) = (was.get(name).unwrap_or(others(old)), is.get(name).unwrap_or(others(new)));
            self.schemas(was, is, &pointer);
        }
        self.schemas(others(old), others(new), &format!("{at}/additionalProperties"));
    }
}

/// The keywords of a schema that can change a verdict.
fn keywords(schema: &Value) -> Map<String, Value> {
    const NOTES: [&str; 9] = [
        "$schema",
        "$comment",
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
    ];
    let keywords = schema.as_object().into_iter().flatten();
    let effective = keywords.filter(|(keyword, value)| {
        let is_note = NOTES.contains(&keyword.as_str()) || keyword.starts_with("x-");
        let is_default = *keyword == "uniqueItems" && **value == Value::Bool(false);
        !is_note && !is_default
    });
    effective.map(|(keyword, value)| (keyword.clone(), value.clone())).collect()
}

/// The types that are allowed, numbers being integers and others.
fn types(value: Option<&Value>) -> BTreeSet<&str> {
    const ALL: [&str; 7] = ["null", "boolean", "object", "array", "string", "integer", "other number"];
    let names: Vec<_> = match value {
        None => return ALL.into(),
        Some(Value::String(name)) => vec![name.as_str()],
        Some(names) => names.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
    };
    let mut types = BTreeSet::new();
    for name in names {
        if name == "number" {
            types.extend(["integer", "other number"]);
        } else {
            types.insert(name);
        }
    }
    types
}

/// The values that `enum` and `const` leave; `None` if all.
fn allowed(schema: &Map<String, Value>) -> Option<Cow<'_, [Value]>> {
    let list = schema.get("enum").and_then(Value::as_array);
    let Some(constant) = schema.get("const") else { return list.map(|list| Cow::Borrowed(list.as_slice())) };
    let is_listed = list.is_none_or(|list| list.contains(constant));
    Some(Cow::Borrowed(if is_listed { std::slice::from_ref(constant) } else { &[] }))
}

fn refers_beyond_definitions(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => members.iter().any(|(key, value)| match key.as_str() {
            "$ref" => !value.as_str().is_some_and(|target| target.starts_with("#/$defs/")),
            "$dynamicRef" => true,
            _ => refers_beyond_definitions(value),
        }),
        Value::Array(elements) => elements.iter().any(refers_beyond_definitions),
        _ => false,
    }
}
