//! Any record: what the gateway calls no JSON, the judge calls no JSON; and the judge judges whatever comes.

#![no_main]

#[path = "../../src/json.rs"]
mod json;

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use schemas::apps::Apps;
use schemas::{Headers, Judge, ReasonCode, Record, Registry, Settings};

static JUDGE: LazyLock<Judge> = LazyLock::new(|| {
    let registry = Registry::builtin().expect("the built-in event types");
    Judge::new(Arc::new(registry), Arc::new(Apps::from_iter(["demo"])), Settings::default())
});

fuzz_target!(|input: &[u8]| {
    let headers = Headers { app: Some(b"demo"), ..Headers::default() };
    let record = Record { value: Some(input), headers, log_time_ms: 1_700_000_000_000, ..Record::default() };
    let judgement = JUDGE.judge(&record);
    assert_eq!(judgement.is_accepted(), judgement.reasons.is_empty());
    let scanned = json::scan(input, 0);
    let whole = scanned.is_ok_and(|(_, end)| json::skip_white_space(input, end) == input.len());
    if !whole && !input.is_empty() {
        assert!(judgement.reasons.iter().any(|reason| reason.code == ReasonCode::InvalidJson));
    }
});
