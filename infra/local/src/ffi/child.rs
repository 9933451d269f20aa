//! Ties the life of a child process to that of the thread which spawns it.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

/// Makes the kernel kill the child (SIGKILL) when its parent is gone, also after `kill -9` of the parent.
///
/// TRICKY: "parent" is the *thread* that spawns, so that thread must outlive the child.
pub(crate) fn dies_with_parent(command: &mut Command) {
    let parent: Pid = getpid();
    let before_exec = move || {
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from)?;
        // The parent may have died before the line above.
        if getppid() != Some(parent) {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The closure makes two system
    // calls (prctl, getppid), allocates nothing and takes no lock; its errors carry no heap data.
    unsafe { command.pre_exec(before_exec) };
}
