//! The files of event types: schemas and examples, built in and from folders.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::marks::Marks;
use super::{EventType, RegistryError, keywords};
use crate::ReasonCode;
use crate::data::Schema;

/// A schema or an example: a JSON file in a folder of event types.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    path: PathBuf,
    text: String,
}

/// An event that shows what an event type takes, or what it refuses and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    pub path: PathBuf,
    /// The record's value: the JSON of an event, or for an invalid example any text.
    pub event: String,
    /// All reasons for which it must be rejected, in any order; none for a valid one.
    pub reasons: Vec<ExpectedReason>,
}

/// A [`Reason`](crate::Reason) without its message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedReason {
    pub code: ReasonCode,
    #[serde(default)]
    pub pointer: String,
    #[serde(default)]
    pub keyword: String,
}

impl fmt::Display for ExpectedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.as_str())?;
        for part in [&self.pointer, &self.keyword] {
            if !part.is_empty() {
                write!(f, " {part}")?;
            }
        }
        Ok(())
    }
}

impl Source {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_schema(&self) -> bool {
        self.path.to_string_lossy().ends_with(".schema.json") && self.example_of().is_none()
    }

    /// The folder of the event type that this file is an example of:
    /// `FOLDER/examples/{valid,invalid}/*.json`.
    pub(crate) fn example_of(&self) -> Option<&Path> {
        let (kind, examples) = (self.path.parent()?, self.path.parent()?.parent()?);
        let is_kind = kind.ends_with("valid") || kind.ends_with("invalid");
        (is_kind && examples.ends_with("examples")).then(|| examples.parent())?
    }

    fn is_invalid_example(&self) -> bool {
        self.path.parent().is_some_and(|kind| kind.ends_with("invalid"))
    }

    fn error(&self, problem: impl ToString) -> RegistryError {
        RegistryError::Invalid { path: self.path.clone(), problem: problem.to_string() }
    }
}

pub(super) fn builtin() -> Vec<Source> {
    const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/event_types.rs"));
    FILES.iter().map(|(path, text)| Source { path: path.into(), text: (*text).into() }).collect()
}

/// Every `*.json` below `root`, ordered by path. Hidden files and folders are left out: a mounted volume of Kubernetes
/// keeps its files in `..data`, and beside it links that have the files' names.
pub(crate) fn read(root: &Path) -> Result<Vec<Source>, RegistryError> {
    /// Deep enough for people, and the end of a symbolic link to a folder above itself.
    const MAX_DEPTH: usize = 16;
    let mut sources = Vec::new();
    let mut directories = vec![(root.to_owned(), 0)];
    while let Some((directory, depth)) = directories.pop() {
        if depth > MAX_DEPTH {
            let problem = format!("folders are nested deeper than {MAX_DEPTH} (a link to itself?)");
            return Err(RegistryError::Invalid { path: directory, problem });
        }
        let unreadable = |source| RegistryError::Read { path: directory.clone(), source };
        for entry in fs::read_dir(&directory).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            if path.is_dir() {
                directories.push((path, depth + 1));
            } else if path.extension().is_some_and(|extension| extension == "json") {
                let text = fs::read_to_string(&path)
                    .map_err(|source| RegistryError::Read { path: path.clone(), source })?;
                sources.push(Source { path, text });
            }
        }
    }
    sources.sort();
    Ok(sources)
}

pub(super) fn parse_schema(source: &Source) -> Result<EventType, RegistryError> {
    #[derive(Deserialize)]
    struct Claims {
        #[serde(rename = "$schema")]
        dialect: Option<String>,
        #[serde(rename = "x-category")]
        category: String,
        #[serde(rename = "x-name")]
        name: String,
        #[serde(rename = "x-version")]
        version: u16,
        title: Option<String>,
        description: Option<String>,
    }
    const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

    let schema: Value = serde_json::from_str(&source.text).map_err(|e| source.error(e))?;
    if !schema.is_object() {
        return Err(source.error("the schema of an event type is a JSON object"));
    }
    let claims = Claims::deserialize(&schema).map_err(|e| source.error(e))?;
    for (key, text) in [("x-category", &claims.category), ("x-name", &claims.name)] {
        if !(1..=255).contains(&text.chars().count()) {
            return Err(source.error(format_args!("{key} must have 1 to 255 characters")));
        }
    }
    if claims.version == 0 {
        return Err(source.error("x-version must be 1 or more"));
    }
    if claims.dialect.as_deref().is_some_and(|dialect| dialect.trim_end_matches('#') != DIALECT) {
        return Err(source.error(format_args!("$schema must be {DIALECT}")));
    }
    keywords::subschemas(&schema).map_err(|problem| source.error(problem))?;
    let marks = Marks::compile(&schema).map_err(|problem| source.error(problem))?;
    let compiled = Schema::compile(&schema).map_err(|problem| source.error(problem))?;
    Ok(EventType {
        category: claims.category,
        name: claims.name,
        version: claims.version,
        description: claims.description.or(claims.title),
        schema,
        path: source.path.clone(),
        examples: Vec::new(),
        compiled,
        marks,
    })
}

pub(super) fn parse_example(source: &Source) -> Result<Example, RegistryError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Invalid {
        #[serde(rename = "description")]
        _description: Option<String>,
        event: Option<Box<RawValue>>,
        text: Option<String>,
        reasons: Vec<ExpectedReason>,
    }
    let path = source.path.clone();
    if !source.is_invalid_example() {
        return Ok(Example { path, event: source.text.trim().into(), reasons: Vec::new() });
    }
    let invalid: Invalid = serde_json::from_str(&source.text).map_err(|e| source.error(e))?;
    let event = match (invalid.event, invalid.text) {
        (Some(event), None) => event.get().into(),
        (None, Some(text)) => text,
        _ => return Err(source.error("an invalid example has either \"event\" or \"text\"")),
    };
    if invalid.reasons.is_empty() {
        return Err(source.error("an invalid example has at least one reason"));
    }
    Ok(Example { path, event, reasons: invalid.reasons })
}
