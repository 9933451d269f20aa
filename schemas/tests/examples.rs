//! Every example beside the event types, and all of the demo data, gets the verdict it promises.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::PathBuf,
    sync::Arc,
};

use flate2::read::GzDecoder;
use schemas::{ExpectedReason, Headers, Judge, Record, Registry, Settings, apps::Apps};

/// 2026-01-01T00:00:00Z: later than every valid example.
const LOG_TIME_MS: i64 = 1_767_225_600_000;

fn judge() -> Judge {
    let apps = Arc::new(Apps::from_iter(["demo"]));
    Judge::new(Arc::new(Registry::builtin().unwrap()), apps, Settings::default())
}

fn record(value: &[u8]) -> Record<'_> {
    let headers = Headers { app: Some(b"demo"), ..Headers::default() };
    Record { value: Some(value), headers, log_time_ms: LOG_TIME_MS, ..Record::default() }
}

#[test]
fn examples_get_the_verdicts_they_promise() {
    let judge = judge();
    for event_type in judge.registry().iter() {
        let (valid, invalid): (Vec<_>, Vec<_>) =
            event_type.examples.iter().partition(|e| e.reasons.is_empty());
        assert!(!valid.is_empty(), "{event_type:?} has no valid example");
        assert!(!invalid.is_empty(), "{event_type:?} has no invalid example");
        for example in &event_type.examples {
            let judgement = judge.judge(&record(example.event.as_bytes()));
            let reasons = judgement.reasons.iter().map(|reason| ExpectedReason {
                code: reason.code,
                pointer: reason.pointer.to_string(),
                keyword: reason.keyword.to_string(),
            });
            let (mut found, mut promised) = (reasons.collect::<Vec<_>>(), example.reasons.clone());
            found.sort();
            promised.sort();
            assert_eq!(found, promised, "{}: {judgement:#?}", example.path.display());
            if judgement.is_accepted() {
                assert_eq!(judgement.category, event_type.category, "{}", example.path.display());
                assert_eq!(judgement.name, event_type.name, "{}", example.path.display());
                assert_eq!(judgement.schema_version, event_type.version);
            }
        }
    }
}

#[test]
fn every_reason_of_an_event_has_an_example() {
    let registry = Registry::builtin().unwrap();
    let shown: Vec<_> =
        registry.iter().flat_map(|t| &t.examples).flat_map(|e| &e.reasons).map(|r| r.code).collect();
    for code in schemas::ReasonCode::ALL {
        // These are faults of the record, not of the event in it.
        let of_record = ["record_too_large", "unknown_application"].contains(&code.as_str());
        assert_eq!(shown.contains(&code), !of_record, "{code}");
    }
}

#[test]
fn all_of_the_demo_data_is_accepted() {
    let judge = judge();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/ecom/events-ecom.ndjson.gz");
    let mut accepted = 0;
    for line in BufReader::new(GzDecoder::new(File::open(path).unwrap())).lines() {
        let line = line.unwrap();
        let judgement = judge.judge(&record(line.as_bytes()));
        assert_eq!(judgement.reasons, [], "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(judgement.event_id.to_string(), value["event_id"].as_str().unwrap());
        assert_eq!(judgement.session_id.unwrap().to_string(), value["session_id"].as_str().unwrap());
        assert_eq!(serde_json::from_str::<serde_json::Value>(judgement.data).unwrap(), value["data"]);
        accepted += 1;
    }
    assert_eq!(accepted, 31_106);
}

#[test]
fn one_declared_type_is_never_used() {
    let registry = Registry::builtin().unwrap();
    assert!(registry.get("cart", "gift_wrap_add").is_some());
    assert_eq!(registry.newest().count(), 3 + 19 + 1);
}
