//! Events by HTTP and straight to Kafka: 5 % repeated, 5 % invalid, 5 % of the records malformed. Senders insist
//! until acknowledged. Now and then a session is erased, and goes on as if it were not.
//!
//! The events are random, but how often something goes wrong in them is counted: however few events the faults
//! let through, each kind is among them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::Pipeline;
use harness::pipeline::Place;
use uuid::Uuid;

/// The answers that the sender got.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    pub place: Place,
    pub event_id: Option<Uuid>,
}

#[derive(Default)]
pub(crate) struct Traffic {
    pub receipts: Vec<Acknowledged>,
    /// Batches by HTTP, or records straight to Kafka.
    requests: u64,
    /// Requests that were not answered with 202 and sent again.
    pub refusals: u64,
    pub erased: BTreeSet<Uuid>,
}

struct Sender {
    random: fastrand::Rng,
    sessions: Vec<Uuid>,
    sent: Vec<(Uuid, Uuid, String)>,
    /// Events made, repeated ones too.
    made: usize,
}

/// Each sender makes at least so many events, also when the faults are over before.
const LEAST: usize = 100;

impl Sender {
    fn new(mut random: fastrand::Rng) -> Self {
        let sessions = (0..50).map(|_| Uuid::from_u128(random.u128(..))).collect();
        Self { random, sessions, sent: Vec::new(), made: 0 }
    }

    fn goes_on(&self, enough: &AtomicBool) -> bool {
        self.made < LEAST || !enough.load(Ordering::Relaxed)
    }

    /// (event id, session id, JSON)
    fn next(&mut self) -> (Uuid, Uuid, String) {
        self.made += 1;
        if self.made.is_multiple_of(20) {
            return self.sent[self.random.usize(..self.sent.len())].clone();
        }
        let (event_id, session) =
            (Uuid::from_u128(self.random.u128(..)), self.sessions[self.random.usize(..self.sessions.len())]);
        let (name, path) = match self.random.u8(..100) {
            _ if self.made % 20 == 10 => ("pageview", "7".to_string()),
            0..45 => ("pageview", format!(r#""/{}""#, self.random.u8(..20))),
            _ => ("cta click", r#""/", "element": "chat bubble""#.to_string()),
        };
        let second = self.random.u32(..60);
        let event = format!(
            r#"{{"event_id":"{event_id}","session_id":"{session}","category":"page interaction","name":"{name}","data":{{"host":"www.example.com","path":{path}}},"timestamp":"2024-05-01 10:00:{second:02}.5"}}"#
        );
        self.sent.push((event_id, session, event));
        self.sent[self.sent.len() - 1].clone()
    }
}

impl Traffic {
    /// That of another sender, too.
    pub(crate) fn add(&mut self, other: Self) {
        self.receipts.extend(other.receipts);
        self.requests += other.requests;
        self.refusals += other.refusals;
        self.erased.extend(other.erased);
    }

    /// After the tenth of every fifty requests, one of at most ten sessions, of which the log has an event.
    async fn erase(&mut self, pipeline: &Pipeline, sender: &mut Sender) {
        self.requests += 1;
        if self.requests % 50 == 10 {
            let (_, session, _) = sender.sent[sender.random.usize(..sender.sent.len().min(10))];
            let place = pipeline.erase(session).await;
            self.erased.insert(session);
            self.receipts.push(Acknowledged { place, event_id: None });
        }
    }
}

pub(crate) async fn by_http(
    pipeline: Arc<Pipeline>,
    enough: Arc<AtomicBool>,
    random: fastrand::Rng,
) -> Traffic {
    let mut sender = Sender::new(random);
    let mut traffic = Traffic::default();
    while sender.goes_on(&enough) {
        let size = sender.random.usize(1..20);
        let batch: Vec<(Uuid, Uuid, String)> = (0..size).map(|_| sender.next()).collect();
        let body = batch.iter().map(|(.., event)| event.as_str()).collect::<Vec<_>>().join("\n");
        let receipts = loop {
            let (status, answer) = pipeline.post("application/x-ndjson", &body).await;
            if status == 202
                && answer["receipts"]
                    .as_array()
                    .is_some_and(|all| all.iter().all(|one| one["error"].is_null()))
            {
                break answer;
            }
            traffic.refusals += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        for (receipt, (event_id, ..)) in receipts["receipts"].as_array().unwrap().iter().zip(&batch) {
            let number = |key: &str| receipt[key].as_u64().expect("a place in the log");
            let place = (number("partition") as u16, number("offset"));
            traffic.receipts.push(Acknowledged { place, event_id: Some(*event_id) });
        }
        traffic.erase(&pipeline, &mut sender).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    traffic
}

pub(crate) async fn straight_to_kafka(
    pipeline: Arc<Pipeline>,
    enough: Arc<AtomicBool>,
    random: fastrand::Rng,
) -> Traffic {
    let mut sender = Sender::new(random);
    let mut traffic = Traffic::default();
    while sender.goes_on(&enough) {
        let (event_id, session, event) = sender.next();
        let malformed = sender.made % 20 == 15;
        let (value, event_id) = match malformed {
            true => (&event.as_bytes()[..event.len() / 2], None),
            false => (event.as_bytes(), Some(event_id)),
        };
        let place = pipeline.produce(&session.to_string(), Some(value), "demo").await;
        traffic.receipts.push(Acknowledged { place, event_id });
        traffic.erase(&pipeline, &mut sender).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    traffic
}
