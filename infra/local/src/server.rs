//! `clickhouse-local-server`: the ClickHouse engine behind ClickHouse's HTTP protocol.
//!
//! One process owns one data directory. A request becomes a statement on a session of the engine in which
//! nothing is left of earlier requests, run by a thread of its own under the user's role and limits; inserts
//! stream in, answers stream out.
//!
//! What it speaks: statements in the URL, the body or both; `param_*` in the URL or as multipart; settings
//! as parameters; `FORMAT`, `default_format` and `X-ClickHouse-Format`; bodies in gzip, deflate, zstd, lz4,
//! br or ClickHouse's blocks, both ways; `query_id` (a second statement under it is Code 216), sessions,
//! `wait_end_of_query`; errors in the middle of an answer as ClickHouse marks them, and then the answer is
//! cut short. A client that leaves cancels its statement; half an INSERT leaves nothing.
//!
//! What it refuses: several statements in one text; what reads or writes outside the data directory
//! (`file()`, `url()`, `s3()`, `remote()`, `INTO OUTFILE`, table engines of that kind); SYSTEM, KILL,
//! GRANT, BACKUP. A user that only reads gets SELECT on the databases that the file of users names (so
//! their views have to be made `SQL SECURITY DEFINER`) and the harmless tables of `system`. Time, memory, statements at
//! once and connections have limits that a client can only lower.
//!
//! What it cannot do, for the engine cannot: replicated tables, CREATE USER, quotas, row policies,
//! query_log. `INSERT ... SELECT ... FROM input()` is not understood.
//!
//! Durability: what was acknowledged survives `kill -9` (not a power cut: there is no fsync); before the
//! engine opens the data the deduplication logs are repaired, see `dedup.rs`.
//!
//! # Layout
//! From a connection to an answer: `http`, `request`, `work`. What a statement is: `statement`, `lexer`,
//! `format`. On the wire: `encoding`, `block`, `hello`, `exception`. The engine: `engine`, `users`, `dedup`.
//! What goes on: `running`, `flushed`.

mod http;

mod request;

mod work;

mod format;
mod lexer;
mod statement;

mod block;
mod encoding;
pub(crate) mod exception;
mod hello;

mod dedup;
mod engine;
mod users;

mod flushed;
mod running;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::engine::{Engine, Session};
use self::exception::{Exception, code};
use self::request::SessionKey;
use self::users::{Limits, User, Users};

/// How the server runs.
#[derive(Debug, Clone, Args)]
pub struct ServerConfig {
    /// Where the data is; one server at a time owns it.
    #[arg(long, env = "EYE_CLICKHOUSE_DATA", default_value = ".eye/clickhouse")]
    pub path: PathBuf,
    /// Where to answer HTTP.
    #[arg(long, env = "EYE_CLICKHOUSE_LISTEN", default_value = "127.0.0.1:8123")]
    pub listen: SocketAddr,
    /// libchdb.so; fetched from npm into the cache if not given.
    #[arg(long, env = "EYE_CLICKHOUSE_ENGINE")]
    pub engine: Option<PathBuf>,
    /// A file of users; without it: `default` writes, `analyst` reads the views of `eye`, no passwords.
    #[arg(long, env = "EYE_CLICKHOUSE_USERS")]
    pub users: Option<PathBuf>,
    /// The longest that a statement may run, in seconds; a client may ask for less.
    #[arg(long, default_value_t = 600)]
    pub max_seconds: u64,
    /// The most memory of one statement, in bytes; a client may ask for less. The engine as a whole gets twice as much.
    #[arg(long, default_value_t = 4 << 30)]
    pub max_memory: u64,
    /// Statements at once; more wait for a moment and are then refused (Code 202).
    #[arg(long, default_value_t = 32)]
    pub max_statements: usize,
    /// How long a statement waits for its turn, in seconds.
    #[arg(long, default_value_t = 10)]
    pub max_wait_seconds: u64,
    /// Open connections; more wait to be accepted.
    #[arg(long, default_value_t = 512)]
    pub max_connections: usize,
}

/// Sessions that are kept between requests.
const MOST_SESSIONS: usize = 64;
/// Of those that nobody named, which the next request of the same kind takes.
const MOST_IDLE: usize = 32;

/// Serves until `shutdown`, then ends what runs and closes the engine.
///
/// # Errors
/// One clear line: the engine can't be fetched or loaded, or another process owns the data.
pub async fn serve(
    config: ServerConfig,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let server =
        tokio::task::spawn_blocking(move || Server::open(config)).await.context("the start failed")??;
    let server = Arc::new(server);
    http::serve(Arc::clone(&server), listener, shutdown).await;
    tokio::task::spawn_blocking(move || server.close()).await.context("the end failed")
}

