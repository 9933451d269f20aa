//! A record that was judged, as far as it can be recognised again: it tells whether a log is the one that was judged.

use schemas::{Judge, Record};
use uuid::Uuid;

use crate::judge::row::LAST_TIME;

/// What is known of one judged record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Witness {
    pub offset: u64,
    pub event_id: Uuid,
    /// The largest broker time up to this record, in milliseconds.
    pub log_time: i64,
    /// The same of the record before it; 0 if that is not known.
    pub log_time_before: i64,
}

impl Witness {
    /// Whether `record`, which the log holds at the offset now, can be the one that was judged.
    ///
    /// An id that a sender gave is enough to tell two records apart. An id that is derived from the place is the same
    /// for every record at this place; then the broker's time tells. Rules may have changed since (a limit on the size
    /// of records decides whether the value is read), so each id counts that the record can have had.
    pub(crate) fn recognises(&self, judge: &Judge, record: &Record<'_>) -> bool {
        let log_time = record.log_time_ms.min(LAST_TIME);
        // A broker time that is smaller than that of the record before left no trace.
        let same_time =
            log_time == self.log_time || log_time < self.log_time && self.log_time_before == self.log_time;
        let header = record.headers.event_id.and_then(|id| Uuid::try_parse_ascii(id).ok());
        let same_id = self.event_id == judge.derived_id(record.partition, record.offset)
            || header == Some(self.event_id)
            || judge.judge(record).event_id == self.event_id;
        same_time && same_id
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schemas::{Headers, Registry, Settings};

    use super::*;

    #[test]
    fn a_record_is_recognised_by_its_id_and_its_time() {
        let judge = Judge::new(Arc::new(Registry::builtin().unwrap()), Arc::default(), Settings::default());
        let id = Uuid::from_u128(7);
        let text = id.to_string();
        let record = |log_time_ms, event_id: Option<&'static str>| {
            let headers = event_id.map(|id| ("event_id", Some(id.as_bytes())));
            Record {
                partition: 0,
                offset: 5,
                key: None,
                value: Some(b"{}"),
                headers: headers.into_iter().collect::<Headers<'_>>(),
                log_time_ms,
            }
        };
        let text: &'static str = text.leak();
        let witness = Witness { offset: 5, event_id: id, log_time: 100, log_time_before: 90 };
        assert!(witness.recognises(&judge, &record(100, Some(text))));
        assert!(!witness.recognises(&judge, &record(100, None)), "another event");
        assert!(!witness.recognises(&judge, &record(101, Some(text))), "sent again, to another log");
        assert!(!witness.recognises(&judge, &record(99, Some(text))));
        let after_later = Witness { log_time_before: 100, ..witness };
        assert!(after_later.recognises(&judge, &record(99, Some(text))), "a clock that ran backwards");
        let last = Witness { log_time: LAST_TIME, ..witness };
        assert!(last.recognises(&judge, &record(i64::MAX, Some(text))), "later than the tables can hold");

        let derived = Witness { event_id: judge.derived_id(0, 5), ..witness };
        assert!(derived.recognises(&judge, &record(100, None)));
        assert!(!derived.recognises(&judge, &record(200, None)), "the place is the same, the time is not");
    }
}
