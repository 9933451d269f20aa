//! A server of its own for each test, and statements by HTTP.

use std::time::Duration;

use local_stack::{ClickHouse, ClickHouseAlone, ClickHouseOptions, StackOptions};
use reqwest::{RequestBuilder, Response, StatusCode};

/// Where the writer's statements are at home.
pub(crate) const DATABASE: &str = "eye_test";

pub(crate) struct Server {
    pub(crate) stack: ClickHouseAlone,
    http: reqwest::Client,
}

/// With an empty [`DATABASE`].
pub(crate) async fn server() -> Server {
    let server = shards(1).await;
    let create = format!("CREATE DATABASE {DATABASE}");
    let created = server.request("writer", &[], create).send().await.unwrap();
    assert_eq!(created.status(), 200);
    server
}

/// Empty, as a cluster if they are several.
pub(crate) async fn shards(shards: u16) -> Server {
    let clickhouse = ClickHouseOptions {
        shards,
        program: Some(env!("CARGO_BIN_EXE_clickhouse-local-server").into()),
        ..ClickHouseOptions::default()
    };
    let stack = ClickHouseAlone::start(StackOptions { clickhouse, ..StackOptions::default() }).await.unwrap();
    Server { stack, http: reqwest::Client::new() }
}

impl Server {
    /// A POST as this user, with these parameters in the URL.
    pub(crate) fn request(
        &self,
        user: &str,
        parameters: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> RequestBuilder {
        self.request_with(user, &self.password(user), parameters, body)
    }

    pub(crate) fn request_with(
        &self,
        user: &str,
        password: &str,
        parameters: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> RequestBuilder {
        self.request_to(&self.stack, user, password, parameters).body(body)
    }

    /// A POST to one of the shards.
    pub(crate) fn request_to(
        &self,
        shard: &ClickHouse,
        user: &str,
        password: &str,
        parameters: &[(&str, &str)],
    ) -> RequestBuilder {
        let mut url = reqwest::Url::parse(&shard.url()).unwrap();
        url.query_pairs_mut().extend_pairs(parameters);
        self.http.post(url).header("X-ClickHouse-User", user).header("X-ClickHouse-Key", password)
    }

    pub(crate) fn password(&self, user: &str) -> String {
        std::fs::read_to_string(self.stack.password_file(user)).unwrap_or_default()
    }

    /// [`Self::request`] of the writer, in [`DATABASE`].
    pub(crate) fn post(&self, parameters: &[(&str, &str)], body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request("writer", &[parameters, &[("database", DATABASE)]].concat(), body)
    }

    /// The answer to a statement of the writer that must succeed.
    pub(crate) async fn sql(&self, sql: &str) -> String {
        let (status, text) = answer(self.post(&[], sql.to_owned())).await;
        assert_eq!(status, 200, "{sql}: {text}");
        text.trim_end().to_owned()
    }

    /// The answer to an analyst.
    pub(crate) async fn analyst(&self, parameters: &[(&str, &str)], sql: &str) -> (u16, String) {
        answer(self.request("analyst", parameters, sql.to_owned())).await
    }

    /// The code of a statement that must fail.
    pub(crate) async fn error(&self, user: &str, parameters: &[(&str, &str)], sql: &str) -> u32 {
        let response = self.request(user, parameters, sql.to_owned()).send().await.unwrap();
        error_code(response, sql).await
    }

    /// How many statements run whose text has this in it.
    pub(crate) async fn running(&self, text: &str) -> u64 {
        let sql = "SELECT count() - 1 FROM system.processes WHERE query LIKE {text:String}";
        let pattern = format!("%{text}%");
        let (_, count) = answer(self.post(&[("param_text", &pattern)], format!("{sql} -- {text}"))).await;
        count.trim().parse().unwrap_or_else(|_| panic!("{count}"))
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn error_code(response: Response, what: &str) -> u32 {
    assert_ne!(response.status(), StatusCode::OK, "{what} must fail");
    let header: u32 = response.headers()["x-clickhouse-exception-code"].to_str().unwrap().parse().unwrap();
    let text = response.text().await.unwrap();
    assert!(text.starts_with(&format!("Code: {header}. DB::Exception: ")), "{what}: {text}");
    header
}

/// Polls until `check` is true; panics after two minutes.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let wait = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}
