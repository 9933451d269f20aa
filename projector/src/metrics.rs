//! The metrics of `/metrics`. Labels have few values: verdicts, reasons, partitions, targets.

use std::collections::HashMap;
use std::time::SystemTime;

use anyhow::Result;
use infra::follow::InForce;
use infra::kafka::{FaultySetting, LOG_SETTINGS};
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use schemas::ReasonCode;
use schemas::apps::Apps;
use tables::Verdict;

use crate::judge::tally::Tally;

#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub registry: Registry,
    /// Judged offsets by verdict. They may be more than the log has, after rewinds.
    pub verdicts: IntCounterVec,
    pub reasons: IntCounterVec,
    /// Records by event type, verdict and first reason. Category and name of an undeclared type are empty: a sender
    /// must not be able to make up labels.
    pub types: IntCounterVec,
    /// Records by registered application and verdict, with those that an application writes to Kafka itself.
    pub apps_verdicts: IntCounterVec,
    pub lag: IntGaugeVec,
    /// Offset below which everything is inserted, by partition. It stands still when a partition is stuck.
    pub position: IntGaugeVec,
    /// Age of the last inserted chunk when it was inserted, in milliseconds, by partition; 0 at the end of the log.
    pub lag_ms: IntGaugeVec,
    /// From the broker's time of a chunk's oldest record to the end of its insert.
    pub freshness: Histogram,
    pub chunk_rows: Histogram,
    pub insert_seconds: Histogram,
    pub insert_errors: IntCounter,
    pub healed: IntCounterVec,
    pub topic_partitions: IntGauge,
    /// 1 if the log would lose records, or their order in time, by this setting; 0 if not. No series while that is not
    /// known.
    topic_faults: IntGaugeVec,
    /// By database: two deployments in one consumer group share its partitions, and neither has all.
    partitions: IntGaugeVec,
    pub partitions_starting: IntGauge,
    /// Owned partitions whose log is not the one that the tables were made from.
    pub partitions_refused: IntGauge,
    /// Owned partitions that stand still although their log goes on.
    pub partitions_stalled: IntGauge,
    pub chunk_bytes: IntGauge,
    pub window_ids: IntGauge,
    /// When the brokers last answered, in seconds since 1970, or when projecting began if they never did. The series
    /// does not exist before that: the projector asks no broker while it waits for ClickHouse.
    pub brokers_timestamp: IntGaugeVec,
    pub apps: InForce,
    pub event_types: InForce,
    /// When the answers of a kind last included all that was in the log a moment before, in seconds since 1970.
    answers_timestamp: IntGaugeVec,
    pub erasures_pending: IntGauge,
    pub disk_free: IntGaugeVec,
    pub disk_size: IntGaugeVec,
    pub audit_faults: IntGauge,
}

/// Answers by the tables that they rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    /// The row tables.
    Rows,
    /// `sequences`, and what questions add to them.
    Order,
    /// `usage_days`, and what questions add to them.
    Use,
}

impl Answers {
    fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Order => "order",
            Self::Use => "use",
        }
    }
}

struct Named<'a>(&'a Registry);