pub(crate) struct Server {
    config: ServerConfig,
    users: Users,
    engine: Engine,
    slots: Arc<Semaphore>,
    running: Mutex<HashSet<String>>,
    sessions: Mutex<HashMap<(String, String), Kept>>,
    /// Sessions that requests without a name have left clean, each with its user. A new one costs as much as a small
    /// statement does.
    idle: Mutex<Vec<(String, Session)>>,
}

/// A session between two requests; none while a request uses it.
struct Kept {
    session: Option<Session>,
    until: Instant,
}

impl Server {
    fn open(config: ServerConfig) -> anyhow::Result<Self> {
        let users = Users::read(config.users.as_deref())?;
        let library = match &config.engine {
            Some(library) => library.clone(),
            None => crate::clickhouse::engine()?,
        };
        let limits = Limits { seconds: config.max_seconds, memory: config.max_memory, threads: 2 };
        let path = std::path::absolute(&config.path)?;
        let engine = Engine::open(&library, &path, &users, &limits)?;
        let slots = Arc::new(Semaphore::new(config.max_statements));
        Ok(Self {
            config,
            users,
            engine,
            slots,
            running: Mutex::default(),
            sessions: Mutex::default(),
            idle: Mutex::default(),
        })
    }

    /// A turn to run a statement.
    async fn slot(&self) -> Result<OwnedSemaphorePermit, Exception> {
        let wait = Duration::from_secs(self.config.max_wait_seconds);
        let turn = tokio::time::timeout(wait, Arc::clone(&self.slots).acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| {
            let message = format!("Too many simultaneous queries. Maximum: {}", self.config.max_statements);
            Exception::new(code::TOO_MANY_SIMULTANEOUS_QUERIES, message)
        })
    }

    fn running(&self) -> MutexGuard<'_, HashSet<String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<(String, String), Kept>> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        sessions.retain(|_, kept| kept.session.is_none() || kept.until > now);
        sessions
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(String, Session)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The named session; without a name one in which `settings` replace all that was set in it, or a new one.
    fn take_session(
        &self,
        user: &User,
        key: Option<&SessionKey>,
        settings: &[(String, String)],
    ) -> Result<Session, Exception> {
        let Some(key) = key else {
            let mut idle = self.idle();
            let fits =
                |(name, session): &(String, Session)| *name == user.name && session.is_reset_by(settings);
            // The one that is most alike: another may fit a request that sets less, for which there would be none.
            let fitting = idle.iter().enumerate().filter(|(_, kept)| fits(kept));
            let alike = fitting.max_by_key(|(_, (_, session))| session.chosen()).map(|(place, _)| place);
            let found = alike.map(|place| idle.remove(place).1);
            drop(idle);
            return found.map_or_else(|| self.engine.session(user), Ok);
        };
        let mut sessions = self.sessions();
        let name = (user.name.clone(), key.id.clone());
        if let Some(kept) = sessions.get_mut(&name) {
            let locked = || {
                Exception::new(
                    code::SESSION_IS_LOCKED,
                    format!("Session {} is locked by a concurrent client", key.id),
                )
            };
            return kept.session.take().ok_or_else(locked);
        }
        if key.check {
            return Err(Exception::new(code::SESSION_NOT_FOUND, format!("Session {} not found", key.id)));
        }
        if sessions.len() >= MOST_SESSIONS {
            let message = format!("Too many sessions. Maximum: {MOST_SESSIONS}");
            return Err(Exception::new(code::TOO_MANY_SIMULTANEOUS_QUERIES, message));
        }
        sessions.insert(name, Kept { session: None, until: Instant::now() });
        drop(sessions);
        let session = self.engine.session(user);
        if session.is_err() {
            self.sessions().remove(&(user.name.clone(), key.id.clone()));
        }
        session
    }

    /// `clean`: its statement left nothing in the session but the settings of the request.
    fn give_back(&self, user: &User, key: Option<&SessionKey>, session: Session, clean: bool) {
        let Some(key) = key else {
            if clean {
                let mut idle = self.idle();
                idle.push((user.name.clone(), session));
                // The one that nobody wanted for longest, closed without the lock.
                let longest = (idle.len() > MOST_IDLE).then(|| idle.remove(0));
                drop(idle);
                drop(longest);
            }
            return;
        };
        let kept = Kept { session: Some(session), until: Instant::now() + key.timeout };
        self.sessions().insert((user.name.clone(), key.id.clone()), kept);
    }

    fn close(&self) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.idle().clear();
        self.engine.close();
    }
}
