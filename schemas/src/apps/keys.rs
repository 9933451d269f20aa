//! The keys of applications and readers, by their hashes.
//!
//! A key is 256 random bits, so its plain SHA-256 can be stored: there is nothing to guess. Looking up the hash in a
//! map also means that the time of a look-up says nothing about how close a guess was.

use std::collections::HashMap;

use hex::FromHex;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{AppsError, content};

/// Keys and whose they are.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys(HashMap<[u8; 32], (Owner, Key)>);

/// A key as the registry file has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyEntry {
    sha256: String,
    #[serde(default)]
    expires: Option<toml::value::Datetime>,
    #[serde(default)]
    browser: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// Seconds since 1970.
    expires: Option<i64>,
    pub(super) browser: bool,
}

/// A place in the list of applications or of readers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner {
    App(usize),
    Reader(usize),
}

impl Keys {
    pub(super) fn add(&mut self, owner: Owner, name: &str, entries: &[KeyEntry]) -> Result<(), AppsError> {
        for KeyEntry { sha256, expires, browser } in entries {
            let Ok(hash) = <[u8; 32]>::from_hex(sha256) else {
                return content(format!("{name}: sha256 must be 64 hexadecimal digits"));
            };
            let expires = expires.as_ref().map(|time| OffsetDateTime::parse(&time.to_string(), &Rfc3339));
            let Ok(expires) = expires.transpose() else {
                return content(format!(
                    "{name}: expires must be a time with a zone, e.g. 2027-01-01T00:00:00Z"
                ));
            };
            let key = Key { expires: expires.map(OffsetDateTime::unix_timestamp), browser: *browser };
            if self.0.insert(hash, (owner, key)).is_some() {
                return content(format!("{name}: the key with sha256 {sha256} is listed twice"));
            }
        }
        Ok(())
    }

    /// `now`: seconds since 1970.
    pub(super) fn find(&self, key: &[u8], now: i64) -> Option<(Owner, Key)> {
        let (owner, key) = *self.0.get(&*Sha256::digest(key))?;
        key.expires.is_none_or(|expires| now < expires).then_some((owner, key))
    }
}

/// The hash of a key, as the registry stores it: lower-case hex.
pub fn sha256_hex(key: &[u8]) -> String {
    hex::encode(Sha256::digest(key))
}
