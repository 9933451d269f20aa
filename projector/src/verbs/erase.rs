//! Writes requests to erase to the log.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use clickhouse::query::Query;
use infra::database::ClickHouseConfig;
use infra::kafka::{self, KafkaConfig};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use schemas::erasure::Target;
use schemas::header;
use serde_json::json;
use uuid::Uuid;

use crate::config::read_erasers;
use crate::database::Database;
use crate::judge::erasures::hash;

/// How long the brokers may take to acknowledge a request.
const BROKERS: Duration = Duration::from_secs(30);
/// How long the verb waits at least between two looks whether all rows are gone.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct EraseArgs {
    /// The sessions to erase.
    #[arg(value_name = "SESSION_ID", required_unless_present_any = ["text", "at"])]
    pub sessions: Vec<Uuid>,
    /// Erase the rejected records with this text as their session_id, which is no UUID; may be given several times.
    #[arg(long, value_name = "TEXT")]
    pub text: Vec<String>,
    /// Erase the rejected record at this place; may be given several times. An event is erased with its session.
    #[arg(long, value_name = "PARTITION:OFFSET", value_parser = place)]
    pub at: Vec<Target>,
    #[command(flatten)]
    pub kafka: KafkaConfig,
    #[command(flatten)]
    pub clickhouse: ClickHouseConfig,
    /// The file with the keys that the projectors have, too. The first one signs the request.
    #[arg(long, env = "EYE_ERASE_KEYS", value_name = "FILE")]
    pub erase_keys: Option<PathBuf>,
    /// Wait until ClickHouse holds no row of them. A projector has to run.
    #[arg(long)]
    pub wait: bool,
}

fn place(text: &str) -> Result<Target, String> {
    let place = text.split_once(':').and_then(|(partition, offset)| {
        Some(Target::Place { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
    });
    place.ok_or_else(|| format!("{text:?} is not PARTITION:OFFSET"))
}

impl EraseArgs {
    /// Each target, and how to speak of it.
    fn targets(&self) -> Vec<(Target, String)> {
        let sessions =
            self.sessions.iter().map(|session| (Target::Session(*session), format!("session {session}")));
        let texts = self.text.iter().map(|text| (Target::of_text(text), "text".to_owned()));
        let places = self.at.iter().map(|target| (*target, format!("record {}", target.key())));
        sessions.chain(texts).chain(places).collect()
    }
}

/// # Errors
/// The brokers do not acknowledge; with `--wait` also if ClickHouse is out of reach, or if a projector refuses the
/// request.
pub async fn run(args: &EraseArgs) -> anyhow::Result<()> {
    ensure!(
        !args.sessions.contains(&Uuid::nil()),
        "the zero UUID can't be erased: the tables use it for \"no session\""
    );
    for text in &args.text {
        ensure!(
            Uuid::try_parse(text.trim()).is_err(),
            "--text {text:?} is a session: give it without --text"
        );
    }
    let erasers = read_erasers(args.erase_keys.as_deref(), None)?;
    let options = [("acks", "all"), ("enable.idempotence", "true"), ("partitioner", kafka::PARTITIONER)];
    let producer: FutureProducer = args.kafka.client(&options).create().context("kafka options")?;
    let (targets, mut places) = (args.targets(), Vec::new());
    for (target, name) in &targets {
        let key = target.key();
        // The value is for people who read the log: projectors read the key and the headers.
        let value = json!({"erase": target.kind(), "key": key}).to_string();
        let erase = Header { key: header::ERASE, value: Some(target.kind()) };
        let mut headers = OwnedHeaders::new().insert(erase);
        if let Some(signature) = erasers.sign(&args.kafka.topic, *target) {
            headers = headers.insert(Header { key: header::SIGNATURE, value: Some(&signature) });
        }
        let record = FutureRecord::to(&args.kafka.topic).key(&key).payload(&value).headers(headers);
        let delivery = producer
            .send(record, BROKERS)
            .await
            .map_err(|(error, _)| anyhow!(error))
            .with_context(|| format!("{name}: the brokers did not take the request"))?;
        println!("{name}: to be erased, by partition {}, offset {}", delivery.partition, delivery.offset);
        places.push((delivery.partition as u16, delivery.offset as u64));
    }
    if args.wait {
        let targets: Vec<Target> = targets.into_iter().map(|(target, _)| target).collect();
        wait(args, &targets, &places).await?;
        println!("erased from ClickHouse: {}", targets.len());
    }
    Ok(())
}

async fn wait(args: &EraseArgs, targets: &[Target], places: &[(u16, u64)]) -> anyhow::Result<()> {
    let hashes: Vec<String> = targets.iter().map(|target| hex(&hash(*target))).collect();
    let at: Vec<(u16, u64)> = args
        .at
        .iter()
        .filter_map(|target| match target {
            Target::Place { partition, offset } => Some((u16::try_from(*partition).ok()?, *offset)),
            _ => None,
        })
        .collect();
    loop {
        let began = Instant::now();
        let serving = tables::serving(&args.clickhouse)
            .await?
            .context("no generation serves yet: run `projector migrate`")?;
        let database = Database::new(&args.clickhouse, serving, &args.kafka.topic);
        let judged = "SELECT countIf(verdict = 'erasure'), countIf(verdict = 'rejected') FROM {database}.ledger \
                      WHERE (partition, offset) IN \
                      (SELECT arrayJoin(arrayZip({partitions:Array(UInt16)}, {offsets:Array(UInt64)})))";
        let judged = with_places(database.query(judged), places).fetch_one::<(u64, u64)>().await?;
        ensure!(
            judged.1 == 0,
            "the projectors refuse the request: it is not signed with one of their keys (--erase-keys)"
        );
        let mut left = 0;
        for generation in tables::list(&args.clickhouse).await? {
            let database = Database::new(&args.clickhouse, generation, &args.kafka.topic);
            let query = database.query(include_str!("erase/left.sql")).param("hashes", &hashes);
            left += with_places(query, &at).fetch_one::<u64>().await?;
        }
        if judged.0 == places.len() as u64 && left == 0 {
            return Ok(());
        }
        // Each look reads the ids of all sessions.
        tokio::time::sleep(LOOK.max(began.elapsed() * 3)).await;
    }
}

fn with_places(query: Query, places: &[(u16, u64)]) -> Query {
    query
        .param("partitions", places.iter().map(|(partition, _)| *partition).collect::<Vec<_>>())
        .param("offsets", places.iter().map(|(_, offset)| *offset).collect::<Vec<_>>())
}

/// Writes bytes as ClickHouse's `hex` does.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
