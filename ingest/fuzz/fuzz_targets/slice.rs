//! Any body: cut into the events that serde_json finds in it, and into nothing else.
//!
//! The first byte chooses the form, the rest is the body. The gateway's two modules are compiled in by
//! their paths, so that the target builds without Kafka.

#![no_main]

#[path = "../../src/json.rs"]
mod json;
#[path = "../../src/slice.rs"]
mod slice;

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use slice::{Form, slice as cut};

fuzz_target!(|input: &[u8]| {
    let Some((form, body)) = input.split_first() else { return };
    match form % 2 {
        0 => one_or_an_array(body),
        _ => lines(body),
    }
});

fn one_or_an_array(body: &[u8]) {
    let items = cut(body, Form::Json, usize::MAX);
    let too_deep = items.iter().any(|item| item.is_err_and(|fault| fault.why.contains("127")));
    let ours = items.iter().all(Result::is_ok);
    assert_eq!(ours || too_deep, serde_json::from_slice::<IgnoredAny>(body).is_ok() || too_deep);
    // Between the events is only what joins them.
    let mut end = 0;
    for item in items.iter().flatten() {
        let start = item.bytes.as_ptr() as usize - body.as_ptr() as usize;
        assert!(body[end..start].iter().all(|byte| b" \t\r\n,[".contains(byte)));
        end = start + item.bytes.len();
        event(item);
    }
    if ours {
        assert!(body[end..].iter().all(|byte| b" \t\r\n,[]".contains(byte)));
        if let Ok(Value::Array(events)) = serde_json::from_slice(body) {
            assert_eq!(events.len(), items.len());
        }
    }
}

fn lines(body: &[u8]) {
    let items = cut(body, Form::Lines, usize::MAX);
    let blank = |line: &&[u8]| line.iter().all(|byte| b" \t\r".contains(byte));
    let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').filter(|line| !blank(line)).collect();
    assert_eq!(items.len(), lines.len());
    for (item, line) in items.iter().zip(lines) {
        match item {
            Ok(scanned) => {
                assert_eq!(scanned.bytes, line.trim_ascii());
                event(scanned);
            }
            Err(fault) if fault.why.contains("127") => {}
            Err(_) => assert!(serde_json::from_slice::<IgnoredAny>(line).is_err()),
        }
    }
}

/// JSON by itself, with the ids that serde_json reads.
fn event(scanned: &json::Scanned<'_>) {
    assert!(serde_json::from_slice::<IgnoredAny>(scanned.bytes).is_ok());
    let Ok(event) = serde_json::from_slice::<Map<String, Value>>(scanned.bytes) else { return };
    for (token, name) in [(scanned.session_id, "session_id"), (scanned.event_id, "event_id")] {
        assert_eq!(token.is_some(), event.contains_key(name));
        let read = token.and_then(json::text);
        assert_eq!(read.as_deref(), event.get(name).and_then(Value::as_str));
    }
}
