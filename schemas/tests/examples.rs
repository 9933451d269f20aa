//! Every example beside the event types, and all of the demo data, gets the verdict it promises.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;

use flate2::read::GzDecoder;
use schemas::apps::Apps;
use schemas::{Headers, Judge, Record, Registry, Settings, check};

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
    let apps = Arc::new(Apps::from_iter(["example"]));
    let registry = Arc::new(Registry::builtin().unwrap());
    let judge = Judge::new(Arc::clone(&registry), apps, Settings::default());
    for event_type in registry.iter() {
        let (valid, invalid): (Vec<_>, Vec<_>) =
            event_type.examples.iter().partition(|e| e.reasons.is_empty());
        assert!(!valid.is_empty(), "{event_type:?} has no valid example");
        assert!(!invalid.is_empty(), "{event_type:?} has no invalid example");
        for example in &event_type.examples {
            let judged = check::replay(&judge, event_type, example, LOG_TIME_MS);
            assert_eq!(judged, Ok(()), "{}", example.path.display());
        }
    }
}

/// An author is told the faults of a type before it judges any event.
#[test]
fn faulty_types_are_told() {
    let told = |files: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        match Registry::load(&[folder.path()]) {
            Ok(registry) => {
                let problems = check::check(&Arc::new(registry), folder.path(), LOG_TIME_MS, true).unwrap();
                problems.iter().map(|problem| problem.problem.clone()).collect::<Vec<_>>().join("\n")
            }
            Err(error) => error.to_string(),
        }
    };
    let schema =
        |more: &str| format!(r#"{{"x-category":"a","x-name":"b","x-version":1,"type":"object"{more}}}"#);
    let event = |name: &str, data: &str| {
        format!(
            r#"{{"session_id":"e2085be5-9137-4e4e-80b5-f1ffddc25423","category":"a","name":"{name}","data":{data},"timestamp":"2021-01-01T00:00:00Z"}}"#
        )
    };
    let invalid = |data: &str| {
        format!(
            r#"{{"event":{},"reasons":[{{"code":"data_invalid","pointer":"/data","keyword":"required"}}]}}"#,
            event("b", data)
        )
    };
    let strict = schema(r#","required":["c"]"#);
    let (valid, refused) = (event("b", r#"{"c":1}"#), invalid("{}"));
    let (v, i) = ("examples/valid/1.json", "examples/invalid/1.json");
    assert_eq!(told(&[("b.schema.json", &strict), (v, &valid), (i, &refused)]), "");

    let impossible = schema(r#","required":["c"],"properties":{"c":false}"#);
    let misspelt =
        |keyword: &str| schema(&format!(r#","properties":{{"c":{{"type":"string","{keyword}":"hash"}}}}"#));
    for (files, expected) in [
        (vec![], "no event type is in this folder"),
        (vec![("v1.json", &*strict)], "neither a schema (NAME.schema.json) nor an example"),
        (vec![("b.schema.json", &*strict)], "no valid example: nothing shows that an event can satisfy it"),
        (vec![("b.schema.json", &*strict), (v, &*valid)], "no invalid example"),
        (
            vec![("b.schema.json", &*impossible), (v, &*valid), (i, &*refused)],
            "promises: accepted; is judged: data_invalid /data/c",
        ),
        (
            vec![("b.schema.json", &*strict), (v, &*valid), (i, &*invalid(r#"{"c":1}"#))],
            "is judged: accepted",
        ),
        (vec![("b.schema.json", &*strict), (v, "garbage"), (i, &*refused)], "is judged: invalid_json"),
        (
            vec![("b.schema.json", &*strict), (v, &*event("pageview", r#"{"c":1}"#)), (i, &*refused)],
            "unknown_event_type",
        ),
        (
            vec![("b/b.schema.json", &*strict), ("examples/valid/1.json", &*valid)],
            "an example of no event type",
        ),
        (vec![("b.schema.json", &*misspelt("x-persnal"))], "did you mean x-personal?"),
        (vec![("b.schema.json", &*misspelt("x-nam"))], "did you mean x-name?"),
        (vec![("b.schema.json", &*misspelt("x-Personal"))], "did you mean x-personal?"),
    ] {
        let told = told(&files);
        assert!(told.contains(expected), "{expected:?} is not in {told:?}");
    }
    for others in ["x-owner", "x-time", "x-date", "x-page", "x-note"] {
        let told = told(&[("b.schema.json", &misspelt(others))]);
        assert!(!told.contains("did you mean"), "others' keywords are theirs: {told}");
    }

    // Two types in one folder: each example is for the type that it names.
    let other = strict.replace(r#""x-name":"b""#, r#""x-name":"z""#);
    let of_other = |text: &str| text.replace(r#""name":"b""#, r#""name":"z""#);
    let flat = [
        ("b.schema.json", &*strict),
        ("z.schema.json", &*other),
        (v, &*valid),
        (i, &*refused),
        ("examples/valid/2.json", &*of_other(&valid)),
        ("examples/invalid/2.json", &*of_other(&refused)),
    ];
    assert_eq!(told(&flat), "");
}

#[test]
fn every_reason_of_an_event_has_an_example() {
    let registry = Registry::builtin().unwrap();
    let shown: Vec<_> =
        registry.iter().flat_map(|t| &t.examples).flat_map(|e| &e.reasons).map(|r| r.code).collect();
    for code in schemas::ReasonCode::ALL {
        // These are faults of the record, not of the event in it.
        let of_record =
            ["record_too_large", "unknown_application", "unsigned_erasure"].contains(&code.as_str());
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
