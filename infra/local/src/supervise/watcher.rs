//! The thread that watches one child: spawns it, waits for it, and spawns it again.

use std::fs::File;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::{Event, Restart, Shared, State};
use crate::ready::Ready;

/// The thread's part of a [`Supervised`](super::Supervised).
pub(super) struct Watcher {
    pub(super) shared: Arc<Shared>,
    pub(super) command: Command,
    pub(super) log_file: File,
    pub(super) ready: Ready,
    pub(super) restart: Restart,
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const STEADY: Duration = Duration::from_secs(30);

impl Watcher {
    pub(super) fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        while self.wait_until_wanted() {
            let started = Instant::now();
            let outcome = match self.spawn() {
                Ok(child) => self.watch(child, started),
                Err(error) => error.to_string(),
            };
            let asked = {
                let mut wish = self.shared.wish();
                let asked = wish.closed || !wish.up;
                if !asked {
                    wish.deaths.push_back(outcome.clone());
                    if wish.deaths.len() > 3 {
                        wish.deaths.pop_front();
                    }
                    wish.up = self.restart == Restart::Backoff;
                }
                asked
            };
            self.shared.state.send_replace(State::Down);
            let name = self.shared.name.clone();
            if asked {
                self.shared.tell(&Event::Stopped { name });
                pause = FIRST_PAUSE;
                continue;
            }
            if started.elapsed() > STEADY {
                pause = FIRST_PAUSE;
            }
            let restart_in = (self.restart == Restart::Backoff).then_some(pause);
            self.shared.tell(&Event::Died {
                name,
                status: outcome,
                restart_in,
                log: self.shared.log.clone(),
            });
            if restart_in.is_some() {
                self.back_off(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// False when the owner is gone.
    fn wait_until_wanted(&self) -> bool {
        let wish = self.shared.wish();
        let wish = self.shared.changed.wait_while(wish, |wish| !wish.up && !wish.closed);
        !wish.unwrap_or_else(PoisonError::into_inner).closed
    }

    fn back_off(&self, pause: Duration) {
        let wish = self.shared.wish();
        // `start`, `stop` and drop notify: none of them waits for a backoff to end.
        let _ = self.shared.changed.wait_timeout(wish, pause);
    }

    fn spawn(&mut self) -> std::io::Result<Child> {
        self.command.stdout(self.log_file.try_clone()?).stderr(self.log_file.try_clone()?);
        // Locked over the spawn: a stop comes either before it, and is seen here, or after it, and finds the pid.
        let mut wish = self.shared.wish();
        if wish.closed || !wish.up {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let child = self.command.spawn()?;
        wish.pid = Some(Pid::from_child(&child));
        Ok(child)
    }

    /// Until the process has ended and is reaped; says how it ended.
    fn watch(&mut self, mut child: Child, started: Instant) -> String {
        let pid = Pid::from_child(&child);
        self.shared.state.send_replace(State::Starting(child.id()));
        self.shared.tell(&Event::Started { name: self.shared.name.clone(), pid: child.id() });
        while !has_ended(pid, false) {
            if self.ready.check() {
                self.shared.state.send_replace(State::Ready(child.id()));
                self.shared.tell(&Event::Ready { name: self.shared.name.clone(), after: started.elapsed() });
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        while !has_ended(pid, true) {}
        let mut wish = self.shared.wish();
        wish.pid = None;
        describe(child.wait())
    }
}

/// Whether the process has ended; `wait` blocks until it has. Does not reap.
fn has_ended(pid: Pid, wait: bool) -> bool {
    let mut options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    if !wait {
        options |= WaitIdOptions::NOHANG;
    }
    match waitid(WaitId::Pid(pid), options) {
        Ok(status) => status.is_some(),
        Err(rustix::io::Errno::INTR) => false,
        Err(_) => true,
    }
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}
