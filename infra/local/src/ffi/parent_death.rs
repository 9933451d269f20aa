//! Prepares a child process before its program runs.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::Mode;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal, umask};

/// Makes the kernel kill the child (SIGKILL) when its parent is gone, also after `kill -9` of the parent; and
/// only its owner may read the files that the child makes.
///
/// TRICKY: "parent" is the *thread* that spawns, so that thread must outlive the child.
pub(crate) fn prepare(command: &mut Command) {
    let parent: Pid = getpid();
    let before_exec = move || {
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from)?;
        // The parent may have died before the line above.
        if getppid() != Some(parent) {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
        umask(Mode::from_raw_mode(0o077));
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The closure makes three system
    // calls (prctl, getppid, umask), allocates nothing and takes no lock; its errors carry no heap data.
    unsafe { command.pre_exec(before_exec) };
}
