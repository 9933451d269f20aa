//! How long a verdict takes: the demo data, the built-in examples and the worst that fits into a
//! record, judged again and again.
//!
//! `cargo run --release -p schemas --example ns_per_event`

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use schemas::apps::Apps;
use schemas::{Headers, Judge, Record, Registry, Settings};

fn main() {
    let registry = Arc::new(Registry::builtin().unwrap());
    let judge = Judge::new(registry.clone(), Arc::new(Apps::from_iter(["demo"])), Settings::default());
    let mut demo = String::new();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/ecom/events-ecom.ndjson.gz");
    GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut demo).unwrap();
    let demo: Vec<_> = demo.lines().collect();
    let examples: Vec<_> = registry.iter().flat_map(|t| &t.examples).collect();
    let valid: Vec<_> = examples.iter().filter(|e| e.reasons.is_empty()).map(|e| &*e.event).collect();
    let invalid: Vec<_> = examples.iter().filter(|e| !e.reasons.is_empty()).map(|e| &*e.event).collect();
    measure("demo data", &judge, &demo);
    measure("valid examples", &judge, &valid);
    measure("invalid examples", &judge, &invalid);
    measure("one event", &judge, &demo[..1]);
    for (what, event) in hostile() {
        measure(what, &judge, &[&event]);
    }
}

/// Events of 1 MB that ask for the most work.
fn hostile() -> Vec<(&'static str, String)> {
    let event = |data: &str| {
        format!(
            r#"{{"session_id":"e2085be5-9137-4e4e-80b5-f1ffddc25423","category":"form interaction","name":"submit","data":{data},"timestamp":"2021-01-01 09:15:27"}}"#
        )
    };
    let many = |piece: &dyn Fn(usize) -> String| {
        let (mut pieces, mut len) = (Vec::new(), 0);
        while len < 1_000_000 {
            pieces.push(piece(pieces.len()));
            len += pieces.last().map_or(0, String::len) + 1;
        }
        pieces.join(",")
    };
    let form = |form: String| event(&format!(r#"{{"host":"a","path":"/","form":{form}}}"#));
    vec![
        ("one long string", form(format!(r#"{{"a":"{}"}}"#, "x".repeat(1_000_000)))),
        ("one escaped string", form(format!(r#"{{"a":"{}"}}"#, r"\u00e9".repeat(160_000)))),
        ("many numbers", form(format!(r#"{{"a":[{}]}}"#, many(&|n| n.to_string())))),
        ("many objects", form(format!(r#"{{"a":[{}]}}"#, many(&|_| r#"{"a":1}"#.into())))),
        ("many keys", form(format!("{{{}}}", many(&|n| format!(r#""{n}":0"#))))),
        ("repeated keys", form(format!("{{{}}}", many(&|_| r#""k":0"#.into())))),
        ("unexpected keys", event(&format!("{{{}}}", many(&|n| format!(r#""{n}":0"#))))),
    ]
}

/// The best of many rounds: what else the machine does can only add.
fn measure(what: &str, judge: &Judge, events: &[&str]) {
    let headers = Headers { app: Some(b"demo"), ..Headers::default() };
    let rounds_end = Instant::now() + Duration::from_secs(1);
    let bytes: usize = events.iter().map(|event| event.len()).sum();
    let repeats = 3_000_000_usize.div_ceil(bytes);
    let mut best = Duration::MAX;
    while Instant::now() < rounds_end {
        let start = Instant::now();
        for _ in 0..repeats {
            for event in events {
                let value = Some(event.as_bytes());
                let log_time_ms = 1_767_225_600_000;
                black_box(judge.judge(&Record { value, headers, log_time_ms, ..Record::default() }));
            }
        }
        best = best.min(start.elapsed());
    }
    let ns = best.as_nanos() as f64 / (repeats * events.len()) as f64;
    println!("{what:18} {ns:9.0} ns an event of {} bytes", bytes / events.len());
}
