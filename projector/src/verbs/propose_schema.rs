//! Proposes a first schema for an undeclared event type, from its events in the log.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::Args;
use infra::kafka::KafkaConfig;
use schemas::apps::Apps;
use schemas::{Judge, Judgement, Proposal, ReasonCode, Registry, Settings};

use crate::log;

#[derive(Debug, Args)]
pub struct ProposeSchemaArgs {
    /// The category of the events, as senders write it.
    pub category: String,
    /// The name of the events, as senders write it.
    pub name: String,
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// A folder with more event types, beside the built-in ones; may be given several times.
    #[arg(long, env = "EYE_EVENT_TYPES", value_name = "DIR", value_delimiter = ':')]
    pub event_types: Vec<PathBuf>,
    /// Read at most the first N events of the type.
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub samples: u64,
}

/// How many undeclared types are listed if the log has no event of the given one.
const NAMED: usize = 20;

/// # Errors
/// The type is declared, the log has no event of it, or Kafka is out of reach.
pub fn run(args: &ProposeSchemaArgs) -> anyhow::Result<()> {
    let (category, name) = (args.category.as_str(), args.name.as_str());
    let registry = Registry::load(&args.event_types).context("event types")?;
    if let Some(declared) = registry.get(category, name) {
        bail!(
            "{category} / {name} is declared, in version {}: change its schema and try the new one with \
             `projector check-schemas`",
            declared.version
        );
    }
    // The sender does not matter here.
    let judge = Judge::new(Arc::new(registry), Arc::new(Apps::default()), Settings::default());
    let mut proposal = Proposal::default();
    let mut samples: u64 = 0;
    let mut others = BTreeMap::<(String, String), u64>::new();
    log::read_all(&args.kafka, |record| {
        let judgement = judge.judge(&record);
        if !is_sample(&judgement) {
            return ControlFlow::Continue(());
        }
        if judgement.category != category || judgement.name != name {
            let feature = (judgement.category.into_owned(), judgement.name.into_owned());
            if others.len() < NAMED || others.contains_key(&feature) {
                *others.entry(feature).or_default() += 1;
            }
            return ControlFlow::Continue(());
        }
        if let Ok(data) = serde_json::from_str(judgement.data) {
            proposal.add(&data);
            samples += 1;
        }
        if samples < args.samples { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let others: Vec<String> = others
        .into_iter()
        .map(|((category, name), count)| format!("{category:?} {name:?} ({count})"))
        .collect();
    ensure!(
        samples > 0,
        "the log has no event of category {category:?} and name {name:?} with readable data. Undeclared types that it has: {}",
        if others.is_empty() { "none".into() } else { others.join(", ") }
    );
    println!("{}", serde_json::to_string_pretty(&proposal.schema(category, name))?);
    eprintln!(
        "Proposed from {samples} events. Save it as `<name>.schema.json` in a folder of event types, read it, add what \
         it can't know, and try it: `projector check-schemas FOLDER`"
    );
    Ok(())
}

/// Whether the data can be a sample: of an undeclared type, readable, without repeated keys.
fn is_sample(judgement: &Judgement<'_>) -> bool {
    let has = |code| judgement.reasons.iter().any(|reason| reason.code == code);
    has(ReasonCode::UnknownEventType) && !has(ReasonCode::DataInvalid) && !judgement.data.is_empty()
}
