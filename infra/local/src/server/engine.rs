//! The engine and its sessions.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context;

use super::exception::{Exception, code};
use super::users::{Limits, User, Users};
use crate::ffi::chdb::{Chdb, Connection};

/// The engine's own configuration: small caches, no logs of queries, no network.
const CONFIG: &str = include_str!("../../engine/config.xml");

/// The engine over one data directory.
pub(crate) struct Engine {
    chdb: &'static Chdb,
    data: PathBuf,
    config: PathBuf,
    /// Kept open so that the engine keeps running between statements.
    anchor: Mutex<Option<Connection>>,
    pub(crate) version: String,
    /// Of every session, until a client chooses others.
    settings: Vec<(String, String)>,
}

impl Engine {
    /// Loads the library and opens `directory` (its `data` is the engine's).
    ///
    /// # Errors
    /// Another process owns the directory, or it can't be written or opened.
    pub(crate) fn open(
        library: &Path,
        directory: &Path,
        users: &Users,
        limits: &Limits,
    ) -> anyhow::Result<Self> {
        let data = directory.join("data");
        fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
        let dropped = super::dedup::repair(&data).context("cannot repair the deduplication logs")?;
        if dropped > 0 {
            eprintln!("dropped {dropped} entries of deduplication logs whose parts were never committed");
        }
        let users_file = directory.join("users.xml");
        fs::write(&users_file, users.engine_configuration(limits))?;
        let config = directory.join("config.xml");
        let text = CONFIG
            .replace("{users}", &users_file.display().to_string())
            .replace("{memory}", &(limits.memory * 2).to_string());
        fs::write(&config, text)?;
        let chdb = Chdb::load(library)?;
        let mut anchor = chdb.connect(&data, &config)?;
        let version =
            anchor.query("SELECT version()", "RawBLOB", &[]).map_err(|error| anyhow::anyhow!(error.text))?;
        let version = String::from_utf8_lossy(version.as_ref()).into_owned();
        let settings = [
            ("max_execution_time", limits.seconds),
            ("max_memory_usage", limits.memory),
            ("max_threads", limits.threads),
            // An insert is there when it is acknowledged, and its token reaches the targets of views.
            ("async_insert", 0),
            ("insert_deduplicate", 1),
            ("deduplicate_blocks_in_dependent_materialized_views", 1),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_string())).to_vec();
        Ok(Self { chdb, data, config, anchor: Mutex::new(Some(anchor)), version, settings })
    }

    /// A fresh session under a user's role and limits.
    ///
    /// # Errors
    /// The engine refuses, e.g. while it is being closed.
    pub(crate) fn session(&self, user: &User) -> Result<Session, Exception> {
        let connection = self.chdb.connect(&self.data, &self.config);
        let connection = connection.map_err(|error| Exception::new(code::ABORTED, error))?;
        let mut session = Session { connection, database: "default".to_owned(), chosen: Vec::new() };
        session.run(&format!("SET ROLE {}", user.name))?;
        // The profile brings the constraints; its values have to be set one by one.
        session.run(&format!("SET profile = 'of_{}'", user.name))?;
        session.set(&self.settings)?;
        session.chosen.clear();
        Ok(session)
    }

    /// Ends the SELECT that carries `mark` as its `log_comment`, if it still runs. Whatever changes data is
    /// left to end by itself: half of it would help nobody.
    pub(crate) fn kill(&self, mark: &str) {
        self.kill_where(&format!("Settings['log_comment'] = {} AND query_kind = 'Select'", quote(mark)));
    }

    pub(crate) fn kill_all(&self) {
        self.kill_where("1");
    }

    fn kill_where(&self, condition: &str) {
        if let Ok(mut connection) = self.chdb.connect(&self.data, &self.config) {
            let _ = connection.query(&format!("KILL QUERY WHERE {condition} ASYNC"), "Null", &[]);
        }
    }

    /// Ends the engine once every session is dropped.
    pub(crate) fn close(&self) {
        drop(self.anchor.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
    }
}

/// A connection with its settings and current database.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    database: String,
    /// The names of the settings that differ from a new session's.
    chosen: Vec<String>,
}

impl Session {
    /// Settings by name, as text.
    pub(crate) fn set(&mut self, settings: &[(String, String)]) -> Result<(), Exception> {
        if settings.is_empty() {
            return Ok(());
        }
        let mut list = Vec::new();
        for (name, value) in settings {
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(Exception::new(code::UNKNOWN_SETTING, format!("Unknown setting '{name}'")));
            }
            list.push(format!("{name} = {}", quote(value)));
            if !self.chosen.contains(name) {
                self.chosen.push(name.clone());
            }
        }
        self.run(&format!("SET {}", list.join(", ")))
    }

    /// Whether a new session with `settings` would not differ from this one with them. One setting changes others, too.
    pub(crate) fn is_reset_by(&self, settings: &[(String, String)]) -> bool {
        let replaced =
            |chosen: &String| chosen != "compatibility" && settings.iter().any(|(name, _)| name == chosen);
        self.chosen.iter().all(replaced)
    }

    /// How many settings differ from a new session's.
    pub(crate) fn chosen(&self) -> usize {
        self.chosen.len()
    }

    pub(crate) fn use_database(&mut self, database: &str) -> Result<(), Exception> {
        if database != self.database {
            self.run(&format!("USE `{}`", database.replace('\\', "\\\\").replace('`', "\\`")))?;
            database.clone_into(&mut self.database);
        }
        Ok(())
    }

    fn run(&mut self, sql: &str) -> Result<(), Exception> {
        self.connection.query(sql, "Null", &[]).map(drop)
    }
}

/// As a string literal.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
