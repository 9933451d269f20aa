//! The service: projects the serving generation, and follows when another one serves.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};
use arc_swap::ArcSwapOption;
use infra::database::refused_login;
use infra::follow::{self, Files};
use tables::OtherVersion;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::commit::consume::{DRAIN, Loop};
use crate::config::ProjectorConfig;
use crate::keep::{audit, disks, erase, log_watch, parts, probes, restore, retention, sequences, usage};
use crate::metrics::Metrics;
use crate::work::Work;
use crate::{http, log};

/// How soon a change of the serving generation is followed.
const GENERATION: Duration = Duration::from_secs(2);
/// How long a stop waits for the loop, which may hang in a call to a broker that does not answer.
const STOP: Duration = DRAIN.saturating_add(Duration::from_secs(2));

/// Projects until `shutdown`, then inserts what was read and leaves the group.
///
/// # Errors
/// Settings that can't work, tables of another version, event types that can't be read, a fatal error of
/// librdkafka. Brokers or a ClickHouse that don't answer are waited for.
pub async fn serve(
    config: ProjectorConfig,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    config.validate()?;
    follow::outlive_hangups()?;
    let metrics = Metrics::new()?;
    let current = Arc::new(ArcSwapOption::<Work>::empty());
    let web = tokio::spawn({
        let app = http::router(metrics.registry.clone(), Arc::clone(&current));
        async move { axum::serve(listener, app).await }
    });
    let mut shutdown = pin!(shutdown);
    let result = loop {
        let generation = tokio::select! {
            () = &mut shutdown => break Ok(()),
            generation = serving(&config) => match generation {
                Ok(generation) => generation,
                Err(error) => break Err(error),
            },
        };
        let moved = async {
            while tables::serving(&config.clickhouse).await.ok().flatten().is_none_or(|now| now == generation)
            {
                sleep(GENERATION).await;
            }
            tracing::info!(generation, "another generation serves now: following");
        };
        let mut stopped = false;
        let end = async {
            tokio::select! { () = &mut shutdown => stopped = true, () = moved => {} }
        };
        match project(&config, generation, &metrics, &current, end).await {
            Ok(()) if stopped => break Ok(()),
            Ok(()) => {}
            Err(error) => break Err(error),
        }
    };
    web.abort();
    result
}

/// The generation to project, once ClickHouse answers.
async fn serving(config: &ProjectorConfig) -> anyhow::Result<u32> {
    loop {
        let found = async {
            let generation = tables::serving(&config.clickhouse).await?;
            if let Some(generation) = generation {
                tables::check_version(&config.clickhouse, generation).await?;
            }
            anyhow::Ok(generation)
        };
        match found.await {
            Ok(Some(generation)) => return Ok(generation),
            Ok(None) => {
                return Err(anyhow!("no generation serves yet: run `projector migrate`"));
            }
            Err(error) if error.is::<OtherVersion>() => return Err(error),
            Err(error) if let Some(refused) = refused_login(&config.clickhouse, &error) => {
                return Err(error.context(refused));
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "waiting for ClickHouse");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Projects one generation until `end`.
pub(crate) async fn project(
    config: &ProjectorConfig,
    generation: u32,
    metrics: &Metrics,
    current: &ArcSwapOption<Work>,
    end: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let event_types = Files::new(config.judge.event_types.clone())?;
    let apps = Files::new(config.judge.apps.iter().cloned().collect())?;
    let judge = config.judge.load(&config.kafka.topic)?;
    if judge.erasers().are_all() {
        tracing::warn!(
            "no --erase-keys: everybody may erase sessions who may write to the topic (`openssl rand -hex 32` makes a key)"
        );
    }
    metrics.event_types.loaded(event_types.version());
    metrics.apps.loaded(apps.version());
    let group = config.group_of(generation);
    let consumer =
        log::group_consumer(&config.kafka, &group, config.group.group_protocol).context("kafka options")?;
    let work = Arc::new(Work::new(config.clone(), generation, judge, metrics.clone())?);
    current.store(Some(Arc::clone(&work)));
    tracing::info!(generation, group, "projecting");

    let stop = Arc::new(AtomicBool::new(false));
    let (ended, mut end_of_loop) = oneshot::channel();
    let the_loop = Loop::new(Arc::clone(&work), Handle::current(), consumer);
    std::thread::Builder::new().name("consume".into()).spawn({
        let stop = Arc::clone(&stop);
        move || {
            let _ = ended.send(the_loop.run(&stop));
        }
    })?;
    let mut behind = JoinSet::new();
    behind.spawn(probes::log_ends(Arc::clone(&work)));
    behind.spawn(probes::topic_settings(Arc::clone(&work)));
    behind.spawn(probes::answers(Arc::clone(&work)));
    behind.spawn(log_watch::watch(Arc::clone(&work)));
    behind.spawn(follow_event_types(Arc::clone(&work), event_types));
    behind.spawn(follow_apps(Arc::clone(&work), apps));
    behind.spawn(audit::watch(Arc::clone(&work)));
    behind.spawn(erase::watch(Arc::clone(&work)));
    behind.spawn(retention::watch(Arc::clone(&work)));
    behind.spawn(disks::watch(config.clickhouse.clone(), metrics.clone()));
    behind.spawn(parts::watch(Arc::clone(&work)));
    behind.spawn(restore::watch(Arc::clone(&work)));
    behind.spawn(sequences::watch(Arc::clone(&work)));
    behind.spawn(usage::watch(Arc::clone(&work)));
    let ended = tokio::select! {
        () = end => None,
        ended = &mut end_of_loop => Some(ended),
    };
    behind.abort_all();
    stop.store(true, Ordering::Relaxed);
    let ended = match ended {
        Some(ended) => ended,
        None => match timeout(STOP, end_of_loop).await {
            Ok(ended) => ended,
            // Its thread goes with the process; if another generation is followed, it ends once the brokers answer, and
            // is the old group's affair until then. What it announced, the next owner verifies, as after a kill.
            Err(_) => {
                tracing::warn!("the brokers don't answer: stopped without a last commit");
                return Ok(());
            }
        },
    };
    ended.context("the loop's thread died")?.map_err(Into::into)
}

/// Reads the event types again when they change. They hold from the next record on: what was judged before keeps its
/// verdict, and its row says by which version; a re-projection judges all of it alike.
async fn follow_event_types(work: Arc<Work>, mut files: Files) {
    loop {
        files.changed().await;
        let read = work.config.judge.read_event_types().map(|registry| {
            work.metrics.declare(&registry);
            let registry = Arc::new(registry);
            work.judge.rcu(|judge| judge.with_registry(Arc::clone(&registry)));
        });
        work.metrics.event_types.read_again("event types", files.version(), read);
    }
}

/// The same of the applications.
async fn follow_apps(work: Arc<Work>, mut files: Files) {
    loop {
        files.changed().await;
        let read = work.config.judge.read_apps().map(|apps| {
            work.metrics.declare_apps(&apps);
            let apps = Arc::new(apps);
            work.judge.rcu(|judge| judge.with_apps(Arc::clone(&apps)));
        });
        work.metrics.apps.read_again("applications", files.version(), read);
    }
}
