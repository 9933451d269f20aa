//! A seeded load that looks like real clickstreams: the same seed gives the same events.
//!
//! The load is fitted to real data sets:
//! - 60 features, used by Zipf's law with a tail that falls faster; six are never used
//! - an order-1 Markov chain of sparse rows, with 15 % self-transitions
//! - session lengths negative binomial (k 2, mean 9), with 5 % lognormal giants of up to 1,100
//! - gaps lognormal, with 9 % pauses over half an hour and 10 % ties
//! - events of about 300 bytes; sessions are interleaved in the order of their times

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use fastrand::Rng;
use time::{OffsetDateTime, macros::format_description};
use uuid::{Builder, Uuid};

/// Declared features; the last [`UNUSED`] never occur.
pub const FEATURES: usize = 60;
pub const UNUSED: usize = 6;
const USED: usize = FEATURES - UNUSED;
/// Sessions that are open at the same time.
const OPEN: usize = 5_000;
const CATEGORIES: [&str; 6] = ["navigation", "catalogue", "cart", "checkout", "account", "help"];

/// An event as its sender would send it.
#[derive(Debug, Clone)]
pub struct LoadEvent {
    pub session_id: Uuid,
    pub event_id: Uuid,
    /// Its JSON.
    pub value: String,
}

/// An endless stream of events.
pub struct Load {
    rng: Rng,
    /// For each used feature: the features that may follow it, with cumulated weights.
    chain: Vec<Vec<(f64, usize)>>,
    /// For features that begin sessions: their cumulated weights.
    start: Vec<(f64, usize)>,
    open: BinaryHeap<Reverse<(i64, u64)>>,
    sessions: Vec<Session>,
}

struct Session {
    id: Uuid,
    left: u32,
    feature: usize,
    app: usize,
}

impl Load {
    /// Events begin at `from`. Choose it so far back that none lies in the future.
    pub fn new(seed: u64, from: OffsetDateTime) -> Self {
        let mut rng = Rng::with_seed(seed);
        // Zipf with s = 1.2; the exponential makes the tail fall faster.
        let weight = |rank: usize| (rank as f64 + 1.0).powf(-1.2) * (-(rank as f64) / 40.0).exp();
        let chain = (0..USED)
            .map(|feature| {
                let mut row: Vec<(f64, usize)> = Vec::new();
                let mut sum = 0.0;
                for next in (0..USED).filter(|next| *next != feature) {
                    if rng.f64() < 0.35 {
                        sum += weight(next) * (0.3 + rng.f64());
                        row.push((sum, next));
                    }
                }
                let own = (sum * 0.15 / 0.85).max(1e-9);
                row.push((sum + own, feature));
                row
            })
            .collect();
        let mut sum = 0.0;
        let start = (0..USED)
            .map(|feature| {
                sum += weight(feature) * (0.2 + rng.f64());
                (sum, feature)
            })
            .collect();
        let mut load = Self { rng, chain, start, open: BinaryHeap::new(), sessions: Vec::new() };
        let from = (from.unix_timestamp_nanos() / 1000) as i64;
        for _ in 0..OPEN {
            let begins = from + (load.rng.f64() * 3.6e9) as i64;
            load.begin(begins);
        }
        load
    }

