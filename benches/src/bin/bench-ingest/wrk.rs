//! The load generator: wrk from Debian, driven by a script that rotates through prepared bodies.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use local_stack::Supervised;

use crate::{KEY, Shape, process};

const SCRIPT: &str = include_str!("requests.lua");

/// The result of one run.
pub(crate) struct Run {
    pub(crate) events_per_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) cpu_s_per_million: f64,
    pub(crate) rss_mb: f64,
}

/// Writes the script and its bodies (length-prefixed). Returns the script's path.
pub(crate) fn write_requests(dir: &Path, events: &[String], shape: &Shape) -> anyhow::Result<PathBuf> {
    let array = shape.events > 1 && shape.content_type == "application/json";
    let mut bodies = String::new();
    // So many bodies that sessions spread over the partitions, and so few that wrk's cache is not the bottleneck.
    for events in events.chunks_exact(shape.events).take(2_000) {
        let body = if array { format!("[{}]", events.join(",")) } else { events.join("\n") };
        bodies.push_str(&format!("{}\n{body}", body.len()));
    }
    let path = dir.join("bodies");
    std::fs::write(&path, bodies)?;
    let script = dir.join("requests.lua");
    let text = SCRIPT
        .replace("{bodies}", &path.display().to_string())
        .replace("{content_type}", shape.content_type)
        .replace("{key}", KEY);
    std::fs::write(&script, text)?;
    Ok(script)
}

/// Two seconds of warm-up, then `seconds` of load.
pub(crate) fn run(
    script: &Path,
    url: &str,
    shape: &Shape,
    server: &Supervised,
    seconds: u64,
) -> anyhow::Result<Run> {
    wrk(script, url, shape, 2)?;
    let pid = server.pid().context("the server is gone")?;
    let (cpu, start) = (process::cpu(pid)?, Instant::now());
    let said = wrk(script, url, shape, seconds)?;
    let (cpu, wall) = (process::cpu(pid)? - cpu, start.elapsed());
    let line = said.lines().find_map(|line| line.strip_prefix("result ")).context("wrk printed no result")?;
    let numbers: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [requests, micros, errors, p50, p99] = numbers[..] else {
        anyhow::bail!("not what the script prints: {line}")
    };
    ensure!(errors == 0.0, "{errors} requests failed: {said}");
    ensure!(wall.as_secs_f64() < micros / 1e6 + 2.0, "wrk did not end in time");
    let events = requests * shape.events as f64;
    Ok(Run {
        events_per_s: events / (micros / 1e6),
        p50_ms: p50 / 1e3,
        p99_ms: p99 / 1e3,
        cpu_s_per_million: cpu.as_secs_f64() / events * 1e6,
        rss_mb: process::rss_mb(pid)?,
    })
}

fn wrk(script: &Path, url: &str, shape: &Shape, seconds: u64) -> anyhow::Result<String> {
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{}", shape.connections), &format!("-d{seconds}s"), "-s"])
        .arg(script)
        .arg(url)
        .output()
        .context("wrk is missing: apt-get install wrk")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "wrk: {said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}
