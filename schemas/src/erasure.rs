//! Requests to erase: what they name, and who may make them.
//!
//! A request is a record of the log, so whoever may write to the topic can write one. It counts if it is signed with a
//! key that applications do not have: HMAC-SHA256 (RFC 2104) over the topic and what is to be erased. A repeated
//! request erases what is erased already, so nothing keeps it from being sent again.

use std::fmt;
use std::path::Path;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::record::{Record, header};

/// The shortest key, in characters.
const SHORTEST: usize = 32;

/// What a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Every record of this session.
    Session(Uuid),
    /// Every record with a `session_id` that is no UUID, but the text with this SHA-256.
    Text([u8; 32]),
    /// The record at this place, if it is rejected: an event is erased with its session.
    Place { partition: i32, offset: u64 },
}

impl Target {
    pub fn of_text(text: &str) -> Self {
        Self::Text(Sha256::digest(text.as_bytes()).into())
    }

    /// The value of the header `erase`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Session(_) => header::ERASE_SESSION,
            Self::Text(_) => header::ERASE_TEXT,
            Self::Place { .. } => header::ERASE_PLACE,
        }
    }

    /// The key of the record: the session, the hash in hexadecimal digits, or `PARTITION:OFFSET`.
    pub fn key(self) -> String {
        match self {
            Self::Session(session) => session.hyphenated().to_string(),
            Self::Text(hash) => hex::encode(hash),
            Self::Place { partition, offset } => format!("{partition}:{offset}"),
        }
    }

    /// What a record names, signed or not. A record that has the header, but no such key, is no request.
    fn of(record: &Record<'_>) -> Option<Self> {
        let (kind, key) = (record.headers.erase?, str::from_utf8(record.key?).ok()?);
        let target = if kind == header::ERASE_SESSION.as_bytes() {
            // Zero stands for "could not be read" in the tables.
            Self::Session(Uuid::try_parse(key).ok().filter(|session| !session.is_nil())?)
        } else if kind == header::ERASE_TEXT.as_bytes() {
            Self::Text(hex::decode(key).ok()?.try_into().ok()?)
        } else if kind == header::ERASE_PLACE.as_bytes() {
            let (partition, offset) = key.split_once(':')?;
            Self::Place { partition: partition.parse().ok()?, offset: offset.parse().ok()? }
        } else {
            return None;
        };
        Some(target)
    }
}

/// Who may erase.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Erasers {
    /// The first one signs. Without any, nobody has to sign.
    keys: Vec<String>,
    /// Before this time of the log (milliseconds) nobody had to sign.
    unsigned_until: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum ErasersError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("line {0}: a key has at least {SHORTEST} characters; `openssl rand -hex 32` makes one")]
    Short(usize),
    #[error("there is no key in it; `openssl rand -hex 32` makes one")]
    Empty,
}

impl Erasers {
    /// Reads a file with a key a line; empty lines and those that begin with `#` do not count.
    ///
    /// # Errors
    /// It can't be read, has no key, or has one that is too short.
    pub fn load(path: &Path, unsigned_until: i64) -> Result<Self, ErasersError> {
        let mut keys = Vec::new();
        for (index, line) in std::fs::read_to_string(path)?.lines().enumerate() {
            let line = line.trim();
            match line {
                "" => {}
                comment if comment.starts_with('#') => {}
                key if key.chars().count() < SHORTEST => return Err(ErasersError::Short(index + 1)),
                key => keys.push(key.to_owned()),
            }
        }
        if keys.is_empty() {
            return Err(ErasersError::Empty);
        }
        Ok(Self { keys, unsigned_until })
    }

    /// Whether everybody may erase who may write to the topic.
    pub fn are_all(&self) -> bool {
        self.keys.is_empty()
    }

    /// The value of the header `signature`; `None` without keys.
    pub fn sign(&self, topic: &str, target: Target) -> Option<String> {
        let mac = Self::mac(self.keys.first()?, topic, target.kind(), &target.key())?;
        Some(hex::encode(mac.finalize().into_bytes()))
    }

