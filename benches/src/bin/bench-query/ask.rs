//! How long an answer takes, and how much memory.

use std::time::{Duration, Instant};

use anyhow::ensure;
use benches::process;
use clickhouse::Client;
use serde_json::Value;

pub(crate) struct Question {
    pub(crate) name: &'static str,
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    /// The same question to `peer_events`.
    pub(crate) peers: &'static [Peer],
    pub(crate) runs: usize,
}

/// The name of its figures, and the statement.
pub(crate) type Peer = (&'static str, &'static str);

pub(crate) struct Asker {
    url: String,
    http: reqwest::Client,
    pub(crate) tables: Client,
    server: u32,
}

/// Seconds and bytes that a peer's statement may take before it counts as unfinished.
const PATIENCE: &str = "120";
const MEMORY: &str = "4000000000";
/// The bytes from which it sorts and groups on disk, if it may.
const SPILL: &str = "1000000000";

impl Asker {
    pub(crate) fn new(url: String, tables: Client, server: u32) -> Self {
        Self { url, http: reqwest::Client::new(), tables, server }
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.ask(path, None).await?)?)
    }

    async fn ask(&self, path: &str, body: Option<&Value>) -> anyhow::Result<String> {
        let url = format!("{}{path}", self.url);
        let request = match body {
            Some(body) => self.http.post(url).json(body),
            None => self.http.get(url),
        };
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(text)
    }

    /// Prints the figures of a question. Returns its median time, if it has an answer.
    pub(crate) async fn measure(&self, question: &Question) -> anyhow::Result<Option<Duration>> {
        let Question { name, path, body, .. } = question;
        // Once to warm up, and for the server's peak of memory. The peak includes what the server keeps of earlier
        // questions, as that can't be told from what this one needs.
        process::forget_peak(self.server)?;
        if let Err(error) = self.ask(path, body.as_ref()).await {
            println!("{name}: no answer: {error:#}");
            return Ok(None);
        }
        let peak = process::peak_mb(self.server)? / 1.048_576;
        let mut times = Vec::new();
        let cpu = process::cpu(self.server)?;
        for _ in 0..question.runs {
            let began = Instant::now();
            self.ask(path, body.as_ref()).await?;
            times.push(began.elapsed());
        }
        let cpu = (process::cpu(self.server)? - cpu) / question.runs as u32;
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        println!("figure query.{name}.p50_ms {:.1} ms", ms(at(0.5)));
        println!("figure query.{name}.p99_ms {:.1} ms", ms(at(0.99)));
        println!("figure query.{name}.cpu_ms {:.0} ms", ms(cpu));
        println!("figure query.{name}.peak_mib {peak:.0} MiB");
        Ok(Some(at(0.5)))
    }

    /// Prints the figures of a peer's statement for a question that took `ours`. A statement that does not finish in
    /// memory may sort and group on disk; one that does finish would be slower there.
    pub(crate) async fn measure_peer(&self, name: &str, (peer, sql): Peer, ours: Duration) {
        let ask = async |spill: &str| {
            let began = Instant::now();
            let statement = self
                .tables
                .query_raw(sql)
                .with_setting("max_execution_time", PATIENCE)
                .with_setting("max_memory_usage", MEMORY)
                .with_setting("max_bytes_before_external_sort", spill)
                .with_setting("max_bytes_before_external_group_by", spill);
            let answer = async { statement.fetch_bytes("JSONEachRow")?.collect().await }.await;
            (answer, began.elapsed().as_secs_f64())
        };
        let (mut answer, mut took) = ask("0").await;
        if answer.is_err() {
            (answer, took) = ask(SPILL).await;
        }
        let ratio = took / ours.as_secs_f64();
        match answer {
            Ok(_) => {
                println!("figure query.{name}.{peer}_ms {:.0} ms", took * 1000.0);
                println!("figure query.{name}.{peer}_ratio {ratio:.1} x");
            }
            Err(error) => {
                let error: String = error.to_string().chars().take(160).collect();
                println!("{name}: the statement of {peer} does not finish: {error}");
                println!("figure query.{name}.{peer}_ratio_at_least {ratio:.1} x");
            }
        }
    }
}