    /// Writes the schemas of all features, for `--event-types`.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn write_event_types(dir: &Path) -> anyhow::Result<()> {
        for feature in 0..FEATURES {
            let (category, name) = (category(feature), name(feature));
            let schema = serde_json::json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "x-category": category,
                "x-name": name,
                "x-version": 1,
                "description": format!("Feature {feature} of the load"),
                "type": "object",
                "properties": {
                    "path": {"type": "string", "minLength": 1, "maxLength": 200},
                    "position": {"type": "integer", "minimum": 0, "maximum": 10_000},
                    "price": {"type": "number", "minimum": 0},
                    "device": {"enum": ["desktop", "mobile", "tablet"]},
                    "label": {"type": "string", "maxLength": 80},
                },
                "required": ["path", "position", "device"],
                "additionalProperties": false,
            });
            let folder = dir.join(category).join(&name);
            std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
            std::fs::write(folder.join("v1.schema.json"), serde_json::to_string_pretty(&schema)?)?;
        }
        Ok(())
    }

    fn begin(&mut self, at: i64) {
        let rng = &mut self.rng;
        let left = if rng.f64() < 0.05 {
            (6.0 + 0.4 * normal(rng)).exp().min(1_100.0) as u32
        } else {
            // Negative binomial with k = 2: the sum of two geometric variables.
            1 + geometric(rng, 4.0) + geometric(rng, 4.0)
        };
        let id = Builder::from_random_bytes(rng.u128(..).to_le_bytes()).into_uuid();
        let feature = pick(rng, &self.start);
        let app = rng.usize(..3);
        self.open.push(Reverse((at, self.sessions.len() as u64)));
        self.sessions.push(Session { id, left, feature, app });
    }

    fn render(&mut self, session: usize, at: i64) -> LoadEvent {
        let format =
            format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]");
        let rng = &mut self.rng;
        let Session { id, feature, app, .. } = self.sessions[session];
        let event_id = Builder::from_random_bytes(rng.u128(..).to_le_bytes()).into_uuid();
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1000).expect("a time of ours");
        let timestamp = time.format(format).expect("a fixed format");
        let device = ["desktop", "mobile", "tablet"][app];
        let (position, price) = (rng.u32(..10_000), rng.u32(..100_000));
        let mut value = String::with_capacity(320);
        let _ = write!(
            value,
            r#"{{"session_id":"{id}","category":"{}","name":"{}","data":{{"path":"/{}/{}/{position}","position":{position},"price":{}.{:02},"device":"{device}"}},"timestamp":"{timestamp}","event_id":"{event_id}"}}"#,
            category(feature),
            name(feature),
            category(feature),
            name(feature),
            price / 100,
            price % 100,
        );
        LoadEvent { session_id: id, event_id, value }
    }
}

impl Iterator for Load {
    type Item = LoadEvent;

    fn next(&mut self) -> Option<LoadEvent> {
        let Reverse((at, number)) = self.open.pop()?;
        let session = number as usize;
        let event = self.render(session, at);
        let rng = &mut self.rng;
        let next = pick(rng, &self.chain[self.sessions[session].feature]);
        let gap = match rng.f64() {
            tie if tie < 0.10 => 0.0,
            pause if pause < 0.19 => 1_800.0 * (0.2 + 1.5 * normal(rng).abs()).exp(),
            _ => (3.0 + 1.4 * normal(rng)).exp(),
        };
        let state = &mut self.sessions[session];
        state.feature = next;
        state.left = state.left.saturating_sub(1);
        if state.left == 0 {
            self.begin(at + 1);
        } else {
            self.open.push(Reverse((at + (gap * 1e6) as i64, number)));
        }
        Some(event)
    }
}

fn category(feature: usize) -> &'static str {
    CATEGORIES[feature % CATEGORIES.len()]
}

fn name(feature: usize) -> String {
    format!("action {feature:02}")
}

fn pick(rng: &mut Rng, cumulated: &[(f64, usize)]) -> usize {
    let sum = cumulated.last().map_or(0.0, |last| last.0);
    let at = rng.f64() * sum;
    let index = cumulated.partition_point(|(weight, _)| *weight < at);
    cumulated[index.min(cumulated.len() - 1)].1
}

fn geometric(rng: &mut Rng, mean: f64) -> u32 {
    ((1.0 - rng.f64()).ln() / (mean / (1.0 + mean)).ln()) as u32
}

/// Box-Muller.
fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};
    use time::macros::datetime;

    #[test]
    fn looks_like_what_it_was_fitted_to() {
        let events: Vec<LoadEvent> = Load::new(7, datetime!(2025-01-01 00:00 UTC)).take(200_000).collect();
        let again: Vec<LoadEvent> = Load::new(7, datetime!(2025-01-01 00:00 UTC)).take(1_000).collect();
        assert!(events.iter().zip(&again).all(|(one, other)| one.value == other.value), "seeded");

        let mean = events.iter().map(|event| event.value.len()).sum::<usize>() / events.len();
        assert!((214..=319).contains(&mean), "{mean} bytes");
        let mut sessions: HashMap<Uuid, usize> = HashMap::new();
        let mut features = HashSet::new();
        for event in &events {
            *sessions.entry(event.session_id).or_default() += 1;
            let parsed: serde_json::Value = serde_json::from_str(&event.value).unwrap();
            features.insert((parsed["category"].to_string(), parsed["name"].to_string()));
        }
        assert!(features.len() > 40 && features.len() <= USED, "{} features", features.len());
        let length = events.len() / sessions.len();
        assert!((5..40).contains(&length), "{length} events a session");
    }
}
