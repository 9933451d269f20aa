//! What answers cost: `make bench-query EVENTS=10000000`.
//!
//! Realistic events are written straight into the tables, the projector's code builds sequences, and every question is
//! asked over HTTP, as a reader would. In the same run the SQL of the peers' design reads the same events: window
//! functions, `groupArray` and `windowFunnel` over an event table ordered by time.
//!
//! # Layout
//! - [`fill`]: events into the tables
//! - [`ask`]: times and memory of a question
//! - `peer/*.sql`: the same questions as Umami, PostHog and OpenPanel would ask them

mod ask;
mod fill;

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use infra::database::ClickHouseConfig;
use local_stack::{ClickHouseAlone, StackOptions};
use query_api::{Config, Service};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use ask::{Asker, Peer, Question};

/// The peer of the same name as the question.
macro_rules! peer {
    ($question:literal) => {
        ("peer", include_str!(concat!("peer/", $question, ".sql")))
    };
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the answers.
#[derive(Debug, Parser)]
struct Cli {
    /// Events in the tables.
    #[arg(long, env = "EVENTS", default_value_t = 10_000_000)]
    events: u64,
    /// Keep the tables in this directory, and use them again if they are there.
    #[arg(long, env = "DATA_DIR")]
    data: Option<PathBuf>,
    /// Only questions whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Without the peers' SQL.
    #[arg(long)]
    no_peers: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let stack =
        ClickHouseAlone::start(StackOptions { data: cli.data.clone(), ..StackOptions::default() }).await?;
    let as_user = |user: &str| {
        let line = ["query-api", "--kafka-brokers", "127.0.0.1:1", "--query-seconds", "600"];
        Config::parse_from(line.map(String::from).into_iter().chain(stack.arguments(user)))
    };
    let config = as_user("reader");
    let clickhouse: ClickHouseConfig = as_user("writer").clickhouse;
    tables::migrate(&clickhouse, 1).await?;
    tables::serve(&clickhouse, 1).await?;
    let tables = clickhouse.client().with_database(clickhouse.generation(1)).with_validation(false);
    let server = stack.process.pid().context("the server runs")?;
    let servers = projector::servers::Servers::new(&clickhouse, 1);
    fill::fill(&tables, &servers, server, cli.events).await?;
    fill::settle(&clickhouse, &tables).await?;

    let service = Service::connect(config).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(service.run(listener, std::future::pending()));
    let asker = Asker::new(url, tables, server);
    let questions = questions(&asker).await?;
    let mut peers = Vec::new();
    for question in questions.iter().filter(|question| question.name.contains(&cli.only)) {
        let ours = asker.measure(question).await?;
        peers.extend(
            ours.iter().flat_map(|ours| question.peers.iter().map(|peer| (question.name, *peer, *ours))),
        );
    }
    fill::add_unseen(&asker.tables, UNSEEN).await?;
    for question in adding(questions).iter().filter(|question| question.name.contains(&cli.only)) {
        asker.measure(question).await?;
    }
    // Afterwards, because the server keeps some of the memory that the peers' statements take.
    for (name, peer, ours) in peers.into_iter().filter(|_| !cli.no_peers) {
        asker.measure_peer(name, peer, ours).await;
    }
    Ok(())
}

/// Events that no pass has seen yet: of five seconds at 1,000 a second.
const UNSEEN: usize = 5_000;

/// The questions that are asked again while they have to add the events that no pass has seen.
fn adding(questions: Vec<Question>) -> Vec<Question> {
    let names = [
        ("features", "features_adding"),
        ("usage", "usage_adding"),
        ("transitions", "transitions_adding"),
        ("funnel", "funnel_adding"),
        ("entries", "entries_adding"),
    ];
    let renamed = |question: Question| {
        let (_, name) = names.into_iter().find(|(name, _)| *name == question.name)?;
        Some(Question { name, runs: question.runs.min(20), ..question })
    };
    questions.into_iter().filter_map(renamed).collect()
}

/// PostHog's form of the question gives times. OpenPanel's only counts the sessions.
const FUNNELS: &[Peer] = &[peer!("funnel"), ("window_funnel", include_str!("peer/window_funnel.sql"))];

/// A range that is no whole days, so that no table of days can help.
const FILTERS: &str = "from=2026-01-01T00:00:01Z&app=web";

/// Every question in its hardest form, over the whole range.
async fn questions(asker: &Asker) -> anyhow::Result<Vec<Question>> {
    let features = asker.get("/v1/features?limit=12").await?;
    let features: Vec<Value> = features["features"].as_array().context("features")?.clone();
    let feature = |place: usize| {
        let feature = &features[place % features.len()];
        json!({"category": feature["category"], "name": feature["name"]})
    };
    let newest = asker.get("/v1/events?limit=1").await?["events"][0].clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let session = text(&newest["session_id"]);
    let last_day = text(&newest["timestamp"]).chars().take(10).collect::<String>();
    let rare = asker.get("/v1/features?order=least&limit=1").await?["features"][0].clone();
    let rare =
        format!("category={}&name={}", text(&rare["category"]), text(&rare["name"]).replace(' ', "%20"));
    let funnel = |steps: usize| json!({"steps": (0..steps).map(feature).collect::<Vec<_>>(), "window": "1d"});
    let filtered = |mut body: Value| {
        for (name, value) in FILTERS.split('&').filter_map(|filter| filter.split_once('=')) {
            body[name] = value.into();
        }
        body
    };
    let get = |name: &'static str, path: String| Question { name, path, body: None, peers: &[], runs: 200 };
    let heavy = |name: &'static str, path: &str, body: Option<Value>, peers: &'static [Peer]| Question {
        name,
        path: path.into(),
        body,
        peers,
        runs: 5,
    };
    Ok(vec![
        Question { peers: &[peer!("features")], ..get("features", "/v1/features".into()) },
        Question { peers: &[peer!("usage")], ..get("usage", "/v1/usage?interval=day".into()) },
        Question { peers: &[peer!("timeline")], ..get("timeline", format!("/v1/sessions/{session}")) },
        get("events_newest", "/v1/events?limit=100".into()),
        get("events_in_range", "/v1/events?limit=100&to=2026-01-20".into()),
        get("events_of_rare_feature", format!("/v1/events?limit=100&{rare}")),
        get("event_by_id", format!("/v1/events/{}", text(&newest["event_id"]))),
        heavy("transitions", "/v1/order/transitions", None, &[peer!("transitions")]),
        heavy("precedence", "/v1/order/precedence", None, &[peer!("precedence")]),
        heavy("paths", "/v1/order/paths", Some(json!({"length": 3})), &[peer!("paths")]),
        heavy("paths_of_5", "/v1/order/paths", Some(json!({"length": 5})), &[]),
        heavy("funnel", "/v1/order/funnel", Some(funnel(5)), FUNNELS),
        heavy("funnel_of_20", "/v1/order/funnel", Some(funnel(20)), &[]),
        heavy("entries", "/v1/order/entries", None, &[]),
        heavy("retention", "/v1/retention?interval=week", None, &[]),
        get("features_of_last_day", format!("/v1/features?from={last_day}T00:00:01Z")),
        // The range has nearly all events, and a third of them pass: each is checked for its time and its application.
        heavy("features_filtered", &format!("/v1/features?{FILTERS}"), None, &[]),
        heavy("transitions_filtered", &format!("/v1/order/transitions?{FILTERS}"), None, &[]),
        heavy("paths_filtered", "/v1/order/paths", Some(filtered(json!({"length": 3}))), &[]),
        heavy("funnel_filtered", "/v1/order/funnel", Some(filtered(funnel(5))), &[]),
        // Last, because the server keeps some of the memory that it takes.
        heavy("paths_of_10", "/v1/order/paths", Some(json!({"length": 10})), &[]),
    ])
}
