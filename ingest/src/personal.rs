//! Keeps personal values out of the log, by the marks in force.

use std::borrow::Cow;
use std::sync::Arc;

use anyhow::{Context, ensure};
use arc_swap::{ArcSwap, Guard};
use infra::follow::Files;
use schemas::Registry;
use schemas::personal::Masking;
use tokio::sync::Mutex;

use crate::config::{PersonalConfig, Undeclared};
use crate::json::{self, Scanned};
use crate::metrics::Metrics;
use crate::receipts::Fault;

/// Shorter keys could be guessed, and with them every value that is easy to guess.
const MIN_KEY_BYTES: usize = 32;

pub(crate) struct Personal {
    current: ArcSwap<Masking>,
    config: PersonalConfig,
    files: Mutex<Files>,
    metrics: Arc<Metrics>,
}

impl Personal {
    /// # Errors
    /// Event types that can't be used, no key although one is needed, a key that is too short.
    pub(crate) fn load(config: PersonalConfig, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let files = Files::new(config.event_types.clone())?;
        let current = ArcSwap::from_pointee(read(&config)?);
        metrics.event_types.loaded(files.version());
        Ok(Self { current, config, files: Mutex::new(files), metrics })
    }

    pub(crate) fn masking(&self) -> Guard<Arc<Masking>> {
        self.current.load()
    }

    /// Reads the event types again when they change and on SIGHUP, for ever. Event types that can't be used change
    /// nothing.
    pub(crate) async fn watch(&self) {
        let mut files = self.files.lock().await;
        loop {
            files.changed().await;
            self.reload(files.version());
        }
    }

    fn reload(&self, version: Option<&str>) {
        let read = read(&self.config).map(|masking| self.current.store(Arc::new(masking)));
        self.metrics.event_types.read_again("event types", version, read);
    }
}

fn read(config: &PersonalConfig) -> anyhow::Result<Masking> {
    let registry = Registry::load(&config.event_types).context("event types")?;
    let key = config.personal_key.as_deref().filter(|key| !key.is_empty());
    ensure!(
        key.is_none_or(|key| key.len() >= MIN_KEY_BYTES),
        "EYE_PERSONAL_KEY is shorter than {MIN_KEY_BYTES} characters: make one with `openssl rand -hex 32`"
    );
    let masking = Masking::new(&registry, key.map(str::as_bytes));
    masking.context("set EYE_PERSONAL_KEY, to the same for all gateways: `openssl rand -hex 32` makes one")
}

