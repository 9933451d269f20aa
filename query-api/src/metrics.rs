//! The metrics of the API. Each answers a question of docs/operations.md.

use std::time::Duration;

use infra::follow::InForce;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

/// Which questions are slow?
pub const SECONDS: &str = "eye_query_duration_seconds";
/// Which questions are asked, and how many are not answered?
pub const ANSWERS: &str = "eye_query_answers_total";
/// How many questions are under way?
pub const IN_FLIGHT: &str = "eye_query_in_flight";

#[derive(Debug, Clone)]
pub struct Metrics {
    pub registry: Registry,
    seconds: HistogramVec,
    answers: IntCounterVec,
    in_flight: IntGauge,
    pub apps: InForce,
    pub event_types: InForce,
}

impl Metrics {
    /// # Errors
    /// A name that is registered twice.
    pub fn new() -> Result<Self, prometheus::Error> {
        let buckets = vec![0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0, 30.0];
        let registry = Registry::new();
        let metrics = Self {
            apps: InForce::new("eye_query_apps", &registry)?,
            event_types: InForce::new("eye_query_event_types", &registry)?,
            registry,
            seconds: HistogramVec::new(
                HistogramOpts::new(SECONDS, "Time to the head of the answer, by question").buckets(buckets),
                &["question"],
            )?,
            answers: IntCounterVec::new(
                Opts::new(ANSWERS, "Answers by question and HTTP status"),
                &["question", "status"],
            )?,
            in_flight: IntGauge::new(IN_FLIGHT, "Questions under way")?,
        };
        metrics.registry.register(Box::new(metrics.seconds.clone()))?;
        metrics.registry.register(Box::new(metrics.answers.clone()))?;
        metrics.registry.register(Box::new(metrics.in_flight.clone()))?;
        metrics.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// Counts an answer. `question` is a route, so that the number of labels is bounded.
    pub fn answered(&self, question: &str, status: u16, took: Duration) {
        self.seconds.with_label_values(&[question]).observe(took.as_secs_f64());
        self.answers.with_label_values(&[question, &status.to_string()]).inc();
    }

    /// Counts a question as under way until the guard is dropped.
    pub fn in_flight(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }
}

#[derive(Debug)]
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
