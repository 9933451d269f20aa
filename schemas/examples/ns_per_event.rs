//! How long a verdict takes: the demo data and the built-in valid examples, judged again and again.
//!
//! `cargo run --release -p schemas --example ns_per_event`

use std::{
    fs::File,
    hint::black_box,
    io::Read,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use flate2::read::GzDecoder;
use schemas::{Headers, Judge, Record, Registry, Settings, apps::Apps};

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
}

/// The best of many rounds: what else the machine does can only add.
fn measure(what: &str, judge: &Judge, events: &[&str]) {
    let headers = Headers { app: Some(b"demo"), ..Headers::default() };
    let rounds_end = Instant::now() + Duration::from_secs(2);
    let repeats = 10_000_usize.div_ceil(events.len());
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
    let bytes: usize = events.iter().map(|event| event.len()).sum();
    let ns = best.as_nanos() as f64 / (repeats * events.len()) as f64;
    println!("{what:18} {ns:6.0} ns an event of {} bytes", bytes / events.len());
}
