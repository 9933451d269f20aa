mod keywords;
mod source;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
};

use serde_json::Value;
use uuid::Uuid;

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
    /// category -> name -> place of the newest version in `types`.
    newest: HashMap<Box<str>, HashMap<Box<str>, usize>>,
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
        let mut sources = Vec::new();
        for directory in directories {
            sources.extend(source::read(directory.as_ref())?);
        }
        Self::from_sources(sources)
    }

    fn from_sources(mut sources: Vec<Source>) -> Result<Self, RegistryError> {
        sources.sort();
        let mut types = BTreeMap::<_, EventType>::new();
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
        let mut types: Vec<_> = types.into_values().collect();

        let mut newest = HashMap::<Box<str>, HashMap<Box<str>, usize>>::new();
        for (place, event_type) in types.iter().enumerate() {
            let names = newest.entry(event_type.category.as_str().into()).or_default();
            names.insert(event_type.name.as_str().into(), place);
        }

        for source in &sources {
            let Some(directory) = source.example_of() else { continue };
            let example = parse_example(source)?;
            let beside = newest.values().flat_map(HashMap::values).copied().filter(|place| {
                types.get(*place).and_then(|event_type| event_type.path.parent()) == Some(directory)
            });
            for place in beside.collect::<Vec<_>>() {
                if let Some(event_type) = types.get_mut(place) {
                    event_type.examples.push(example.clone());
                }
            }
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
        Ok(Self { types, newest, fingerprint })
    }

    /// The newest version of an event type: the one that judges.
    pub fn get(&self, category: &str, name: &str) -> Option<&EventType> {
        self.types.get(*self.newest.get(category)?.get(name)?)
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
        self.iter()
            .filter(|t| self.get(&t.category, &t.name).is_some_and(|newest| newest.version == t.version))
    }

    /// Names the content: registries with the same types, versions and schemas have the same one,
    /// wherever they were read from.
    pub fn fingerprint(&self) -> Uuid {
        self.fingerprint
    }
}

impl EventType {
    /// JSON pointers, from the root of `data`, of the properties that the schema marks with
    /// `"x-personal": true`.
    pub fn personal(&self) -> Vec<String> {
        fn find(schema: &Value, pointer: &str, found: &mut Vec<String>) {
            let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
            for (name, property) in properties {
                let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                find(property, &pointer, found);
                if property.get("x-personal") == Some(&Value::Bool(true)) {
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
