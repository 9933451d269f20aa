//! The judge: from a record to a verdict.

mod fields;

use std::borrow::Cow;
use std::sync::Arc;

use uuid::Uuid;

use self::fields::{Field, Fields};
use crate::apps::Apps;
use crate::erasure::{Erasers, Target, Unsigned};
use crate::json::{Document, Value};
use crate::reason::ReasonCode::*;
use crate::reason::{Reason, Reasons};
use crate::record::{Record, traceparent};
use crate::registry::Registry;
use crate::timestamp;

/// Judges records. A judge is cheap: make another one when the registry or the applications change.
///
/// # Rules
///
/// All faults of a record are told, not only the first; of a record that is not an event, only what
/// is wrong with the record and its application. In detail:
///
/// - The newest version of an event type judges, whenever the event was sent.
/// - Fields of the event that are not known are allowed: they stay in the log. A known field that
///   occurs twice is an `invalid_field`, and a key that any object of `data` repeats is a
///   `data_invalid`, because readers of JSON disagree on which of the two counts.
/// - `null` counts as absent for `event_id` and `sent_at`, and as an `invalid_field` elsewhere.
/// - UUIDs are taken in every common form: hyphenated or not, in either case, in braces or as a
///   URN.
/// - A leap second is the last microsecond of its minute; digits of a fraction beyond six are cut.
/// - `sent_at` is the sender's clock: it may lie in the future. A timestamp is in the future by the
///   time of receipt, which is the header's, or else the log's; never by the judge's own clock. A header that claims
///   a receipt later than the log's time by more than the tolerance is not believed.
/// - JSON that nests deeper than 127 levels, has a number beyond a double (`1e400`) or half a
///   surrogate pair is `invalid_json`: not every reader of the log could read it. Integers beyond
///   2^53 are allowed, and compared with a schema's bounds as exactly as `jsonschema` can.
#[derive(Debug, Clone)]
pub struct Judge {
    registry: Arc<Registry>,
    apps: Arc<Apps>,
    settings: Settings,
}

/// The settings that a verdict depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The topic's name: part of the derived id of an event that has none.
    pub topic: String,
    /// How far ahead of the time of receipt a `timestamp` may lie, in microseconds.
    pub future_tolerance_us: i64,
    /// A record value of more bytes is `record_too_large` and not read any further.
    pub max_record_bytes: usize,
    /// Who may erase.
    pub erasers: Arc<Erasers>,
}

impl Default for Settings {
    /// `eye.events`, one minute, 1 MiB.
    fn default() -> Self {
        Self {
            topic: "eye.events".into(),
            future_tolerance_us: 60_000_000,
            max_record_bytes: 1 << 20,
            erasers: Arc::default(),
        }
    }
}

/// The verdict on one record: accepted if there is no reason against it. Of a rejected record the
/// fields hold whatever could be read. Duplicates are not seen here: a judge has no memory.
///
/// All times are microseconds since 1970-01-01T00:00:00Z, from 1900 to the end of 2299.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement<'a> {
    /// The sender's `event_id`, or else the header's, or else UUIDv5 of topic, partition, offset.
    pub event_id: Uuid,
    /// The event's, or else the record's key: bytes that can't be read are of a session, too. `None` only
    /// if rejected.
    pub session_id: Option<Uuid>,
    /// The event's `session_id` if it is a text, but no UUID; otherwise empty.
    pub session_text: Cow<'a, str>,
    /// The application as the header names it (lossy if not UTF-8, its first 255 characters); empty
    /// if there is no header.
    pub app: Cow<'a, str>,
    /// Empty if it could not be read; of one that is too long its first 255 characters.
    pub category: Cow<'a, str>,
    /// As `category`.
    pub name: Cow<'a, str>,
    /// The sender's own bytes of the `data` object; empty if there is none.
    pub data: &'a str,
    /// `None` only if rejected.
    pub timestamp: Option<i64>,
    pub sent_at: Option<i64>,
    /// The header's if it is believable, or else the log's time.
    pub received_at: i64,
    /// The header's, if it is well-formed; otherwise empty.
    pub traceparent: &'a str,
    /// Version of the schema that judged `data`; 0 if none did.
    pub schema_version: u16,
    /// At most [`MAX_REASONS`](crate::MAX_REASONS); empty if and only if the record is accepted.
    pub reasons: Vec<Reason>,
    /// How many reasons there were, at most `u16::MAX`.
    pub reasons_total: u16,
}

