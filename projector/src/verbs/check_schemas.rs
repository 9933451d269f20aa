//! A dry run of changed schemas: finds the events of the log that would get another verdict.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Args;
use infra::kafka::KafkaConfig;
use schemas::{Judge, Record, Registry, check, compat};

use crate::config::JudgeConfig;
use crate::judge::projection::Projection;
use crate::log;

#[derive(Debug, Args)]
pub struct CheckSchemasArgs {
    /// A folder with the changed and the new event types, in the form of --event-types. A schema replaces the one with
    /// the same type and version.
    #[arg(value_name = "DIR")]
    pub changes: PathBuf,
    #[command(flatten)]
    pub kafka: KafkaConfig,
    #[command(flatten)]
    pub judge: JudgeConfig,
    /// Judge only every N-th offset. It is quicker, and the counts are those of the sample.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub every: u64,
    /// Only check the types and their examples: needs no Kafka and no applications.
    #[arg(long)]
    pub offline: bool,
    /// How many events of each group are shown.
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub samples: usize,
}

/// Exit codes: events would become invalid; the command line is wrong; a type is faulty; the log can't be read.
const STRICTER: u8 = 1;
const USAGE: u8 = 2;
const FAULTY: u8 = 3;
const NO_LOG: u8 = 4;

/// Checks the changed event types and their examples. With --offline each type must have some; otherwise the log is the
/// proof: it is judged by the event types in force and by the changed ones, and the differences are printed. Duplicates
/// are left out, as they never become events. Reads only Kafka.
pub fn run(args: &CheckSchemasArgs) -> ExitCode {
    if !args.offline && args.judge.apps.is_none() {
        eprintln!(
            "without applications every record is rejected and nothing could differ: give the file with --apps or \
             EYE_APPS, or check the types alone with --offline"
        );
        return USAGE.into();
    }
    let read = || -> anyhow::Result<_> {
        let now = args.judge.read_event_types()?;
        let changed = Registry::load_changed(&args.judge.event_types, &args.changes)?;
        let changed = Arc::new(changed);
        let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64;
        let problems = check::check(&changed, &args.changes, today, args.offline)?;
        Ok((now, changed, problems))
    };
    let (now, changed, problems) = match read() {
        Ok(found) => found,
        Err(error) => {
            eprintln!("{error:#}");
            return FAULTY.into();
        }
    };
    say_changes(&now, &changed);
    problems.iter().for_each(|problem| println!("{problem}"));
    if !problems.is_empty() {
        println!("{} faults", problems.len());
        return FAULTY.into();
    }
    if args.offline {
        println!("every example gets the verdict that it promises");
        return ExitCode::SUCCESS;
    }
    let now = match args.judge.load(&args.kafka.topic) {
        Ok(now) => now,
        Err(error) => {
            eprintln!("{error:#}");
            return USAGE.into();
        }
    };
    let then = now.with_registry(changed);
    let report = match compare(args, &now, &then) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("{error:#}");
            return NO_LOG.into();
        }
    };
    print!("{report}");
    if report.invalid() == 0 { ExitCode::SUCCESS } else { STRICTER.into() }
}

/// Prints how the schemas differ, newest version against newest version.
fn say_changes(now: &Registry, then: &Registry) {
    for new in then.newest() {
        let title = format!("{} / {}", new.category, new.name);
        match now.get(&new.category, &new.name) {
            None => println!("{title}: new event type, version {}", new.version),
            Some(old) if old.schema == new.schema => {}
            Some(old) => {
                println!("{title}: version {} -> {}", old.version, new.version);
                for change in compat::compare(&old.schema, &new.schema) {
                    println!("  {change}");
                }
            }
        }
    }
}

/// Category, name, app.
type Sender = (String, String, String);

#[derive(Default)]
struct Group {
    events: u64,
    samples: Vec<String>,
}

#[derive(Default)]
struct Report {
    judged: u64,
    duplicates: u64,
    to_invalid: BTreeMap<Sender, Group>,
    to_valid: BTreeMap<Sender, Group>,
}

impl Report {
    fn invalid(&self) -> u64 {
        self.to_invalid.values().map(|group| group.events).sum()
    }

    fn compare(
        &mut self,
        projection: &mut Projection,
        now: &Judge,
        then: &Judge,
        mut record: Record<'_>,
        samples: usize,
    ) {
        let (old, first) = projection.judge(now, &mut record);
        if first.is_some() {
            self.duplicates += 1;
            return;
        }
        self.judged += 1;
        let new = then.judge(&record);
        let groups = match (old.is_accepted(), new.is_accepted()) {
            (true, false) => &mut self.to_invalid,
            (false, true) => &mut self.to_valid,
            _ => return,
        };
        let sender = (new.category.into_owned(), new.name.into_owned(), new.app.into_owned());
        let group = groups.entry(sender).or_default();
        group.events += 1;
        if group.samples.len() < samples {
            let reason = new.reasons.iter().chain(&old.reasons).next();
            let reason =
                reason.map(|reason| format!("{} {}", reason.pointer, reason.message)).unwrap_or_default();
            let place = format!("partition {}, offset {}", record.partition, record.offset);
            group.samples.push(format!("{} ({place}): {reason}", old.event_id));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (groups, what) in
            [(&self.to_invalid, "would become invalid"), (&self.to_valid, "would become valid")]
        {
            for ((category, name, app), group) in groups {
                writeln!(f, "{category} / {name} of {app}: {} {what}", group.events)?;
                for sample in &group.samples {
                    writeln!(f, "  {sample}")?;
                }
            }
        }
        let valid: u64 = self.to_valid.values().map(|group| group.events).sum();
        writeln!(
            f,
            "{} events judged twice, {} duplicates left out: {} would become invalid, {valid} valid",
            self.judged,
            self.duplicates,
            self.invalid()
        )
    }
}

fn compare(args: &CheckSchemasArgs, now: &Judge, then: &Judge) -> anyhow::Result<Report> {
    let mut projections: BTreeMap<i32, Projection> = BTreeMap::new();
    let mut report = Report::default();
    log::read_all(&args.kafka, |record| {
        let (partition, offset) = (record.partition, record.offset as u64);
        if offset.is_multiple_of(args.every) {
            let projection = projections
                .entry(partition)
                .or_insert_with(|| Projection::new(partition, offset, args.judge.window(), Arc::default()));
            report.compare(projection, now, then, record, args.samples);
        }
        ControlFlow::Continue(())
    })?;
    Ok(report)
}