    /// What a record asks to erase, if whoever wrote it may. `Err` for a request that is not signed by a known key.
    pub(crate) fn asked(&self, topic: &str, record: &Record<'_>) -> Result<Option<Target>, Unsigned> {
        let Some(target) = Target::of(record) else { return Ok(None) };
        if self.keys.is_empty() || record.log_time_ms < self.unsigned_until {
            return Ok(Some(target));
        }
        let signature =
            record.headers.signature.and_then(|header| hex::decode(header).ok()).ok_or(Unsigned)?;
        // As it was signed: of a session in another spelling than ours, too.
        let key = record.key.and_then(|key| str::from_utf8(key).ok()).unwrap_or_default();
        let is_signed = |secret: &String| {
            Self::mac(secret, topic, target.kind(), key)
                .is_some_and(|mac| mac.verify_slice(&signature).is_ok())
        };
        if self.keys.iter().any(is_signed) { Ok(Some(target)) } else { Err(Unsigned) }
    }

    fn mac(secret: &str, topic: &str, kind: &str, key: &str) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
        // No part can hold a zero byte, so no two requests have the same text.
        for part in ["the-eye erase", topic, kind, key] {
            mac.update(part.as_bytes());
            mac.update(&[0]);
        }
        Some(mac)
    }
}

/// A request that is not signed by a known key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsigned;

/// Without the keys.
impl fmt::Debug for Erasers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Erasers")
            .field("keys", &self.keys.len())
            .field("unsigned_until", &self.unsigned_until)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Headers;

    const TOPIC: &str = "eye.events";

    fn erasers(keys: &[&str], unsigned_until: i64) -> Erasers {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), keys.join("\n")).unwrap();
        Erasers::load(file.path(), unsigned_until).unwrap()
    }

    fn asked(
        erasers: &Erasers,
        target: Target,
        signature: Option<&str>,
        log_time_ms: i64,
    ) -> Result<Option<Target>, Unsigned> {
        let key = target.key();
        let headers =
            [("erase", Some(target.kind().as_bytes())), ("signature", signature.map(str::as_bytes))];
        let headers = Headers::from_iter(headers);
        erasers.asked(TOPIC, &Record { key: Some(key.as_bytes()), headers, log_time_ms, ..Record::default() })
    }

    #[test]
    fn only_a_signed_request_counts() {
        let (old, new) = ("an old key of thirty-two characters", "a new key of thirty-two characters!");
        let (before, now) = (erasers(&["# why", old], 100), erasers(&[new, "", old], 100));
        let session = Target::Session(Uuid::from_u128(7));
        for target in
            [session, Target::of_text("ann@example.com"), Target::Place { partition: 3, offset: 77 }]
        {
            let signature = before.sign(TOPIC, target).unwrap();
            assert_eq!(asked(&before, target, Some(&signature), 200), Ok(Some(target)));
            assert_eq!(
                asked(&now, target, Some(&signature), 200),
                Ok(Some(target)),
                "keys change one by one"
            );
            assert_eq!(asked(&now, target, None, 200), Err(Unsigned));
            assert_eq!(asked(&now, target, Some("00"), 200), Err(Unsigned));
            assert_eq!(asked(&now, target, None, 99), Ok(Some(target)), "from before there were keys");
            assert_eq!(asked(&Erasers::default(), target, None, 200), Ok(Some(target)), "nobody has to sign");
            let elsewhere = before.sign("another", target).unwrap();
            assert_eq!(asked(&before, target, Some(&elsewhere), 200), Err(Unsigned));
        }
        let signature = before.sign(TOPIC, session).unwrap();
        assert_eq!(asked(&before, Target::Session(Uuid::from_u128(8)), Some(&signature), 200), Err(Unsigned));
    }

    #[test]
    fn a_file_of_keys_is_checked_and_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let load = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            Erasers::load(file.path(), 0)
        };
        assert!(load("").unwrap_err().to_string().contains("openssl rand"));
        assert!(load("# a\nshort").unwrap_err().to_string().starts_with("line 2"));
        let key = "0123456789abcdef0123456789abcdef";
        assert!(!format!("{:?}", load(key).unwrap()).contains(key));
    }

    #[test]
    fn what_is_no_request_is_judged_as_any_record() {
        let record = |kind: &'static str, key: &'static [u8]| {
            let headers = Headers::from_iter([("erase", Some(kind.as_bytes()))]);
            Erasers::default().asked(TOPIC, &Record { key: Some(key), headers, ..Record::default() })
        };
        for (kind, key) in [
            ("everything", &b"00000000-0000-0000-0000-000000000007"[..]),
            ("session", b"00000000-0000-0000-0000-000000000000"),
            ("session", b"ann@example.com"),
            ("text", b"ann@example.com"),
            ("place", b"3"),
            ("place", b"\xff"),
        ] {
            assert_eq!(record(kind, key), Ok(None));
        }
    }
}
