//! The log: where it is, how it is made, and client options that pass through.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

/// The partitioner of every producer of ours. librdkafka's default is CRC32: with it a session would
/// split from the one that a Java producer writes.
pub const PARTITIONER: &str = "murmur2_random";

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaConfig {
    /// Brokers to start from, host:port separated by commas.
    #[arg(long = "kafka-brokers", env = "EYE_KAFKA_BROKERS", default_value = "127.0.0.1:9092")]
    pub brokers: String,
    /// The topic that is the log.
    #[arg(long, env = "EYE_TOPIC", default_value = "eye.events")]
    pub topic: String,
    /// Any librdkafka option, e.g. `--kafka sasl.username=eye`; may be given several times, wins over ours.
    #[arg(long = "kafka", env = "EYE_KAFKA_OPTIONS", value_name = "KEY=VALUE", value_delimiter = ';', value_parser = key_value)]
    pub options: Vec<(String, String)>,
}

impl KafkaConfig {
    /// A client configuration for `ours` (what the caller holds an opinion on), with the operator's options last.
    pub fn client(&self, ours: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        // The default of 10 s delays the recovery from a broker restart by as much.
        config.set("reconnect.backoff.max.ms", "500");
        for (key, value) in ours {
            config.set(*key, *value);
        }
        for (key, value) in &self.options {
            config.set(key, value);
        }
        config
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.trim().into(), value.into())),
        _ => Err(format!("{text:?} is not KEY=VALUE")),
    }
}

/// How `migrate` makes the topic where it is missing.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Topic")]
pub struct TopicConfig {
    /// Partitions of the topic. Can't be lowered later; raising it moves sessions between partitions.
    #[arg(long, env = "EYE_TOPIC_PARTITIONS", default_value_t = 16)]
    pub partitions: i32,
    /// Copies of each partition; 3 on a cluster.
    #[arg(long, env = "EYE_TOPIC_REPLICATION", default_value_t = 1)]
    pub replication: i32,
    /// Copies that must have an event before it is acknowledged; 2 on a cluster of three brokers.
    #[arg(long, env = "EYE_TOPIC_MIN_ISR", default_value_t = 1)]
    pub min_in_sync: i32,
}

/// The settings that the log needs: records are kept for ever, and have the broker's time, so that the log's time does
/// not run backwards within a partition.
pub const LOG_SETTINGS: [(&str, &str); 4] = [
    ("retention.ms", "-1"),
    ("retention.bytes", "-1"),
    ("cleanup.policy", "delete"),
    ("message.timestamp.type", "LogAppendTime"),
];

/// Creates the topic if it is missing, with the settings that the log needs.
///
/// # Errors
/// Brokers out of reach.
pub async fn create_topic(kafka: &KafkaConfig, topic: &TopicConfig) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = kafka.client(&[]).create().context("kafka options")?;
    let min_in_sync = topic.min_in_sync.to_string();
    let new = NewTopic::new(&kafka.topic, topic.partitions, TopicReplication::Fixed(topic.replication))
        .set("min.insync.replicas", &min_in_sync);
    let new = LOG_SETTINGS.into_iter().fold(new, |new, (name, value)| new.set(name, value));
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    let results = admin
        .create_topics([&new], &options)
        .await
        .with_context(|| format!("no broker answers at {}", kafka.brokers))?;
    match results.into_iter().next() {
        Some(Ok(_)) => tracing::info!(topic = kafka.topic, partitions = topic.partitions, "topic created"),
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {}
        Some(Err((name, code))) => bail!("topic {name} could not be created: {code}"),
        None => bail!("the broker gave no answer for topic {}", kafka.topic),
    }
    Ok(())
}

/// A setting of the topic with which the log loses records, or its order in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultySetting {
    pub name: &'static str,
    pub value: String,
    pub needed: &'static str,
}

impl fmt::Display for FaultySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, and must be {}", self.name, self.value, self.needed)
    }
}

/// Asks the brokers for the settings of the topic, and returns those that the log can't have.
///
/// # Errors
/// Brokers out of reach; the topic does not exist; the principal may not ask (`DescribeConfigs` on the topic).
pub async fn faulty_settings(kafka: &KafkaConfig) -> anyhow::Result<Vec<FaultySetting>> {
    let admin: AdminClient<DefaultClientContext> = kafka.client(&[]).create().context("kafka options")?;
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(30)));
    let described = admin.describe_configs(&[ResourceSpecifier::Topic(&kafka.topic)], &options).await;
    let described = described.with_context(|| format!("no broker answers at {}", kafka.brokers))?;
    let Some(described) = described.into_iter().next() else { bail!("the broker gave no answer") };
    let described = described
        .map_err(|code| anyhow!("the settings of topic {} can't be read: {code}", kafka.topic))
        .context("the principal needs the right DescribeConfigs on the topic")?;
    let value = |name| described.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default();
    let faulty = |(name, needed)| {
        Some(FaultySetting { name, value: value(name), needed }).filter(|found| found.value != needed)
    };
    Ok(LOG_SETTINGS.into_iter().filter_map(faulty).collect())
}

/// How to put the settings of the topic right, as a sentence.
pub fn how_to_mend(kafka: &KafkaConfig, faulty: &[FaultySetting]) -> String {
    let found: Vec<String> = faulty.iter().map(ToString::to_string).collect();
    let needed: Vec<String> =
        faulty.iter().map(|setting| format!("{}={}", setting.name, setting.needed)).collect();
    format!(
        "the topic {} would lose events, or their order in time: {}. Set it right: kafka-configs.sh --bootstrap-server {} \
         --alter --entity-type topics --entity-name {} --add-config {}",
        kafka.topic,
        found.join("; "),
        kafka.brokers,
        kafka.topic,
        needed.join(",")
    )
}