impl Judgement<'_> {
    pub fn is_accepted(&self) -> bool {
        self.reasons_total == 0
    }
}

impl Judge {
    pub fn new(registry: Arc<Registry>, apps: Arc<Apps>, settings: Settings) -> Self {
        Self { registry, apps, settings }
    }

    /// The same judge with other event types.
    pub fn with_registry(&self, registry: Arc<Registry>) -> Self {
        Self { registry, ..self.clone() }
    }

    /// The same judge with other applications.
    pub fn with_apps(&self, apps: Arc<Apps>) -> Self {
        Self { apps, ..self.clone() }
    }

    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    pub fn apps(&self) -> &Arc<Apps> {
        &self.apps
    }

    /// What a record asks to erase, if whoever wrote it may. A record that asks without the right is judged as any
    /// other, and rejected.
    pub fn erases(&self, record: &Record<'_>) -> Option<Target> {
        self.asked(record).ok().flatten()
    }

    fn asked(&self, record: &Record<'_>) -> Result<Option<Target>, Unsigned> {
        self.settings.erasers.asked(&self.settings.topic, record)
    }

    pub fn erasers(&self) -> &Erasers {
        &self.settings.erasers
    }

    /// Judges one record, whatever its bytes. Time grows with the size of the record, not with its
    /// form, and no form of it can exhaust the stack.
    pub fn judge<'a>(&self, record: &Record<'a>) -> Judgement<'a> {
        self.judge_by(record, None)
    }

    /// Judges a record that was judged before by this version of its event type, or, where that is 0, when its type was
    /// not declared. Where the registry has no such version any more the newest judges, as the judgement then says.
    pub fn judge_again<'a>(&self, record: &Record<'a>, schema_version: u16) -> Judgement<'a> {
        self.judge_by(record, Some(schema_version))
    }

    fn judge_by<'a>(&self, record: &Record<'a>, version: Option<u16>) -> Judgement<'a> {
        let mut reasons = Reasons::default();
        let mut judgement = Judgement {
            event_id: Uuid::nil(),
            session_id: None,
            session_text: Cow::Borrowed(""),
            app: self.app(record, &mut reasons),
            category: Cow::Borrowed(""),
            name: Cow::Borrowed(""),
            data: "",
            timestamp: None,
            sent_at: None,
            received_at: self.received_at(record),
            traceparent: record.headers.traceparent.and_then(traceparent).unwrap_or_default(),
            schema_version: 0,
            reasons: Vec::new(),
            reasons_total: 0,
        };
        if self.asked(record).is_err() {
            reasons.add(
                UnsignedErasure,
                "",
                format_args!("a request to erase must be signed with one of the keys of --erase-keys"),
            );
        }
        let mut event_id = None;
        if let Some(document) = self.parse(record, &mut reasons)
            && let Some(fields) = Fields::read(document.root(), &mut reasons)
        {
            (judgement.session_id, judgement.session_text) = fields.session_id(&mut reasons);
            let (category, category_fits) = fields.label(Field::Category, &mut reasons);
            let (name, name_fits) = fields.label(Field::Name, &mut reasons);
            (judgement.category, judgement.name) = (category, name);
            let data = fields.data(&mut reasons);
            judgement.data = data.map(|data| data.raw()).unwrap_or_default();
            judgement.timestamp = fields.timestamp(&mut reasons);
            event_id = fields.event_id(&mut reasons);
            judgement.sent_at = fields.sent_at(&mut reasons);

            self.check_future(&judgement, &mut reasons);
            if let Some(data) = data {
                check_repeated_keys(data, &mut reasons);
            }
            if category_fits && name_fits {
                judgement.schema_version = self.check_type(&judgement, data, version, &mut reasons);
            }
        }
        judgement.session_id = judgement.session_id.or_else(|| record.keyed_session());
        judgement.event_id = event_id
            .or_else(|| header_id(record))
            .unwrap_or_else(|| self.derived_id(record.partition, record.offset));
        (judgement.reasons, judgement.reasons_total) = reasons.finish();
        judgement
    }

    fn parse<'a>(&self, record: &Record<'a>, reasons: &mut Reasons) -> Option<Document<'a>> {
        let value = record.value.unwrap_or_default();
        if value.is_empty() {
            reasons.add(EmptyRecord, "", format_args!("the record has no value"));
            return None;
        }
        let (size, limit) = (value.len(), self.settings.max_record_bytes);
        if size > limit {
            reasons.add(RecordTooLarge, "", format_args!("the event has {size} bytes; the limit is {limit}"));
            return None;
        }
        let text = str::from_utf8(value)
            .map_err(|e| reasons.add(InvalidJson, "", format_args!("not UTF-8 at byte {}", e.valid_up_to())))
            .ok()?;
        Document::parse(text).map_err(|e| reasons.add(InvalidJson, "", format_args!("{e}"))).ok()
    }

    fn app<'a>(&self, record: &Record<'a>, reasons: &mut Reasons) -> Cow<'a, str> {
        let Some(name) = record.headers.app else {
            reasons.add(UnknownApplication, "", format_args!("the record has no header \"app\""));
            return Cow::Borrowed("");
        };
        match str::from_utf8(name) {
            Ok(name) if self.apps.contains(name) => Cow::Borrowed(name),
            _ => {
                let name = String::from_utf8_lossy(name);
                reasons.add(UnknownApplication, "", format_args!("no application {name:?} is registered"));
                Cow::Owned(fields::first_chars(&name).into())
            }
        }
    }

    fn received_at(&self, record: &Record<'_>) -> i64 {
        let log_time = record.log_time_ms.saturating_mul(1000).clamp(timestamp::MIN, timestamp::MAX);
        // A log without times has -1 or 0.
        let latest = if log_time > 0 {
            log_time.saturating_add(self.settings.future_tolerance_us)
        } else {
            timestamp::MAX
        };
        let header = record.headers.received_at.and_then(|header| str::from_utf8(header).ok());
        let header = header.and_then(|header| timestamp::parse(header).ok());
        header.filter(|header| *header <= latest).unwrap_or(log_time)
    }

    fn check_future(&self, judgement: &Judgement<'_>, reasons: &mut Reasons) {
        let Some(timestamp) = judgement.timestamp else { return };
        let (ahead, tolerance) = (timestamp - judgement.received_at, self.settings.future_tolerance_us);
        if ahead > tolerance {
            let (ahead, tolerance) = (ahead as f64 / 1e6, tolerance as f64 / 1e6);
            // A clock that is wrong by years is not wrong by a number of ten digits.
            let ahead = if ahead < 172_800.0 {
                format!("{ahead} s")
            } else {
                format!("{} days", (ahead / 86_400.0).floor())
            };
            let message = format_args!("{ahead} later than its receipt; at most {tolerance} s are allowed");
            reasons.add(FutureTimestamp, "/timestamp", message);
        }
    }

    /// The version of the schema that judged `data`, or 0.
    fn check_type(
        &self,
        judgement: &Judgement<'_>,
        data: Option<Value<'_, '_>>,
        version: Option<u16>,
        reasons: &mut Reasons,
    ) -> u16 {
        let (category, name) = (&*judgement.category, &*judgement.name);
        let newest = self.registry.get(category, name);
        let declared = match version {
            // No data: no schema judged it, declared or not.
            Some(0) if data.is_some() => None,
            None | Some(0) => newest,
            Some(version) => self.registry.version(category, name, version).or(newest),
        };
        let Some(event_type) = declared else {
            let message =
                format_args!("no event type is declared for category {category:?} and name {name:?}");
            reasons.add(UnknownEventType, "", message);
            return 0;
        };
        let Some(data) = data else { return 0 };
        event_type.compiled.check(data, reasons);
        event_type.version
    }

    /// The id of an event that came without one.
    pub fn derived_id(&self, partition: i32, offset: i64) -> Uuid {
        /// UUIDv5 of `urn:the-eye:event` in the namespace of URLs.
        const NAMESPACE: Uuid = Uuid::from_u128(0x3f1a73dd_c786_5b4a_b1f9_475f10bac81a);
        let place = format!("{}/{partition}/{offset}", self.settings.topic);
        Uuid::new_v5(&NAMESPACE, place.as_bytes())
    }
}

fn check_repeated_keys(data: Value<'_, '_>, reasons: &mut Reasons) {
    for key in data.repeated_keys() {
        let message = "the key occurs more than once in its object: readers would disagree on its value";
        reasons.add_data(&data.pointer_to(key), "uniqueKeys", &message);
    }
}

fn header_id(record: &Record<'_>) -> Option<Uuid> {
    Uuid::try_parse_ascii(record.headers.event_id?).ok()
}
