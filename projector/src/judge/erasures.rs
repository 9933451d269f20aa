//! What the log asks to erase: sessions, texts in the place of a session, single records.
//!
//! The log may ask for an erasure before or after the session's records, in any partition. The tables thus depend on
//! the log alone, not on the order in which projectors read it. A record that is judged once its erasure is known is
//! `erased` at once. [`crate::keep::erase`] changes the rows that were judged before.

use std::collections::HashSet;
use std::sync::RwLock;

use schemas::erasure::Target;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::judge::row::Place;

/// What a request names: SHA256 of a session id's text, as ClickHouse computes it (`SHA256(toString(session_id))`),
/// that of another text, or a place.
pub(crate) type Hash = [u8; 32];

pub(crate) fn hash(target: Target) -> Hash {
    match target {
        Target::Session(session) => {
            let mut text = Uuid::encode_buffer();
            Sha256::digest(session.hyphenated().encode_lower(&mut text).as_bytes()).into()
        }
        Target::Text(hash) => hash,
        // No SHA256 begins with so many zero bytes. `keep/erase/pending.sql` reads this form.
        Target::Place { partition, offset } => {
            let mut place = Hash::default();
            place[20..24].copy_from_slice(&partition.to_le_bytes());
            place[24..].copy_from_slice(&offset.to_le_bytes());
            place
        }
    }
}

/// The erased sessions that are known. All partitions share the set, and it only grows.
#[derive(Debug, Default)]
pub(crate) struct Erasures(RwLock<HashSet<Hash>>);

impl Erasures {
    pub(crate) fn extend(&self, found: impl IntoIterator<Item = Hash>) {
        let new: Vec<Hash> = {
            let known = self.0.read().expect(UNPOISONED);
            found.into_iter().filter(|hash| !known.contains(hash)).collect()
        };
        self.0.write().expect(UNPOISONED).extend(new);
    }

    pub(crate) fn add(&self, hash: Hash) {
        self.0.write().expect(UNPOISONED).insert(hash);
    }

    pub(crate) fn contains(&self, session: Uuid) -> bool {
        let known = self.0.read().expect(UNPOISONED);
        !known.is_empty() && known.contains(&hash(Target::Session(session)))
    }

    /// Whether a rejected record is erased by its place, or by the text in the place of its session.
    pub(crate) fn contains_rejected(&self, place: Place, session_text: &str) -> bool {
        let Place { partition, offset, .. } = place;
        let known = self.0.read().expect(UNPOISONED);
        !known.is_empty()
            && (known.contains(&hash(Target::Place { partition: partition.into(), offset }))
                || !session_text.is_empty() && known.contains(&hash(Target::of_text(session_text))))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.read().expect(UNPOISONED).len()
    }
}

const UNPOISONED: &str = "nothing panics while it holds the lock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_text() {
        let session = Uuid::parse_str("E2085BE5-9137-4E4E-80B5-F1FFDDC25423").unwrap();
        let expected = Sha256::digest("e2085be5-9137-4e4e-80b5-f1ffddc25423");
        assert_eq!(hash(Target::Session(session)), <Hash>::from(expected));
    }
}
