//! Accepts that the log is not the one any more that the tables were made from.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use infra::database::within;
use tables::Verdict;

use crate::commit::identity::{Said, contradicted};
use crate::config::ProjectorConfig;
use crate::database::{ANSWER, Database};
use crate::error::Result;
use crate::keep::audit::totals;
use crate::keep::sequences;
use crate::log;
use crate::metrics::Metrics;
use crate::work::Work;

#[derive(Debug, Args)]
pub struct AcceptLossArgs {
    #[command(flatten)]
    pub config: ProjectorConfig,
    /// Do it. Without this option the command only says what it would do.
    #[arg(long)]
    pub yes: bool,
}

/// Finds where log and tables part, and says it. With `--yes` the tables forget what the log has lost.
///
/// The exit code is 1 if something is to be decided, and was not.
///
/// # Errors
/// Kafka or ClickHouse is out of reach. It is safe to run again.
pub async fn run(args: &AcceptLossArgs) -> anyhow::Result<ExitCode> {
    let config = &args.config;
    config.validate()?;
    let generation = tables::serving(&config.clickhouse)
        .await?
        .context("no generation serves yet: run `projector migrate`")?;
    tables::check_version(&config.clickhouse, generation).await?;
    let judge = config.judge.load(&config.kafka.topic)?;
    let work = Work::new(config.clone(), generation, judge, Metrics::new()?)?;
    let partitions = work
        .read_log(|log| log.partitions())
        .await
        .with_context(|| format!("no broker answers at {}", config.kafka.brokers))?;
    let (kafka, group, of) = (config.kafka.clone(), config.group_of(generation), partitions.clone());
    let committed = tokio::task::spawn_blocking(move || log::committed(&kafka, &group, &of)).await??;
    let mut losses = Vec::new();
    for partition in &partitions {
        let committed = committed.get(partition).copied().unwrap_or(0);
        losses.extend(Loss::find(&work, *partition, committed).await?);
    }
    for row in totals(&work.database).await? {
        let partition = i32::from(row.partition);
        if row.ledger_rows > 0 && !partitions.contains(&partition) {
            // The log that there is has fewer partitions.
            let lost = row.ledger_first..row.ledger_last + 1;
            let verdicts = verdicts(&work.database, partition, lost.start).await?;
            losses.push(Loss { partition, log: 0..0, lost, verdicts });
        }
    }
    if losses.is_empty() {
        println!(
            "{} is the log that generation {generation} was made from: nothing is lost",
            config.kafka.topic
        );
        return Ok(ExitCode::SUCCESS);
    }
    losses.iter().for_each(|loss| println!("{loss}"));
    if args.yes {
        accept(&work.database, &losses).await?;
        println!("Done. The projectors go on within ten seconds.");
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "Nothing was changed. Run it again with --yes to delete these rows; no other copy of these events is left \
         then. To keep them, and to judge the log from its first offset in a new generation beside them, run \
         `projector reproject`."
    );
    Ok(ExitCode::FAILURE)
}

/// What the log of a partition has lost of the records that were judged.
struct Loss {
    partition: i32,
    log: Range<u64>,
    /// From the first record that differs to the end of what was judged or committed.
    lost: Range<u64>,
    /// Ledger rows of `lost`, by verdict.
    verdicts: BTreeMap<&'static str, u64>,
}

impl Loss {
    async fn find(work: &Work, partition: i32, committed: u64) -> anyhow::Result<Option<Self>> {
        let log = work.bounds(partition).await?;
        let ledger = work.database.extent(partition).await?;
        let ledger_end = if ledger.rows == 0 { 0 } else { ledger.last + 1 };
        let known_end = ledger_end.max(committed);
        let start = match ledger.rows {
            0 => log.end.min(known_end),
            _ => {
                first_difference(work, partition, log.start.max(ledger.first), ledger_end.min(log.end))
                    .await?
            }
        };
        let is_whole = start >= ledger_end && known_end <= log.end;
        if is_whole {
            return Ok(None);
        }
        let verdicts = verdicts(&work.database, partition, start).await?;
        Ok(Some(Self { partition, log, lost: start..known_end, verdicts }))
    }
}

/// Deletes what is lost. The rows of the ledger go last: until then this can be repeated.
async fn accept(database: &Database, losses: &[Loss]) -> anyhow::Result<()> {
    let ranges: Vec<_> =
        losses.iter().map(|loss| (loss.partition as u16, loss.lost.start, loss.lost.end)).collect();
    // One mutation for all partitions: each touches every part.
    let delete = format!("DELETE WHERE {}", sequences::in_ranges(&ranges));
    for table in ["events", "rejections"] {
        database.alter(table, &delete).await?;
    }
    let positions: Vec<_> = ranges.iter().map(|(partition, start, _)| (*partition, *start)).collect();
    sequences::refresh_ranges(&database.servers(), ranges).await?;
    sequences::withdraw(database, &positions).await?;
    for table in ["erasures", "ledger"] {
        database.alter(table, &delete).await?;
    }
    for Loss { partition, lost, verdicts, .. } in losses {
        let events = verdicts.get(Verdict::Accepted.as_str()).copied().unwrap_or(0);
        database.say_accepted(*partition, lost, events).await?;
    }
    Ok(())
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, log, lost, verdicts } = self;
        write!(
            f,
            "partition {partition}: the log has offsets {} to {}, the tables know offsets up to {}, and from offset {} \
             on they are not the same. The tables hold of the lost records:",
            log.start, log.end, lost.end, lost.start
        )?;
        let counted: Vec<String> =
            verdicts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
        write!(f, " {}", if counted.is_empty() { "none".to_owned() } else { counted.join(", ") })?;
        if verdicts.contains_key(Verdict::Erasure.as_str()) {
            write!(f, ". Requests to erase are among them: repeat `projector erase` for these sessions")?;
        }
        Ok(())
    }
}

/// The first offset of `from..to` from which on log and ledger differ; `to` if they are the same.
async fn first_difference(work: &Work, partition: i32, from: u64, to: u64) -> Result<u64> {
    let (mut low, mut high) = (from, to);
    // Behind a difference that was found already, another log may have been projected for a while.
    if let Said::Refused(offset) = work.database.said(partition).await?
        && (low..high).contains(&offset)
    {
        let witnesses = work.database.witnesses(partition, &[offset]).await?;
        if contradicted(work, partition, &witnesses).await?.is_some() {
            high = offset;
        }
    }
    while low < high {
        let middle = low + (high - low) / 2;
        let last = work.database.last_record(partition, low..middle + 1).await?;
        let witnesses = work.database.witnesses(partition, last.as_slice()).await?;
        match contradicted(work, partition, &witnesses).await? {
            Some(witness) => high = witness.offset,
            None => low = middle + 1,
        }
    }
    Ok(high)
}

async fn verdicts(database: &Database, partition: i32, from: u64) -> Result<BTreeMap<&'static str, u64>> {
    let sql = "SELECT toInt8(verdict), count() FROM {database}.ledger \
               WHERE partition = {partition:UInt16} AND offset >= {from:UInt64} GROUP BY verdict";
    let query = database.query(sql).param("partition", partition).param("from", from);
    let rows: Vec<(i8, u64)> = within(ANSWER, query.fetch_all()).await?;
    let named =
        |(verdict, count): (i8, u64)| Some((Verdict::of(u8::try_from(verdict).ok()?)?.as_str(), count));
    Ok(rows.into_iter().filter_map(named).collect())
}
