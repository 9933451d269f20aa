//! A bare stack to play with by hand: prints its addresses and stays until Ctrl-C.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use local_stack::supervise::Restart;
use local_stack::{ClickHouseOptions, KafkaOptions, Stack, StackOptions};

/// Starts Kafka and ClickHouse, prints where they are, and stops them on Ctrl-C.
#[derive(Parser)]
struct Options {
    /// Where the data is kept; without it the data goes when the stack stops.
    #[arg(long, env = "DATA")]
    data: Option<PathBuf>,
    /// 0: a free one.
    #[arg(long, default_value_t = 0)]
    kafka_port: u16,
    /// 0: a free one.
    #[arg(long, default_value_t = 0)]
    clickhouse_port: u16,
    /// 0: a free one.
    #[arg(long, default_value_t = 0)]
    clickhouse_native_port: u16,
    /// How many servers; more than one are the shards of a cluster.
    #[arg(long, default_value_t = 1)]
    clickhouse_shards: u16,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let stack = Stack::start(StackOptions {
        data: options.data,
        kafka: KafkaOptions { port: options.kafka_port, ..KafkaOptions::default() },
        clickhouse: ClickHouseOptions {
            port: options.clickhouse_port,
            native_port: options.clickhouse_native_port,
            shards: options.clickhouse_shards,
            ..ClickHouseOptions::default()
        },
        restart: Restart::Backoff,
        on_event: Arc::new(|event| eprintln!("{event}")),
    })
    .await?;
    println!("kafka {}", stack.kafka.address());
    for shard in stack.clickhouse.shards() {
        println!("clickhouse {}", shard.url());
        println!("clickhouse native {}", shard.native_address());
    }
    println!("clickhouse password {}", stack.clickhouse.password_file("writer").display());
    println!("data {}", stack.data().display());
    tokio::signal::ctrl_c().await?;
    stack.stop().await;
    Ok(())
}
