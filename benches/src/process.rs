//! What a process has used, from /proc.

use std::time::Duration;

use anyhow::Context;

/// CPU time in user and system mode so far.
///
/// # Errors
/// No such process.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; numbers follow it, from field 3 on.
    let fields = stat.rsplit_once(')').context("no process status")?.1;
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
    /// USER_HZ, which the kernel keeps at 100 for all programs.
    const TICKS_PER_SECOND: f64 = 100.0;
    Ok(Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
}

/// Resident memory now, in MB.
///
/// # Errors
/// No such process.
pub fn rss_mb(pid: u32) -> anyhow::Result<f64> {
    memory_mb(pid, "VmRSS:")
}

/// The most resident memory it ever had, in MB.
///
/// # Errors
/// No such process.
pub fn peak_mb(pid: u32) -> anyhow::Result<f64> {
    memory_mb(pid, "VmHWM:")
}

/// Resets [`peak_mb`] to what is resident now.
///
/// # Errors
/// No such process, or not ours.
pub fn forget_peak(pid: u32) -> anyhow::Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("resetting the peak of memory")
}

fn memory_mb(pid: u32, field: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).context("no memory in the status")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1000.0 * 1.024)
}
