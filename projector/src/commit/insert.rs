//! The one insert: a block of `landing`, under a name that is its deduplication token.

use std::time::Duration;

use bytes::Bytes;
use infra::database::within;
use sha2::{Digest, Sha256};

use crate::database::{ANSWER, Database};
use crate::error::{Error, Result};
use crate::judge::chunk::MAX_BLOCK_ROWS;

/// How long ClickHouse may take a piece of a block; all of them may take [`ANSWER`]. After that it is unclear what became of
/// the insert.
const SEND: Duration = Duration::from_secs(30);
impl Database {
    /// What the insert of a round is called; it is its deduplication token.
    pub(crate) fn insert_id(&self, round: &str) -> String {
        format!("{}:{}:{round}", self.name, self.topic)
    }

    /// The query id of the insert `id`. ClickHouse refuses a second statement with the same query id, of any user. So
    /// an analyst who knew it could keep the insert out: it needs the password that all projectors have.
    fn query_id(&self, id: &str) -> String {
        let secret = Sha256::new().chain_update(self.config.password()).chain_update(id).finalize();
        format!("{id}:{}", &format!("{secret:x}")[..32])
    }

    /// Inserts a block of `landing`, in the format Native, in one statement.
    ///
    /// # Errors
    /// [`Error::Running`] if a statement with this id is at work; after any other error it is unclear what
    /// was inserted.
    pub(crate) async fn insert(
        &self,
        id: &str,
        token: &str,
        block: impl IntoIterator<Item = Bytes>,
    ) -> Result<()> {
        let mut insert = self
            .client
            .insert_formatted_with(format!("INSERT INTO {}.landing FORMAT Native", self.name))
            .with_setting("query_id", self.query_id(id))
            .with_setting("insert_deduplication_token", token)
            .with_setting("insert_deduplicate", "1")
            .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
            // Since 26 the default is asynchronous, and the answer no proof.
            .with_setting("async_insert", "0")
            .with_setting("wait_end_of_query", "1")
            .with_setting("max_insert_block_size", MAX_BLOCK_ROWS.to_string())
            .with_setting("min_insert_block_size_rows", MAX_BLOCK_ROWS.to_string())
            .with_setting("min_insert_block_size_bytes", (1u64 << 30).to_string())
            .with_setting("max_partitions_per_insert_block", "0")
            // The views only pick columns: the older analysis does the same in two thirds of the time.
            .with_setting("enable_analyzer", "0")
            .with_timeouts(Some(SEND), Some(ANSWER));
        let sending = async {
            for piece in block {
                insert.send(piece).await?;
            }
            Ok(())
        };
        let sent = match within(ANSWER, sending).await {
            Ok(()) => insert.end().await,
            Err(error) => Err(error),
        };
        sent.map_err(Error::from_insert)
    }

    /// Whether the insert `id`, or a shard's part of it, is running: the parts may outlive the statement.
    pub(crate) async fn is_running(&self, id: &str) -> Result<bool> {
        let query_id = self.query_id(id);
        for server in &self.each {
            let sql = "SELECT count() FROM system.processes WHERE initial_query_id = {id:String} OR query_id = {id:String}";
            let running = server.query(sql).param("id", &query_id).fetch_one::<u64>();
            if within(ANSWER, running).await? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use infra::database::ClickHouseConfig;

    use super::*;

    fn database(address: &str) -> Database {
        let config = ClickHouseConfig { url: format!("http://{address}"), ..ClickHouseConfig::default() };
        Database::new(&config, 1, "log")
    }

    #[tokio::test]
    async fn an_insert_that_reaches_nobody_says_so() {
        let pieces = ["one", "two", "three"].map(|piece| Bytes::from(piece.repeat(100_000)));
        let error = database("127.0.0.1:1").insert("id", "token", pieces.into_iter()).await.unwrap_err();
        let error = format!("{:#}", anyhow::Error::from(error));
        assert!(error.contains("Connect"), "{error}");
    }

    #[tokio::test]
    async fn an_answer_before_the_last_piece_says_why() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 100]).await.unwrap();
            let text = "Code: 216. DB::Exception: a statement with this id runs";
            let head =
                format!("HTTP/1.1 500 Error\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", text.len());
            stream.write_all(format!("{head}{text}").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            // Not closed: what is left unread would reset it, and the answer could be lost.
            stream
        });
        let pieces = std::iter::repeat_n(Bytes::from(vec![0; 1 << 20]), 64);
        let answer = database(&address).insert("id", "token", pieces).await;
        assert!(matches!(answer, Err(Error::Running)), "{answer:?}");
        drop(server.await);
    }
}
