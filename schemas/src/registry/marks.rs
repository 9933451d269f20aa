//! The marks of one schema: found and checked when the schema is loaded.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, Mac};
use serde_json::{Map, Value as Json, json};
use sha2::Sha256;

use super::{EventType, RegistryError, keywords};
use crate::data::Schema;
use crate::json::{Document, Kind, Value};

/// The text that replaces a redacted value.
const REDACTED: &str = "[redacted]";

/// The one that tells less comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Treatment {
    Redact,
    Hash,
}

/// The marks at one place of `data` and below it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    treatment: Option<Treatment>,
    /// All properties that the schema names, also those without marks.
    properties: BTreeMap<String, Marks>,
    /// The marks of properties that are not named.
    others: Option<Box<Marks>>,
    elements: Option<Box<Marks>>,
}

/// Whether a schema is marked at all, also only for people.
pub(crate) fn is_personal(schema: &Json) -> bool {
    schema.get("x-personal").is_some_and(|mark| *mark != Json::Bool(false))
}

impl Marks {
    /// The marks of a schema of `data`; `None` if nothing is to be replaced.
    ///
    /// # Errors
    /// A mark that is unknown, or at a place that can't be found in events, or whose schema refuses the text that
    /// replaces the value.
    pub(crate) fn compile(root: &Json) -> Result<Option<Self>, String> {
        let mut marked = BTreeSet::new();
        for (pointer, schema) in keywords::subschemas(root)? {
            match schema.get("x-personal") {
                None | Some(Json::Bool(_)) => {}
                Some(Json::String(mark)) if mark == "redact" || mark == "hash" => {
                    marked.insert(pointer);
                }
                Some(_) => return Err(format!("{pointer}/x-personal must be true, \"redact\" or \"hash\"")),
            }
        }
        if marked.is_empty() {
            return Ok(None);
        }
        if marked.contains("") {
            return Err("x-personal marks single values of data, not data as a whole".into());
        }
        let mut compiler = Compiler { root, marked };
        let marks = compiler.marks(root, "")?;
        match compiler.marked.first() {
            None => Ok(Some(marks)),
            Some(pointer) => Err(format!(
                "{pointer}: \"x-personal\": \"redact\" or \"hash\" is found through properties, items and \
                 additionalProperties alone, so that the gateway needs no schema to find the value"
            )),
        }
    }

    pub(crate) fn needs_key(&self) -> bool {
        self.treatment == Some(Treatment::Hash) || self.parts().any(Self::needs_key)
    }

    fn parts(&self) -> impl Iterator<Item = &Self> {
        let boxed = self.others.iter().chain(&self.elements).map(|marks| &**marks);
        self.properties.values().chain(boxed)
    }

    /// Whether there is a mark here or below.
    fn is_marked(&self) -> bool {
        self.treatment.is_some() || self.parts().any(Self::is_marked)
    }

    fn has_marked_members(&self) -> bool {
        self.properties.values().chain(self.others.as_deref()).any(Self::is_marked)
    }

    fn has_marked_elements(&self) -> bool {
        self.elements.as_deref().is_some_and(Self::is_marked)
    }

    /// Adds the values at and below `value` that are to be replaced. No deeper than the schema.
    pub(crate) fn find<'a, 'd>(&self, value: Value<'a, 'd>, found: &mut Vec<(Value<'a, 'd>, Treatment)>) {
        if let Some(treatment) = self.treatment {
            found.push((value, treatment));
            return;
        }
        match value.kind() {
            Kind::Object if self.has_marked_members() => {
                for (key, member) in value.members() {
                    let named = key.as_str().and_then(|name| self.properties.get(&*name));
                    if let Some(marks) = named.or(self.others.as_deref()) {
                        marks.find(member, found);
                    }
                }
            }
            Kind::Array if self.has_marked_elements() => {
                for element in value.elements() {
                    self.elements.as_deref().into_iter().for_each(|marks| marks.find(element, found));
                }
            }
            // Nothing personal is in them.
            Kind::Null | Kind::True | Kind::False => {}
            _ if self.is_marked() => found.push((value, Treatment::Redact)),
            _ => {}
        }
    }
}

/// The event with the values that [`Marks::find`] found in it replaced.
pub(crate) fn replace(
    event: &str,
    mut found: Vec<(Value<'_, '_>, Treatment)>,
    key: Option<&Hmac<Sha256>>,
) -> String {
    // The outermost first, and of the same place the treatment that tells less.
    found.sort_by_key(|(value, treatment)| {
        let span = value.span();
        (span.start, Reverse(span.end), *treatment)
    });
    let mut masked = String::with_capacity(event.len());
    let mut at = 0;
    for (value, treatment) in found {
        let span = value.span();
        if span.start < at {
            continue;
        }
        masked.push_str(event.get(at..span.start).unwrap_or_default());
        masked.push('"');
        match (treatment, key) {
            (Treatment::Hash, Some(key)) => masked.push_str(&hash(value, key)),
            // Marks that need a key are refused without one.
            _ => masked.push_str(REDACTED),
        }
        masked.push('"');
        at = span.end;
    }
    masked.push_str(event.get(at..).unwrap_or_default());
    masked
}

