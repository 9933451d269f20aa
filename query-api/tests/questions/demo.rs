//! The demo data: as it arrived, and mixed up in ways that must not matter.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};

use flate2::read::GzDecoder;
use query_api::values::Time;
use serde_json::Value;
use uuid::Uuid;

use crate::world::Sent;

const EVENTS: &[u8] = include_bytes!("../../../tests/data/ecom/events-ecom.ndjson.gz");

pub fn answers() -> Value {
    serde_json::from_str(include_str!("../../../tests/data/ecom/answers-ecom.json")).unwrap()
}

pub fn events() -> Vec<Sent> {
    BufReader::new(GzDecoder::new(EVENTS))
        .lines()
        .map(|line| {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let text = |key: &str| event[key].as_str().unwrap().to_owned();
            Sent {
                event_id: Uuid::parse_str(&text("event_id")).unwrap(),
                session_id: Uuid::parse_str(&text("session_id")).unwrap(),
                app: "shop".into(),
                category: text("category"),
                name: text("name"),
                data: event["data"].to_string(),
                time: Time::parse(&text("timestamp")).unwrap().micros(),
            }
        })
        .collect()
}

/// All sessions at once, a quarter of the events late by up to half of the log, 5 % sent again. Events of a
/// session that share a time keep their order, because it is their order that decides.
pub fn mixed_up() -> Vec<Sent> {
    let events = events();
    let mut shares: HashMap<(Uuid, i64), usize> = HashMap::new();
    for event in &events {
        *shares.entry((event.session_id, event.time)).or_default() += 1;
    }
    let mut random = Random(7);
    let total = events.len() as u64;
    let mut places: HashMap<Uuid, u64> = HashMap::new();
    let mut arrivals: Vec<(u64, Sent)> = Vec::new();
    for event in events {
        // The sessions of the file follow one another: give each its own start, so that they overlap.
        let start = *places.entry(event.session_id).or_insert_with(|| random.below(total));
        let tied = shares[&(event.session_id, event.time)] > 1;
        let late = if !tied && random.below(4) == 0 { random.below(total / 2) } else { 0 };
        let arrival = start + late;
        if random.below(20) == 0 {
            arrivals.push((arrival + 1 + random.below(1000), event.clone()));
        }
        arrivals.push((arrival, event));
    }
    // Stable: events of a session that arrive together stay in order.
    arrivals.sort_by_key(|(arrival, _)| *arrival);
    arrivals.into_iter().map(|(_, event)| event).collect()
}

/// A small generator with a fixed sequence (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