/// The event as it goes into the log. An event of a type without marks costs a look at the type's name, and nothing if
/// no type has marks.
///
/// # Errors
/// The event may have personal values, and nobody can say where.
pub(crate) fn mask<'a>(
    masking: &Masking,
    undeclared: Option<Undeclared>,
    event: &Scanned<'a>,
) -> Result<Cow<'a, [u8]>, Fault> {
    let undeclared_pass = match undeclared {
        Some(undeclared) => undeclared == Undeclared::Append,
        None => masking.is_empty(),
    };
    let is_concerned = || {
        let text = |token: Option<&'a [u8]>| token.and_then(json::text);
        let concerns = |(category, name): (Cow<'_, str>, Cow<'_, str>)| {
            masking.concerns(&category, &name) || !(undeclared_pass || masking.declares(&category, &name))
        };
        event.is_ambiguous || text(event.category).zip(text(event.name)).is_some_and(concerns)
    };
    if (masking.is_empty() && undeclared_pass) || !is_concerned() {
        return Ok(Cow::Borrowed(event.bytes));
    }
    let text = std::str::from_utf8(event.bytes).map_err(|_| Fault::not_utf8())?;
    let masked = masking.mask(text, undeclared_pass).map_err(|why| Fault::unmaskable(&why))?;
    Ok(Cow::Owned(masked.into_bytes()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::slice::{Form, slice};

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn folder(mark: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let schema = json!({
            "x-category": "a", "x-name": "b", "x-version": 1, "type": "object",
            "properties": {"email": {"type": "string", "x-personal": mark}},
        });
        fs::write(folder.path().join("b.schema.json"), schema.to_string()).unwrap();
        folder
    }

    fn config(folder: &tempfile::TempDir, key: Option<&str>) -> PersonalConfig {
        PersonalConfig {
            event_types: vec![folder.path().into()],
            personal_key: key.map(Into::into),
            undeclared_types: None,
        }
    }

    fn load(folder: &tempfile::TempDir, key: Option<&str>) -> anyhow::Result<Personal> {
        Personal::load(config(folder, key), Arc::new(Metrics::new()?))
    }

    fn masked(masking: &Masking, event: &str) -> Result<String, Fault> {
        let scanned = slice(event.as_bytes(), Form::Json, 1).remove(0).unwrap();
        mask(masking, Some(Undeclared::Append), &scanned)
            .map(|bytes| String::from_utf8(bytes.into_owned()).unwrap())
    }

    #[tokio::test]
    async fn a_key_is_needed_for_hashes_and_must_be_long() {
        let hash = folder("hash");
        for (key, why) in
            [(None, "set EYE_PERSONAL_KEY"), (Some(""), "set EYE_PERSONAL_KEY"), (Some("short"), "shorter")]
        {
            let error = format!("{:#}", load(&hash, key).err().unwrap());
            assert!(error.contains(why), "{error}");
        }
        assert!(load(&hash, Some(KEY)).is_ok());
        assert!(load(&folder("redact"), None).is_ok());
        assert!(format!("{:#}", load(&folder("hide"), None).err().unwrap()).contains("x-personal"));
    }

    #[tokio::test]
    async fn a_refused_reload_changes_nothing() {
        let folder = folder("redact");
        let personal = load(&folder, None).unwrap();
        let sent = r#"{"category":"a","name":"b","data":{"email":"x"}}"#;
        let redacted = sent.replace("\"x\"", "\"[redacted]\"");
        assert_eq!(masked(&personal.masking(), sent).unwrap(), redacted);
        let file = folder.path().join("b.schema.json");
        let schema = fs::read_to_string(&file).unwrap();
        fs::write(&file, schema.replace("redact", "hash")).unwrap();
        personal.reload(None);
        assert!(!personal.metrics.event_types.is_loaded());
        assert_eq!(masked(&personal.masking(), sent).unwrap(), redacted);
        fs::write(&file, schema.replace("\"redact\"", "true")).unwrap();
        personal.reload(None);
        assert!(personal.metrics.event_types.is_loaded());
        assert_eq!(masked(&personal.masking(), sent).unwrap(), sent);
    }

    #[tokio::test]
    async fn an_undeclared_type_is_refused_if_any_type_has_marks() {
        let said = |personal: &Personal, undeclared, event: &str| {
            let scanned = slice(event.as_bytes(), Form::Json, 1).remove(0).unwrap();
            mask(&personal.masking(), undeclared, &scanned).map(|bytes| bytes.into_owned())
        };
        let marked = load(&folder("redact"), None).unwrap();
        let unmarked = load(&tempfile::tempdir().unwrap(), None).unwrap();
        for event in [
            r#"{"category":"a","name":"new","data":{"email":"canary"}}"#,
            r#"{"category":"a","name":"b","name":"new","data":{"email":"canary"}}"#,
            r#"{"category":"a","category":"a","n\u0061me":"new","data":{"email":"canary"}}"#,
        ] {
            let fault = format!("{:?}", said(&marked, None, event).unwrap_err());
            assert!(fault.contains("undeclared_event_type") && !fault.contains("canary"), "{fault}");
            assert!(said(&marked, Some(Undeclared::Append), event).is_ok());
            assert_eq!(said(&unmarked, None, event).unwrap(), event.as_bytes());
            assert!(said(&unmarked, Some(Undeclared::Refuse), event).is_err());
        }
        // An event without a type is of no type.
        assert!(said(&marked, None, r#"{"data":{}}"#).is_ok());
        let known = r#"{"category":"page interaction","name":"pageview","data":{}}"#;
        assert_eq!(said(&marked, None, known).unwrap(), known.as_bytes());
    }

    proptest! {
        /// However the fields that say the type are written and repeated: if any reader could take the event for one
        /// of the marked type, its value is gone.
        #[test]
        fn no_writing_of_the_type_lets_a_value_through(fields in prop::collection::vec(field(), 1..7)) {
            let event = format!("{{{}}}", fields.join(","));
            static MASKING: LazyLock<Masking> = LazyLock::new(|| read(&config(&folder("redact"), None)).unwrap());
            // A reader that takes any of the occurrences.
            let says = |field: &str, text: &str| {
                let pair = |written: &String| serde_json::from_str::<serde_json::Map<_, _>>(&format!("{{{written}}}")).unwrap();
                fields.iter().any(|written| pair(written).get(field).is_some_and(|value| value == text))
            };
            let out = masked(&MASKING, &event).unwrap();
            match says("category", "a") && says("name", "b") {
                true => prop_assert!(!out.contains("canary"), "{}", out),
                false => prop_assert_eq!(out, event),
            }
        }
    }

    fn field() -> impl Strategy<Value = String> {
        prop::sample::select(vec![
            r#""category":"a""#,
            r#""category" : "\u0061""#,
            r#""c\u0061tegory":"a""#,
            r#""category":"z""#,
            r#""category":["a"]"#,
            r#""name":"b""#,
            r#""nam\u0065":"\u0062""#,
            r#""name":{"name":"b"}"#,
            r#""name":null"#,
            r#""data":{"email":"canary"}"#,
            r#""d\u0061ta":{"em\u0061il":"canary"}"#,
            r#""data":"canary""#,
        ])
        .prop_map(str::to_owned)
    }
}
