//! A server of its own for each test, and statements by HTTP.

use std::time::Duration;

use local_stack::{ClickHouseAlone, ClickHouseOptions, StackOptions};
use reqwest::{RequestBuilder, Response, StatusCode};

pub(crate) struct Server {
    pub(crate) stack: ClickHouseAlone,
    http: reqwest::Client,
}

pub(crate) async fn server() -> Server {
    server_with(&[]).await
}

pub(crate) async fn server_with(arguments: &[&str]) -> Server {
    let clickhouse = ClickHouseOptions {
        program: Some(env!("CARGO_BIN_EXE_clickhouse-local-server").into()),
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        ..ClickHouseOptions::default()
    };
    let stack = ClickHouseAlone::start(StackOptions { clickhouse, ..StackOptions::default() }).await.unwrap();
    Server { stack, http: reqwest::Client::new() }
}

impl Server {
    /// A POST with these parameters in the URL.
    pub(crate) fn post(&self, parameters: &[(&str, &str)], body: impl Into<reqwest::Body>) -> RequestBuilder {
        let mut url = reqwest::Url::parse(&self.stack.url()).unwrap();
        url.query_pairs_mut().extend_pairs(parameters);
        self.http.post(url).body(body)
    }

    /// The answer to a statement that must succeed.
    pub(crate) async fn sql(&self, sql: &str) -> String {
        let (status, text) = self.try_sql(&[], sql).await;
        assert_eq!(status, 200, "{sql}: {text}");
        text.trim_end().to_owned()
    }

    pub(crate) async fn try_sql(&self, parameters: &[(&str, &str)], sql: &str) -> (u16, String) {
        let response = self.post(parameters, sql.to_owned()).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The code of a statement that must fail.
    pub(crate) async fn error(&self, parameters: &[(&str, &str)], sql: &str) -> u32 {
        let response = self.post(parameters, sql.to_owned()).send().await.unwrap();
        error_code(response, sql).await
    }
}

pub(crate) async fn error_code(response: Response, what: &str) -> u32 {
    assert_ne!(response.status(), StatusCode::OK, "{what} must fail");
    let header: u32 = response.headers()["x-clickhouse-exception-code"].to_str().unwrap().parse().unwrap();
    let text = response.text().await.unwrap();
    assert!(text.starts_with(&format!("Code: {header}. DB::Exception: ")), "{what}: {text}");
    header
}

/// Polls until `check` is true; panics after a minute.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let wait = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}