impl Named<'_> {
    fn register<M: Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> Result<M> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.register(IntCounter::with_opts(opts(name, help)))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.register(IntCounterVec::new(opts(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.register(IntGauge::with_opts(opts(name, help)))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(opts(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram> {
        self.register(Histogram::with_opts(HistogramOpts {
            common_opts: opts(name, help),
            buckets: buckets.into(),
        }))
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("eye_projector_{name}"), help)
}

impl Metrics {
    pub(crate) fn new() -> Result<Self> {
        let registry = Registry::new();
        let named = Named(&registry);
        let (partition, disk) = (&["partition"], &["server", "disk"]);
        Ok(Self {
            verdicts: named.counters("verdicts_total", "Offsets judged, by verdict", &["verdict"])?,
            reasons: named.counters("reasons_total", "Reasons of rejected records", &["reason"])?,
            types: named.counters(
                "type_verdicts_total",
                "Records judged, by declared event type, verdict and first reason",
                &["category", "name", "verdict", "reason"],
            )?,
            apps_verdicts: named.counters(
                "app_verdicts_total",
                "Records judged, by registered application and verdict",
                &["app", "verdict"],
            )?,
            lag: named.gauges(
                "lag_offsets",
                "Offsets of the log that are not in the tables yet",
                partition,
            )?,
            position: named.gauges(
                "position_offsets",
                "Offset below which everything is in the tables",
                partition,
            )?,
            lag_ms: named.gauges(
                "lag_milliseconds",
                "Age of the last inserted chunk when it was inserted; 0 at the end of the log",
                partition,
            )?,
            disk_free: named.gauges("clickhouse_disk_free_bytes", "ClickHouse's free disk space", disk)?,
            disk_size: named.gauges("clickhouse_disk_size_bytes", "Size of ClickHouse's disks", disk)?,
            freshness: named.histogram(
                "freshness_seconds",
                "Time from the append of a chunk's oldest record until it can be queried",
                &[0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 15.0, 60.0],
            )?,
            chunk_rows: named.histogram(
                "chunk_rows",
                "Rows inserted at once",
                &[1.0, 10.0, 100.0, 1e3, 1e4, 5e4, 1e5, 1e6],
            )?,
            insert_seconds: named.histogram(
                "insert_seconds",
                "Time of one insert",
                &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0],
            )?,
            insert_errors: named.counter("insert_errors_total", "Inserts whose outcome was unclear")?,
            healed: named.counters(
                "healed_rows_total",
                "Rows that healing found missing or wrong, by kind",
                &["kind"],
            )?,
            topic_partitions: named.gauge("topic_partitions", "Partitions of the topic")?,
            topic_faults: named.gauges(
                "topic_setting_faulty",
                "Whether the log loses records, or their order in time, by this setting of the topic",
                &["setting"],
            )?,
            partitions: named.gauges("partitions", "Partitions that this process owns", &["database"])?,
            partitions_starting: named
                .gauge("partitions_starting", "Owned partitions that are not running yet")?,
            partitions_refused: named.gauge(
                "partitions_refused",
                "Owned partitions whose log is not the one that the tables were made from",
            )?,
            partitions_stalled: named.gauge(
                "partitions_stalled",
                "Owned partitions of which nothing can be read, although their log goes on",
            )?,
            chunk_bytes: named.gauge("chunk_bytes", "Bytes of rows in memory")?,
            window_ids: named.gauge("window_ids", "Event ids in memory")?,
            brokers_timestamp: named.gauges(
                "brokers_timestamp_seconds",
                "When the brokers last answered, in seconds since 1970",
                &[],
            )?,
            apps: InForce::new("eye_projector_apps", &registry)?,
            event_types: InForce::new("eye_projector_event_types", &registry)?,
            answers_timestamp: named.gauges(
                "answers_timestamp_seconds",
                "When the answers last included everything, by kind (rows, order, use), in seconds since 1970",
                &["kind"],
            )?,
            erasures_pending: named
                .gauge("erasures_pending", "Erased sessions that the tables may still hold")?,
            audit_faults: named
                .gauge("audit_faults", "Faults that the last audit left; -1 before the first")?,
            registry: registry.clone(),
        }
        .begun())
    }

    /// Creates the series, so that a first increase is seen.
    fn begun(self) -> Self {
        for verdict in Verdict::ALL {
            self.verdicts.with_label_values(&[verdict.as_str()]);
        }
        for reason in ReasonCode::ALL {
            self.reasons.with_label_values(&[reason.as_str()]);
        }
        for kind in ["missing", "late", "wrong", "kept", "audit"] {
            self.healed.with_label_values(&[kind]);
        }
        self.audit_faults.set(-1);
        self.answers_are_fresh(Answers::Rows);
        self.answers_are_fresh(Answers::Order);
        self
    }

    pub(crate) fn count(&self, tally: &mut Tally) {
        for (verdict, count) in tally.verdicts() {
            self.verdicts.with_label_values(&[verdict.as_str()]).inc_by(count);
        }
        for (reason, count) in tally.reasons() {
            self.reasons.with_label_values(&[reason.as_str()]).inc_by(count);
        }
        for (labels, count) in tally.types() {
            self.types.with_label_values(&labels).inc_by(count);
        }
        for (labels, count) in tally.apps() {
            self.apps_verdicts.with_label_values(&labels).inc_by(count);
        }
        *tally = Tally::default();
    }

    pub(crate) fn declare(&self, registry: &schemas::Registry) {
        let series = |category, name, verdict: Verdict, reason| {
            self.types.with_label_values(&[category, name, verdict.as_str(), reason]);
        };
        for declared in registry.newest() {
            series(&*declared.category, &*declared.name, Verdict::Accepted, "");
            series(&declared.category, &declared.name, Verdict::Rejected, ReasonCode::DataInvalid.as_str());
        }
        series("", "", Verdict::Rejected, ReasonCode::UnknownEventType.as_str());
    }

    /// Creates the series of the registered applications, so that silence is seen, and removes those of other
    /// applications, so that no alert misses them.
    pub(crate) fn declare_apps(&self, apps: &Apps) {
        for family in self.apps_verdicts.collect() {
            for series in family.get_metric() {
                let labels: HashMap<&str, &str> =
                    series.get_label().iter().map(|label| (label.name(), label.value())).collect();
                if labels.get("app").is_some_and(|app| !apps.contains(app)) {
                    let _ = self.apps_verdicts.remove(&labels);
                }
            }
        }
        for app in apps.apps() {
            self.apps_verdicts.with_label_values(&[app.name.as_str(), Verdict::Accepted.as_str()]);
        }
    }

    /// The faulty settings of the topic; `None` if they are not known.
    pub(crate) fn topic_has(&self, faulty: Option<&[FaultySetting]>) {
        self.topic_faults.reset();
        let Some(faulty) = faulty else { return };
        for (name, _) in LOG_SETTINGS {
            let is_faulty = faulty.iter().any(|setting| setting.name == name);
            self.topic_faults.with_label_values(&[name]).set(is_faulty.into());
        }
    }

    pub(crate) fn owns(&self, partitions: usize, database: &str) {
        self.partitions.with_label_values(&[database]).set(partitions as i64);
    }

    pub(crate) fn begin_projecting(&self) {
        // Those of the generation before, if another one is followed.
        self.partitions.reset();
        if self.brokers_timestamp.with_label_values::<&str>(&[]).get() == 0 {
            self.brokers_answered();
        }
    }

    pub(crate) fn brokers_answered(&self) {
        self.brokers_timestamp.with_label_values::<&str>(&[]).set(now());
    }

    pub(crate) fn answers_are_fresh(&self, kind: Answers) {
        self.answers_timestamp.with_label_values(&[kind.as_str()]).set(now());
    }

    /// Another process watches over the answers of this kind.
    pub(crate) fn forget_answers(&self, kind: Answers) {
        // A series that was never set is no error.
        let _ = self.answers_timestamp.remove_label_values(&[kind.as_str()]);
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(metrics: &Metrics, name: &str) -> usize {
        let families = metrics.registry.gather();
        families.iter().filter(|family| family.name() == name).map(|family| family.get_metric().len()).sum()
    }

    #[test]
    fn an_application_has_series_for_as_long_as_it_is_registered() {
        let metrics = Metrics::new().unwrap();
        let apps = |names: &[&str]| Apps::from_iter(names.iter().copied());
        metrics.declare_apps(&apps(&["shop", "kiosk"]));
        assert_eq!(series(&metrics, "eye_projector_app_verdicts_total"), 2);
        metrics.apps_verdicts.with_label_values(&["kiosk", "rejected"]).inc();
        metrics.apps_verdicts.with_label_values(&["shop", "accepted"]).inc_by(3);
        metrics.declare_apps(&apps(&["shop", "till"]));
        assert_eq!(series(&metrics, "eye_projector_app_verdicts_total"), 2, "shop and till");
        assert_eq!(metrics.apps_verdicts.with_label_values(&["shop", "accepted"]).get(), 3);
    }

    #[test]
    fn brokers_are_silent_only_once_they_are_asked() {
        let metrics = Metrics::new().unwrap();
        assert_eq!(series(&metrics, "eye_projector_brokers_timestamp_seconds"), 0);
        metrics.begin_projecting();
        assert_eq!(series(&metrics, "eye_projector_brokers_timestamp_seconds"), 1);
    }
}
