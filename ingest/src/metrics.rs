//! The metrics of the gateway. `docs/operations.md` says which question each answers.

use infra::follow::InForce;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    register_histogram_with_registry, register_int_counter_vec_with_registry,
    register_int_counter_with_registry, register_int_gauge_with_registry,
};

/// Labels are applications of the registry, our own codes and librdkafka's, never text of a sender.
pub(crate) struct Metrics {
    pub registry: Registry,
    /// `eye_ingest_events_total{app,result}`: acknowledged, refused (its own fault), failed (ours).
    events: IntCounterVec,
    /// `eye_ingest_requests_total{status}`
    pub requests: IntCounterVec,
    /// `eye_ingest_request_seconds`: from the headers to the answer.
    pub request_seconds: Histogram,
    pub body_bytes: IntCounter,
    pub connections: IntGauge,
    pub queue_events: IntGauge,
    pub queue_bytes: IntGauge,
    /// `eye_ingest_broker_errors_total{code}`
    pub broker_errors: IntCounterVec,
    pub apps: InForce,
    pub event_types: InForce,
}

/// The counters of one application, looked up once.
#[derive(Debug, Clone)]
pub(crate) struct AppMetrics {
    pub acknowledged: IntCounter,
    pub refused: IntCounter,
    pub failed: IntCounter,
    pub limited: IntCounter,
}

impl Metrics {
    /// # Errors
    /// None in practice: a name is registered twice.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        let seconds =
            HistogramOpts::new("eye_ingest_request_seconds", "Time from a request's headers to its answer")
                .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        let metrics = Self {
            events: register_int_counter_vec_with_registry!(
                Opts::new("eye_ingest_events_total", "Events by application and result"),
                &["app", "result"],
                r
            )?,
            requests: register_int_counter_vec_with_registry!(
                Opts::new("eye_ingest_requests_total", "Requests to POST /events by status"),
                &["status"],
                r
            )?,
            request_seconds: register_histogram_with_registry!(seconds, r)?,
            body_bytes: register_int_counter_with_registry!(
                "eye_ingest_body_bytes_total",
                "Bytes of bodies, as sent",
                r
            )?,
            connections: register_int_gauge_with_registry!("eye_ingest_connections", "Open connections", r)?,
            queue_events: register_int_gauge_with_registry!(
                "eye_ingest_queue_events",
                "Events that wait for the brokers",
                r
            )?,
            queue_bytes: register_int_gauge_with_registry!(
                "eye_ingest_queue_bytes",
                "Memory of the events that wait for the brokers, in bytes",
                r
            )?,
            broker_errors: register_int_counter_vec_with_registry!(
                Opts::new("eye_ingest_broker_errors_total", "Errors of the Kafka client by code"),
                &["code"],
                r
            )?,
            apps: InForce::new("eye_ingest_apps", r)?,
            event_types: InForce::new("eye_ingest_event_types", r)?,
            registry,
        };
        // The codes of a lost broker exist from the start: an increase from nothing would not be seen.
        for code in ["BrokerTransportFailure", "AllBrokersDown", "MessageTimedOut"] {
            metrics.broker_errors.with_label_values(&[code]);
        }
        metrics.requests.with_label_values(&["503"]);
        Ok(metrics)
    }

    pub(crate) fn of_app(&self, app: &str) -> AppMetrics {
        let counter = |result| self.events.with_label_values(&[app, result]);
        AppMetrics {
            acknowledged: counter("acknowledged"),
            refused: counter("refused"),
            failed: counter("failed"),
            limited: counter("limited"),
        }
    }
}
