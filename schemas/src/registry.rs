//! The registry of event types: every version's schema, compiled, with its examples and marks.

pub(crate) mod keywords;
pub(crate) mod marks;
mod source;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use uuid::Uuid;

use self::marks::{Marks, is_personal};
pub(crate) use self::source::read as files;
pub use self::source::{Example, ExpectedReason};
use self::source::{Source, parse_example, parse_schema};
use crate::data::Schema;

/// The event types: every version of each, compiled once. The newest version of a type judges all
/// its events, also those that were sent before that version existed: when a re-projection judges
/// the log again, it does so by today's rules.
#[derive(Debug)]
pub struct Registry {
    /// Ordered by category, name, version.
    types: Vec<EventType>,
    fingerprint: Uuid,
}

/// One version of an event type.
pub struct EventType {
    pub category: String,
    pub name: String,
    /// From 1 on.
    pub version: u16,
    /// The schema's `description`, or else its `title`.
    pub description: Option<String>,
    /// The JSON Schema (2020-12) of `data`.
    pub schema: Value,
    /// Where the schema was read; relative to the built-in folder for a built-in one.
    pub path: PathBuf,
    /// The examples in `examples/` beside the schema, ordered by path. They are for the newest
    /// version: older ones have none.
    pub examples: Vec<Example>,
    pub(crate) compiled: Schema,
    /// The values to replace before the event gets into the log; `None` if there are none.
    pub(crate) marks: Option<Marks>,
}

/// Why a folder of event types can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("{}: can't be read", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {problem}", path.display())]
    Invalid { path: PathBuf, problem: String },
    #[error(
        "{} and {} both claim to be version {version} of {category:?} / {name:?}: \
         give one of them another x-version",
        first.display(), second.display()
    )]
    Conflict { category: String, name: String, version: u16, first: PathBuf, second: PathBuf },
}

impl Registry {
    /// The event types that are part of The Eye.
    pub fn builtin() -> Result<Self, RegistryError> {
        Self::from_sources(source::builtin())
    }

    /// The built-in event types and those of `directories`, each read with all its subfolders.
    pub fn load<P: AsRef<Path>>(directories: &[P]) -> Result<Self, RegistryError> {
        let mut sources = source::builtin();
        for directory in directories {
            sources.extend(source::read(directory.as_ref())?);
        }
        Self::from_sources(sources)
    }

