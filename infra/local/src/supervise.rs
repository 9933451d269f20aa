//! A child process that is watched: started again with backoff when it dies, stopped in order, and
//! never left behind.
//!
//! Each child has a thread of its own that spawns it, waits for it and spawns it again, so a
//! [`Supervised`] belongs to no async runtime: one test may start it and another use it.

mod watcher;

use std::collections::VecDeque;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use self::watcher::Watcher;
use crate::ffi;
use crate::ready::Ready;

/// A program to run and how to look after it.
pub struct Spec {
    /// How the terminal calls it, e.g. `projector`.
    pub name: String,
    pub command: Command,
    /// Where its standard output and error go (appended).
    pub log: PathBuf,
    pub ready: Ready,
    pub restart: Restart,
    /// How long after SIGTERM it may take before SIGKILL.
    pub grace: Duration,
    pub on_event: OnEvent,
}

/// Told of everything that happens to a child; [`Event`] is also a sentence.
pub type OnEvent = Arc<dyn Fn(&Event) + Send + Sync>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Stays down.
    Never,
    /// Again after 200 ms, then twice as long each time up to 10 s; from the beginning once it has been
    /// ready for 30 s.
    Backoff,
}

#[derive(Debug, Clone)]
pub enum Event {
    Started {
        name: String,
        pid: u32,
    },
    Ready {
        name: String,
        after: Duration,
    },
    /// Nobody asked for it.
    Died {
        name: String,
        status: String,
        restart_in: Option<Duration>,
        log: PathBuf,
    },
    Stopped {
        name: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { name, pid } => write!(f, "{name}: started (pid {pid})"),
            Self::Ready { name, after } => write!(f, "{name}: ready after {after:.1?}"),
            Self::Died { name, status, restart_in, log } => {
                let again = restart_in.map(|pause| format!(": starting it again in {pause:.1?}"));
                write!(f, "{name} died ({status}){}; its log is {}", again.unwrap_or_default(), log.display())
            }
            Self::Stopped { name } => write!(f, "{name}: stopped"),
        }
    }
}

/// Where a child is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No process; `start` or the backoff brings the next one.
    Down,
    Starting(u32),
    Ready(u32),
}

impl State {
    pub fn pid(self) -> Option<u32> {
        match self {
            Self::Down => None,
            Self::Starting(pid) | Self::Ready(pid) => Some(pid),
        }
    }
}

/// A watched child process. Dropping it kills the process (SIGKILL) and waits until it is gone; for an
/// orderly end call [`Supervised::stop`] first. When the whole parent process dies, however it dies, the
/// kernel kills the child.
pub struct Supervised {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    name: String,
    log: PathBuf,
    grace: Duration,
    on_event: OnEvent,
    wish: Mutex<Wish>,
    changed: Condvar,
    state: watch::Sender<State>,
}

/// The owner's wish, which the thread fulfils.
struct Wish {
    up: bool,
    closed: bool,
    /// The process that may be signalled: from spawn until just before it is reaped, so that a signal
    /// never hits another process with the same pid.
    pid: Option<Pid>,
    /// How the last processes that nobody stopped ended, newest last.
    deaths: VecDeque<String>,
}

/// A log larger than this is put aside when its process is first started.
const LARGEST_LOG: u64 = 20 << 20;

