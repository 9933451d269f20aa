//! Writes requests to erase sessions to the log.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use infra::database::ClickHouseConfig;
use infra::kafka::{self, KafkaConfig};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use schemas::header;
use serde_json::json;
use uuid::Uuid;

use crate::database::Database;
use crate::judge::erasures::hash;

/// How long the brokers may take to acknowledge a request.
const BROKERS: Duration = Duration::from_secs(30);
/// How long the verb waits at least between two looks whether all rows are gone.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct EraseArgs {
    /// The sessions to erase.
    #[arg(required = true, value_name = "SESSION_ID")]
    pub sessions: Vec<Uuid>,
    #[command(flatten)]
    pub kafka: KafkaConfig,
    #[command(flatten)]
    pub clickhouse: ClickHouseConfig,
    /// Wait until ClickHouse holds no row of them. A projector has to run.
    #[arg(long)]
    pub wait: bool,
}

/// # Errors
/// The brokers do not acknowledge; with `--wait` also if ClickHouse is out of reach.
pub async fn run(args: &EraseArgs) -> anyhow::Result<()> {
    ensure!(
        !args.sessions.contains(&Uuid::nil()),
        "the zero UUID can't be erased: the tables use it for \"no session\""
    );
    let options = [("acks", "all"), ("enable.idempotence", "true"), ("partitioner", kafka::PARTITIONER)];
    let producer: FutureProducer = args.kafka.client(&options).create().context("kafka options")?;
    let mut places = Vec::new();
    for session in &args.sessions {
        let key = session.hyphenated().to_string();
        // The value is for people who read the log: projectors read the key and the header.
        let value = json!({"session_id": key}).to_string();
        let erase = Header { key: header::ERASE, value: Some(header::ERASE_SESSION) };
        let record = FutureRecord::to(&args.kafka.topic)
            .key(&key)
            .payload(&value)
            .headers(OwnedHeaders::new().insert(erase));
        let delivery = producer
            .send(record, BROKERS)
            .await
            .map_err(|(error, _)| anyhow!(error))
            .with_context(|| format!("session {key}: the brokers did not take the request"))?;
        println!(
            "session {key}: to be erased, by partition {}, offset {}",
            delivery.partition, delivery.offset
        );
        places.push((delivery.partition as u16, delivery.offset as u64));
    }
    if args.wait {
        wait(args, &places).await?;
        println!("sessions erased from ClickHouse: {}", args.sessions.len());
    }
    Ok(())
}

async fn wait(args: &EraseArgs, places: &[(u16, u64)]) -> anyhow::Result<()> {
    let sessions: Vec<String> = args.sessions.iter().map(|session| hex(&hash(*session))).collect();
    loop {
        let began = Instant::now();
        let serving = tables::serving(&args.clickhouse)
            .await?
            .context("no generation serves yet: run `projector migrate`")?;
        let database = Database::new(&args.clickhouse, serving, &args.kafka.topic);
        let judged = "SELECT count() FROM {database}.erasures WHERE (partition, offset) IN \
                      (SELECT arrayJoin(arrayZip({partitions:Array(UInt16)}, {offsets:Array(UInt64)})))";
        let judged: u64 = database
            .query(judged)
            .param("partitions", places.iter().map(|(partition, _)| *partition).collect::<Vec<_>>())
            .param("offsets", places.iter().map(|(_, offset)| *offset).collect::<Vec<_>>())
            .fetch_one()
            .await?;
        let mut left = 0;
        for generation in tables::list(&args.clickhouse).await? {
            let database = Database::new(&args.clickhouse, generation, &args.kafka.topic);
            let query = database.query(include_str!("erase/left.sql")).param("sessions", &sessions);
            left += query.fetch_one::<u64>().await?;
        }
        if judged == places.len() as u64 && left == 0 {
            return Ok(());
        }
        // Each look reads the ids of all sessions.
        tokio::time::sleep(LOOK.max(began.elapsed() * 3)).await;
    }
}

/// Writes bytes as ClickHouse's `hex` does.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
