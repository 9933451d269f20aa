//! Keeps personal values out of the log: a schema marks them, and a text takes their place.
//!
//! ```text
//! "x-personal": "redact"   a text that is always the same
//! "x-personal": "hash"     HMAC-SHA256 of the value: equal values stay equal, nobody can read them
//! "x-personal": true       personal, and kept: a mark for people
//! ```
//!
//! Only the marked values change; every other byte stays as its sender wrote it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::json::{Document, SyntaxError};
use crate::registry::Registry;
use crate::registry::marks::{Marks, replace};

/// Replaces personal values. It is made from the newest versions of a registry, and keeps no part of the registry.
#[derive(Debug, Default)]
pub struct Masking {
    /// Category, name: only of types with marks that replace something.
    types: BTreeMap<String, BTreeMap<String, Marks>>,
    /// Category, name: of every type.
    declared: BTreeMap<String, BTreeSet<String>>,
    key: Option<Hmac<Sha256>>,
}

/// A value of a schema is to be hashed, and there is no key.
#[derive(Debug, thiserror::Error)]
#[error("{category:?} / {name:?} has values marked \"x-personal\": \"hash\", which needs a key")]
pub struct NoKey {
    category: String,
    name: String,
}

/// Readers of JSON would differ on what is in the event.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(SyntaxError);

/// Why an event's personal values can't be told from the rest of it.
#[derive(Debug, thiserror::Error)]
pub enum Unmaskable {
    #[error("not JSON that all readers read alike, in an event that may have personal data: {0}")]
    Unreadable(Unreadable),
    /// Its type may have marks that this registry does not know yet.
    #[error(
        "no event type {category:?} / {name:?} is declared here, so nobody can say what of it is personal data"
    )]
    Undeclared { category: String, name: String },
}

impl Masking {
    /// # Errors
    /// A type has values to be hashed, and there is no key.
    pub fn new(registry: &Registry, key: Option<&[u8]>) -> Result<Self, NoKey> {
        let key = key.and_then(|key| Hmac::new_from_slice(key).ok());
        let mut masking = Self { key, ..Self::default() };
        for event_type in registry.newest() {
            let names = masking.declared.entry(event_type.category.clone()).or_default();
            names.insert(event_type.name.clone());
            let Some(marks) = &event_type.marks else { continue };
            let (category, name) = (event_type.category.clone(), event_type.name.clone());
            if masking.key.is_none() && marks.needs_key() {
                return Err(NoKey { category, name });
            }
            masking.types.entry(category).or_default().insert(name, marks.clone());
        }
        Ok(masking)
    }

    /// Whether no event has anything to be replaced.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// Whether events of this type may have something to be replaced.
    pub fn concerns(&self, category: &str, name: &str) -> bool {
        self.types.get(category).is_some_and(|names| names.contains_key(name))
    }

    /// Whether an event type of this name is declared.
    pub fn declares(&self, category: &str, name: &str) -> bool {
        self.declared.get(category).is_some_and(|names| names.contains(name))
    }

    /// The event with its personal values replaced. `undeclared_pass`: whether to take an event of an undeclared type
    /// as it is.
    ///
    /// It is on the safe side. If a field is repeated, each occurrence counts, because readers differ on which one they
    /// take. A value in the place of an object or array with marked parts is replaced as a whole.
    ///
    /// # Errors
    /// The event is no JSON that all readers read alike, or its type is not declared.
    pub fn mask(&self, event: &str, undeclared_pass: bool) -> Result<String, Unmaskable> {
        let document = Document::parse(event).map_err(|error| Unmaskable::Unreadable(Unreadable(error)))?;
        let members = || document.root().members();
        let said = |field: &str| -> HashSet<_> {
            members().filter(|(key, _)| key.is_str(field)).filter_map(|(_, value)| value.as_str()).collect()
        };
        let (categories, names) = (said("category"), said("name"));
        if !undeclared_pass {
            let types = categories.iter().flat_map(|category| names.iter().map(move |name| (category, name)));
            for (category, name) in types {
                if !self.declares(category, name) {
                    let (category, name) = (category.to_string(), name.to_string());
                    return Err(Unmaskable::Undeclared { category, name });
                }
            }
        }
        let mut found = Vec::new();
        for (_, types) in self.types.iter().filter(|(category, _)| categories.contains(category.as_str())) {
            for (_, marks) in types.iter().filter(|(name, _)| names.contains(name.as_str())) {
                for (_, data) in members().filter(|(key, _)| key.is_str("data")) {
                    marks.find(data, &mut found);
                }
            }
        }
        Ok(replace(event, found, self.key.as_ref()))
    }
}