impl Supervised {
    /// Starts the process and its watch; [`Supervised::ready`] waits for it to answer.
    ///
    /// # Errors
    /// The log can't be written or the program can't be run.
    pub fn spawn(spec: Spec) -> anyhow::Result<Self> {
        let Spec { name, mut command, log, ready, restart, grace, on_event } = spec;
        if log.metadata().is_ok_and(|file| file.len() > LARGEST_LOG) {
            std::fs::rename(&log, log.with_extension("log.old"))?;
        }
        let log_file = OpenOptions::new().create(true).append(true).mode(0o600).open(&log);
        let log_file = log_file.with_context(|| format!("cannot write {}", log.display()))?;
        let program = Path::new(command.get_program());
        if program.is_absolute() && !program.exists() {
            bail!("{name}: there is no {}", program.display());
        }
        command.stdin(Stdio::null());
        // Its own process group: Ctrl-C in a terminal reaches us alone, and we stop the parts in order.
        command.process_group(0);
        ffi::parent_death::prepare(&mut command);
        let shared = Arc::new(Shared {
            name: name.clone(),
            log,
            grace,
            on_event,
            wish: Mutex::new(Wish { up: true, closed: false, pid: None, deaths: VecDeque::new() }),
            changed: Condvar::new(),
            state: watch::Sender::new(State::Down),
        });
        let watcher = Watcher { shared: Arc::clone(&shared), command, log_file, ready, restart };
        let thread = thread::Builder::new().name(format!("watch-{name}")).spawn(move || watcher.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Waits until the process answers, at most `within`.
    ///
    /// # Errors
    /// It died with [`Restart::Never`], was stopped, or needs longer; the end of its log is in the error.
    pub async fn ready(&self, within: Duration) -> anyhow::Result<()> {
        let mut state = self.shared.state.subscribe();
        let answers = async {
            loop {
                if matches!(*state.borrow_and_update(), State::Ready(_)) {
                    return Ok(());
                }
                if !self.shared.wish().up {
                    bail!("{} is down", self.shared.name);
                }
                state.changed().await.context("its watch has ended")?;
            }
        };
        let outcome = tokio::time::timeout(within, answers).await;
        outcome
            .unwrap_or_else(|_| bail!("{} does not answer after {within:.0?}", self.shared.name))
            .with_context(|| {
                let deaths = Vec::from(self.shared.wish().deaths.clone()).join(", ");
                let deaths = if deaths.is_empty() { deaths } else { format!(" (died: {deaths})") };
                format!(
                    "{} did not start{deaths}; the end of {}:\n{}",
                    self.shared.name,
                    self.log().display(),
                    tail(self.log())
                )
            })
    }

    /// Starts the process if it is down (also when it is waiting for its backoff); returns at once.
    pub fn start(&self) {
        self.shared.wish().up = true;
        self.shared.changed.notify_all();
    }

    /// SIGTERM, then SIGKILL after the grace period; stays down until [`Supervised::start`].
    pub async fn stop(&self) {
        self.down_by(Signal::TERM).await;
    }

    /// SIGKILL; stays down until [`Supervised::start`]. Returns when the process is gone.
    pub async fn kill(&self) {
        self.down_by(Signal::KILL).await;
    }

    async fn down_by(&self, signal: Signal) {
        self.shared.wish().up = false;
        self.shared.changed.notify_all();
        self.shared.signal(signal);
        // A stopped (SIGSTOP) process gets no SIGTERM before it is continued.
        self.shared.signal(Signal::CONT);
        let mut state = self.shared.state.subscribe();
        let gone = tokio::time::timeout(self.shared.grace, state.wait_for(|state| *state == State::Down))
            .await
            .is_ok();
        if !gone {
            self.shared.signal(Signal::KILL);
            let _ = state.wait_for(|state| *state == State::Down).await;
        }
    }

    /// SIGSTOP: the process stops, with its connections open, until [`Supervised::resume`].
    pub fn pause(&self) {
        self.shared.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.shared.signal(Signal::CONT);
    }

    pub fn pid(&self) -> Option<u32> {
        self.state().pid()
    }

    pub fn state(&self) -> State {
        *self.shared.state.borrow()
    }

    pub fn log(&self) -> &Path {
        &self.shared.log
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.shared.wish().closed = true;
        self.shared.changed.notify_all();
        self.shared.signal(Signal::KILL);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn wish(&self) -> MutexGuard<'_, Wish> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.wish().pid {
            let _ = kill_process(pid, signal);
        }
    }

    fn tell(&self, event: &Event) {
        (self.on_event)(event);
    }
}

/// The last lines of a log, without stack backtraces, which say little and would push out why it died.
fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(64 << 10)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut in_backtrace = false;
        let telling = text.lines().filter(|line| {
            in_backtrace = line.eq_ignore_ascii_case("stack backtrace:")
                || (in_backtrace && line.starts_with(char::is_whitespace));
            !in_backtrace
        });
        let lines: Vec<&str> = telling.collect();
        Ok(lines[lines.len().saturating_sub(20)..].join("\n"))
    };
    read().unwrap_or_else(|error| error.to_string())
}