    /// The event types of `directories` without the built-in ones.
    pub fn load_only<P: AsRef<Path>>(directories: &[P]) -> Result<Self, RegistryError> {
        let sources = directories.iter().map(|directory| source::read(directory.as_ref()));
        Self::from_sources(sources.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// The registry that [`load`](Self::load) would return if `changes`, a folder of the same form, were merged into
    /// the others: its schemas take the place of those with the same type and version.
    pub fn load_changed<P: AsRef<Path>>(directories: &[P], changes: &Path) -> Result<Self, RegistryError> {
        let mut sources = source::builtin();
        for directory in directories {
            sources.extend(source::read(directory.as_ref())?);
        }
        let changed = source::read(changes)?;
        let mut types = types_of(&sources)?;
        types.extend(types_of(&changed)?);
        sources.extend(changed);
        Self::from_types(types, &sources)
    }

    fn from_sources(sources: Vec<Source>) -> Result<Self, RegistryError> {
        Self::from_types(types_of(&sources)?, &sources)
    }

    fn from_types(types: BTreeMap<Key, EventType>, sources: &[Source]) -> Result<Self, RegistryError> {
        let mut types: Vec<_> = types.into_values().collect();
        for source in sources {
            let Some(directory) = source.example_of() else { continue };
            let example = parse_example(source)?;
            let newest = types.chunk_by_mut(EventType::is_version_of).filter_map(<[_]>::last_mut);
            let mut beside: Vec<_> =
                newest.filter(|newest| newest.path.parent() == Some(directory)).collect();
            // If a folder has several types, the example is for the one that it names.
            let named = beside.iter().position(|newest| newest.is_named_by(&example));
            if let Some(newest) = beside.get_mut(named.unwrap_or(0)) {
                newest.examples.push(example);
            }
        }

        for newest in types.chunk_by(EventType::is_version_of).filter_map(<[_]>::last) {
            marks::check_examples(newest)?;
        }

        // Sorted keys: the same fingerprint in every program, whatever features serde_json is built with.
        let mut content = Value::from_iter(types.iter().map(|t| {
            Value::from_iter([
                t.category.as_str().into(),
                t.name.as_str().into(),
                t.version.into(),
                t.schema.clone(),
            ])
        }));
        content.sort_all_objects();
        let fingerprint = Uuid::new_v5(&Uuid::NAMESPACE_OID, content.to_string().as_bytes());
        Ok(Self { types, fingerprint })
    }

    /// The newest version of an event type: the one that judges.
    pub fn get(&self, category: &str, name: &str) -> Option<&EventType> {
        let after =
            self.types.partition_point(|t| (t.category.as_str(), t.name.as_str()) <= (category, name));
        let last_before = self.types.get(after.checked_sub(1)?)?;
        (last_before.name == name && last_before.category == category).then_some(last_before)
    }

    /// One version of an event type.
    pub fn version(&self, category: &str, name: &str, version: u16) -> Option<&EventType> {
        self.iter().find(|t| t.category == category && t.name == name && t.version == version)
    }

    /// All versions of all event types, by category, name, version.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &EventType> {
        self.types.iter()
    }

    /// The newest version of each event type, by category, name.
    pub fn newest(&self) -> impl Iterator<Item = &EventType> {
        self.types.chunk_by(EventType::is_version_of).filter_map(<[_]>::last)
    }

    /// Names the content: registries with the same types, versions and schemas have the same one,
    /// wherever they were read from.
    pub fn fingerprint(&self) -> Uuid {
        self.fingerprint
    }
}

/// Category, name, version.
type Key = (String, String, u16);

fn types_of(sources: &[Source]) -> Result<BTreeMap<Key, EventType>, RegistryError> {
    let mut types = BTreeMap::<Key, EventType>::new();
    for source in sources.iter().filter(|source| source.is_schema()) {
        let event_type = parse_schema(source)?;
        let key = (event_type.category.clone(), event_type.name.clone(), event_type.version);
        if let Some(first) = types.get(&key) {
            let (category, name, version) = key;
            let (first, second) = (first.path.clone(), event_type.path);
            return Err(RegistryError::Conflict { category, name, version, first, second });
        }
        types.insert(key, event_type);
    }
    Ok(types)
}

impl EventType {
    fn is_version_of(&self, other: &Self) -> bool {
        self.name == other.name && self.category == other.category
    }

    fn is_named_by(&self, example: &Example) -> bool {
        let event: Value = serde_json::from_str(&example.event).unwrap_or_default();
        let is = |key, text: &str| event.get(key).and_then(Value::as_str) == Some(text);
        is("category", &self.category) && is("name", &self.name)
    }

    /// JSON pointers, from the root of `data`, of the properties that the schema marks with `x-personal`. `*` stands
    /// for every element of an array, and for every property that is not named.
    pub fn personal(&self) -> Vec<String> {
        fn find(schema: &Value, pointer: &str, found: &mut Vec<String>) {
            let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
            let named = properties.map(|(name, schema)| (keywords::below(pointer, name), schema));
            let others =
                ["additionalProperties", "items"].into_iter().filter_map(|others| schema.get(others));
            for (pointer, schema) in named.chain(others.map(|schema| (format!("{pointer}/*"), schema))) {
                find(schema, &pointer, found);
                if is_personal(schema) {
                    found.push(pointer);
                }
            }
        }
        let mut found = Vec::new();
        find(&self.schema, "", &mut found);
        found
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} / {:?} v{} of {}", self.category, self.name, self.version, self.path.display())
    }
}