/// The hash of a string's text, however it is written; of any other value as it is written.
fn hash(value: Value<'_, '_>, key: &Hmac<Sha256>) -> String {
    let mut mac = key.clone();
    match value.as_str() {
        Some(text) => mac.update(text.as_bytes()),
        None => mac.update(value.raw().as_bytes()),
    }
    format!("{:x}", mac.finalize().into_bytes())
}

/// Replacing values may break what a schema says of several at once: the valid examples must stay valid.
pub(super) fn check_examples(event_type: &EventType) -> Result<(), RegistryError> {
    let (Some(marks), Ok(key)) = (&event_type.marks, Hmac::new_from_slice(b"")) else { return Ok(()) };
    for example in event_type.examples.iter().filter(|example| example.reasons.is_empty()) {
        let Ok(document) = Document::parse(&example.event) else { continue };
        let mut found = Vec::new();
        if let Some(data) = document.root().get("data") {
            marks.find(data, &mut found);
        }
        let masked = replace(&example.event, found, Some(&key));
        let Ok(document) = Document::parse(&masked) else { continue };
        let is_valid = document.root().get("data").is_none_or(|data| event_type.compiled.accepts(data));
        if !is_valid {
            let problem = format!("is not valid any more once its personal values are replaced: {masked}");
            return Err(RegistryError::Invalid { path: example.path.clone(), problem });
        }
    }
    Ok(())
}

struct Compiler<'s> {
    root: &'s Json,
    /// Pointers of the marks that were not reached yet.
    marked: BTreeSet<String>,
}

impl Compiler<'_> {
    fn marks(&mut self, schema: &Json, pointer: &str) -> Result<Marks, String> {
        let mut marks = Marks::default();
        let Some(schema) = schema.as_object() else { return Ok(marks) };
        if self.marked.remove(pointer) {
            let treatment = match schema.get("x-personal").and_then(Json::as_str) {
                Some("hash") => Treatment::Hash,
                _ => Treatment::Redact,
            };
            self.check_stand_in(schema, treatment, pointer)?;
            // The marks inside go with the value.
            let inside = format!("{pointer}/");
            self.marked.retain(|marked| !marked.starts_with(&inside));
            return Ok(Marks { treatment: Some(treatment), ..Marks::default() });
        }
        for (name, property) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
            let marked = self.marks(property, &keywords::below(&format!("{pointer}/properties"), name))?;
            marks.properties.insert(name.clone(), marked);
        }
        if let Some(others) = schema.get("additionalProperties") {
            marks.others = Some(Box::new(self.marks(others, &format!("{pointer}/additionalProperties"))?));
        }
        if let Some(elements) = schema.get("items") {
            marks.elements = Some(Box::new(self.marks(elements, &format!("{pointer}/items"))?));
        }
        check_container(schema, &marks, pointer)?;
        Ok(marks)
    }

    /// The text that replaces a value must be valid there.
    fn check_stand_in(
        &self,
        schema: &Map<String, Json>,
        treatment: Treatment,
        pointer: &str,
    ) -> Result<(), String> {
        let (stand_in, what) = match treatment {
            Treatment::Redact => (REDACTED.to_owned(), format!("the text {REDACTED:?}")),
            Treatment::Hash => ("0".repeat(64), "a text of 64 hexadecimal digits".into()),
        };
        let mut schema = schema.clone();
        // A reference is resolved from the root of its file.
        for definitions in ["$defs", "definitions"] {
            if let Some(defined) = self.root.get(definitions) {
                schema.insert(definitions.into(), defined.clone());
            }
        }
        let compiled = Schema::compile(&schema.into()).map_err(|error| format!("{pointer}: {error}"))?;
        match compiled.accepts(Document::of_string(&stand_in).root()) {
            true => Ok(()),
            false => Err(format!(
                "{pointer}: the schema refuses what stands for the personal value, {what}: allow it"
            )),
        }
    }
}

/// A value with marked parts must be an object or array, or null. Anything else in its place is replaced as a whole,
/// which may happen to invalid events only.
fn check_container(schema: &Map<String, Json>, marks: &Marks, pointer: &str) -> Result<(), String> {
    let (members, elements) = (marks.has_marked_members(), marks.has_marked_elements());
    if !members && !elements {
        return Ok(());
    }
    if !pointer.is_empty() {
        let declared = match schema.get("type") {
            Some(Json::String(one)) => vec![one.as_str()],
            Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
            _ => vec![],
        };
        let fits = |name: &&str| match *name {
            "object" => members,
            "array" => elements,
            other => other == "null",
        };
        if declared.is_empty() || !declared.iter().all(fits) {
            let need = if members { "object" } else { "array" };
            return Err(format!("{pointer}: it has personal parts, so its \"type\" must be {need:?}"));
        }
    }
    let others = marks.others.as_deref().is_some_and(Marks::is_marked);
    for (keyword, hinders, beside) in
        [("patternProperties", others, "additionalProperties"), ("prefixItems", elements, "items")]
    {
        if hinders && schema.contains_key(keyword) {
            return Err(format!("{pointer}: {keyword} beside personal values in {beside} is not supported"));
        }
    }
    let element = marks.elements.as_deref().and_then(|marks| marks.treatment);
    if element == Some(Treatment::Redact) && schema.get("uniqueItems") == Some(&json!(true)) {
        return Err(format!("{pointer}: uniqueItems refuses elements that all became {REDACTED:?}"));
    }
    Ok(())
}
