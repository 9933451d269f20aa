//! What handlers share: the serving generation, and the readers and event types, whose files are followed.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::{ArcSwap, ArcSwapOption};
use infra::database::refused_login;
use infra::follow::Files;
use schemas::Registry;
use schemas::apps::Apps;
use tables::OtherVersion;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::config::Config;
use crate::database::Database;
use crate::error::Error;
use crate::feed::Feed;
use crate::log::Log;
use crate::metrics::{InFlight, Metrics};
use crate::readers::Readers;

/// How often it is checked which generation serves.
const CHECK: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct App(Arc<Parts>);

#[derive(Debug)]
pub struct Parts {
    pub config: Config,
    /// The event types, for what was declared but never used.
    pub registry: ArcSwap<Registry>,
    pub metrics: Metrics,
    /// The serving generation; none before the first `migrate`.
    serving: ArcSwapOption<Database>,
    /// Room for questions.
    rooms: Arc<Semaphore>,
    pub(crate) readers: watch::Sender<Readers>,
    pub(crate) log: Log,
    pub(crate) feed: Feed,
    /// True once the service stops, for answers that would not end by themselves.
    pub stopping: watch::Sender<bool>,
}

/// A question's place among those under way. The handler holds it, or the stream that it answers with; dropping it
/// makes room for another question.
#[derive(Debug, Clone)]
pub(crate) struct Room(#[expect(dead_code, reason = "held, not read")] Arc<(OwnedSemaphorePermit, InFlight)>);

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    /// Loads the event types and the readers, and looks for tables, which may still be missing.
    pub(crate) async fn connect(config: Config) -> anyhow::Result<(Self, Followed)> {
        let event_types = Files::new(config.event_types.clone())?;
        let registry = Registry::load(&config.event_types).context("event types")?;
        let apps = Files::new(config.apps.iter().cloned().collect())?;
        let readers = Readers::new(read_apps(&config)?, config.open, None);
        let metrics = Metrics::new()?;
        metrics.event_types.loaded(event_types.version());
        metrics.apps.loaded(apps.version());
        let app = Self(Arc::new(Parts {
            readers: watch::Sender::new(readers),
            log: Log::new(&config.kafka).context("kafka options")?,
            feed: Feed::new(),
            stopping: watch::Sender::new(false),
            metrics,
            registry: ArcSwap::from_pointee(registry),
            serving: ArcSwapOption::empty(),
            rooms: Arc::new(Semaphore::new(config.limits.concurrency)),
            config,
        }));
        match app.check_tables().await {
            Err(error) if error.is::<OtherVersion>() => return Err(error),
            Err(error) if let Some(refused) = refused_login(&app.config.clickhouse, &error) => {
                return Err(error.context(refused));
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "waiting for ClickHouse"),
            Ok(()) => {}
        }
        Ok((app, Followed { apps, event_types }))
    }

    pub fn database(&self) -> Result<Database, Error> {
        self.serving.load().as_deref().cloned().ok_or(Error::NotReady)
    }

    pub(crate) fn room(&self) -> Result<Room, Error> {
        let permit = self.rooms.clone().try_acquire_owned().map_err(|_| Error::Busy)?;
        Ok(Room(Arc::new((permit, self.metrics.in_flight()))))
    }

    /// Finds out which generation serves.
    async fn check_tables(&self) -> anyhow::Result<()> {
        let clickhouse = &self.config.clickhouse;
        let Some(generation) = tables::serving(clickhouse).await? else {
            self.serving.store(None);
            return Ok(());
        };
        let name = clickhouse.generation(generation);
        if self.serving.load().as_ref().is_some_and(|serving| serving.name() == name) {
            return Ok(());
        }
        tables::check_version(clickhouse, generation).await?;
        tracing::info!(database = name, "answers from");
        self.serving.store(Some(Arc::new(Database::new(clickhouse, generation, &self.config.limits))));
        Ok(())
    }

    pub(crate) async fn follow_tables(self) {
        let mut every = tokio::time::interval(CHECK);
        loop {
            every.tick().await;
            if let Err(error) = self.check_tables().await {
                tracing::warn!("cannot tell which generation serves: {error:#}");
            }
        }
    }

    /// Reads the readers again whenever their file changes, for ever. A file that is refused changes nothing.
    pub(crate) async fn follow_readers(self, mut files: Files) {
        loop {
            files.changed().await;
            let read = read_apps(&self.config).map(|apps| {
                let readers = Readers::new(apps, self.config.open, Some(&self.readers.borrow()));
                self.readers.send_replace(readers);
            });
            self.metrics.apps.read_again("readers", files.version(), read);
        }
    }

    /// The same for the event types.
    pub(crate) async fn follow_event_types(self, mut files: Files) {
        loop {
            files.changed().await;
            let read = Registry::load(&self.config.event_types);
            let read = read.map(|registry| self.registry.store(Arc::new(registry)));
            self.metrics.event_types.read_again("event types", files.version(), read.map_err(Into::into));
        }
    }
}

/// The files that a running service follows.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) apps: Files,
    pub(crate) event_types: Files,
}

fn read_apps(config: &Config) -> anyhow::Result<Apps> {
    Ok(config.apps.as_deref().map(Apps::load).transpose()?.unwrap_or_default())
}
