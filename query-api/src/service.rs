//! The service's life: connect, answer, stop.

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::app::{App, Followed};
use crate::config::Config;
use crate::routes;

/// The query API, connected and not yet listening.
#[derive(Debug)]
pub struct Service {
    app: App,
    followed: Followed,
}

impl Service {
    /// Loads the event types and looks for tables. Tables, or ClickHouse, may still be missing: `/readyz` says so.
    ///
    /// # Errors
    /// Event types that can't be read; tables of another version.
    pub async fn connect(config: Config) -> anyhow::Result<Self> {
        let (app, followed) = App::connect(config).await?;
        Ok(Self { app, followed })
    }

    /// Answers until `shutdown`, then lets the answers under way end.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn run(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let Self { app, followed } = self;
        // The tasks end when the set is dropped.
        let mut tasks = JoinSet::new();
        tasks.spawn(app.clone().follow_tables());
        tasks.spawn(app.clone().follow_readers(followed.apps));
        tasks.spawn(app.clone().follow_event_types(followed.event_types));
        let database = app.clone();
        tasks.spawn(app.feed.clone().run(move || database.database()));
        let stopping = app.stopping.clone();
        let stop = async move {
            shutdown.await;
            stopping.send_replace(true);
        };
        Ok(axum::serve(listener, routes::router(app)).with_graceful_shutdown(stop).await?)
    }
}
