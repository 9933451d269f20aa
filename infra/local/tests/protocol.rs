//! The HTTP protocol: parameters, formats, errors, encodings, sessions.

use std::io::{Read, Write};

use crate::support::{error_code, server};

#[tokio::test]
async fn statements_come_by_url_body_or_both() {
    let server = server().await;
    assert_eq!(server.sql("SELECT 1").await, "1");
    assert_eq!(server.try_sql(&[("query", "SELECT")], "2").await, (200, "2\n".into()));
    assert_eq!(server.try_sql(&[("query", "SELECT 3 FORMAT CSV")], "").await, (200, "3\n".into()));
    let get = reqwest::get(format!("{}/?query=SELECT%204", server.stack.url())).await.unwrap();
    assert_eq!(get.text().await.unwrap(), "4\n");
    let get = reqwest::get(format!("{}/?query=CREATE%20DATABASE%20x", server.stack.url())).await.unwrap();
    assert_eq!(error_code(get, "a GET that writes").await, 164);
    for path in ["ping", "replicas_status", ""] {
        let answer = reqwest::get(format!("{}/{path}", server.stack.url())).await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "Ok.\n");
    }
}

#[tokio::test]
async fn parameters_and_settings() {
    let server = server().await;
    let parameters = [
        ("param_a", "it's"),
        ("param_b", "[1,2]"),
        ("max_block_size", "7"),
        ("default_format", "JSONCompactEachRow"),
    ];
    let sql = "SELECT {a:String}, {b:Array(UInt8)}, getSetting('max_block_size')";
    assert_eq!(server.try_sql(&parameters, sql).await, (200, "[\"it's\", [1,2], 7]\n".into()));
    assert_eq!(server.error(&[("no_such_setting", "1")], "SELECT 1").await, 115);
    assert_eq!(server.error(&[("a b", "1")], "SELECT 1").await, 115);
    // Settings end with their request.
    assert_eq!(
        server.sql("SELECT getSetting('async_insert'), getSetting('max_block_size')").await,
        "false\t65409"
    );
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"param_n\"\r\n\r\n41\r\n\
                     --x\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {n:UInt8} + 1\r\n--x--\r\n";
    let request = server.post(&[], multipart).header("Content-Type", "multipart/form-data; boundary=x");
    assert_eq!(request.send().await.unwrap().text().await.unwrap(), "42\n");
}

#[tokio::test]
async fn answers_say_what_they_are() {
    let server = server().await;
    let request = server.post(&[("query_id", "mine")], "SELECT 1 AS a FORMAT JSONEachRow");
    let response = request.send().await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("x-clickhouse-query-id"), "mine");
    assert_eq!(header("x-clickhouse-format"), "JSONEachRow");
    assert_eq!(header("x-clickhouse-timezone"), "UTC");
    assert_eq!(header("content-type"), "application/x-ndjson; charset=UTF-8");
    assert!(header("x-clickhouse-summary").contains("\"read_rows\""));
    assert_eq!(header("x-clickhouse-exception-tag").len(), 16);
    server.sql("CREATE TABLE t (a UInt8) ENGINE = Memory").await;
    let insert = server.post(&[], "INSERT INTO t VALUES (1), (2)").send().await.unwrap();
    let summary = insert.headers()["x-clickhouse-summary"].to_str().unwrap().to_owned();
    assert!(summary.contains("\"written_rows\":\"2\""), "{summary}");
}

#[tokio::test]
async fn errors_have_a_code_and_a_status() {
    let server = server().await;
    for (sql, status, code) in [
        ("SELECT bad", 400, 47),
        ("SELEC 1", 400, 62),
        ("SELECT 1 +", 400, 62),
        ("SELECT * FROM nowhere", 404, 60),
        ("SELECT 1 FORMAT Nonsense", 404, 73),
        ("SELECT 1; SELECT 2", 400, 62),
        ("", 400, 62),
        ("INSERT INTO nowhere FORMAT CSV\n1", 404, 60),
        ("SELECT throwIf(1)", 500, 395),
    ] {
        let response = server.post(&[], sql).send().await.unwrap();
        assert_eq!(response.status(), status, "{sql}");
        assert_eq!(error_code(response, sql).await, code, "{sql}");
    }
}

#[tokio::test]
async fn credentials() {
    let server = server().await;
    let post = |parameters: &[(&str, &str)]| server.post(parameters, "SELECT 1");
    for request in [
        post(&[("user", "default"), ("password", "")]),
        post(&[]).header("X-ClickHouse-User", "analyst").header("X-ClickHouse-Key", ""),
        post(&[]).header("Authorization", "Basic ZGVmYXVsdDo="),
    ] {
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    for request in [
        post(&[("user", "nobody")]),
        post(&[("password", "wrong")]),
        post(&[]).header("Authorization", "Basic !"),
        post(&[]).header("Authorization", "Bearer abc"),
    ] {
        assert_eq!(error_code(request.send().await.unwrap(), "wrong credentials").await, 516);
    }
}

#[tokio::test]
async fn request_encodings() {
    let server = server().await;
    server.sql("CREATE TABLE t (a String) ENGINE = Memory").await;
    let insert = [("query", "INSERT INTO t FORMAT RawBLOB")];
    let text = "some text, some text, some text";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    deflate.write_all(text.as_bytes()).unwrap();
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(text.as_bytes()).unwrap();
    let mut br = brotli::CompressorWriter::new(Vec::new(), 4096, 2, 20);
    br.write_all(text.as_bytes()).unwrap();
    let bodies = [
        ("gzip", gzip.finish().unwrap()),
        ("deflate", deflate.finish().unwrap()),
        ("zstd", zstd::encode_all(text.as_bytes(), 1).unwrap()),
        ("lz4", lz4.finish().unwrap()),
        ("br", br.into_inner()),
    ];
    for (encoding, body) in bodies {
        let request = server.post(&insert, body.clone()).header("Content-Encoding", encoding);
        assert_eq!(request.send().await.unwrap().status(), 200, "{encoding}");
        let broken =
            server.post(&insert, body[..body.len() / 2].to_vec()).header("Content-Encoding", encoding);
        assert_eq!(error_code(broken.send().await.unwrap(), encoding).await, 271, "{encoding}");
    }
    let blocks = [insert[0], ("decompress", "1")];
    let block = include_bytes!("data/block-lz4.bin");
    assert_eq!(server.post(&blocks, block.to_vec()).send().await.unwrap().status(), 200);
    assert_eq!(
        error_code(server.post(&blocks, block[..50].to_vec()).send().await.unwrap(), "a cut block").await,
        271
    );
    let unknown = server.post(&insert, text).header("Content-Encoding", "xz").send().await.unwrap();
    assert_eq!(error_code(unknown, "xz").await, 36);
    assert_eq!(server.sql(&format!("SELECT countIf(a = '{text}'), count() FROM t")).await, "5\t6");
}

#[tokio::test]
async fn answer_encodings() {
    let server = server().await;
    let sql = "SELECT number FROM numbers(300000)";
    let plain = server.sql(sql).await + "\n";
    for encoding in ["gzip", "deflate", "zstd", "lz4", "br"] {
        let response = server.post(&[], sql).header("Accept-Encoding", encoding).send().await.unwrap();
        assert_eq!(response.headers()["content-encoding"], encoding);
        let wire = std::io::Cursor::new(response.bytes().await.unwrap());
        let mut reader: Box<dyn Read> = match encoding {
            "gzip" => Box::new(flate2::read::GzDecoder::new(wire)),
            "deflate" => Box::new(flate2::read::ZlibDecoder::new(wire)),
            "zstd" => Box::new(zstd::Decoder::new(wire).unwrap()),
            "lz4" => Box::new(lz4_flex::frame::FrameDecoder::new(wire)),
            _ => Box::new(brotli::Decompressor::new(wire, 4096)),
        };
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert!(text == plain, "{encoding}");
    }
    let refused = server.post(&[("enable_http_compression", "0")], sql).header("Accept-Encoding", "gzip");
    assert!(refused.send().await.unwrap().headers().get("content-encoding").is_none());
}

#[tokio::test]
async fn sessions_keep_settings_and_temporary_tables() {
    let server = server().await;
    let session = [("session_id", "s"), ("session_timeout", "60")];
    assert_eq!(server.error(&[("session_id", "s"), ("session_check", "1")], "SELECT 1").await, 372);
    for sql in ["CREATE TEMPORARY TABLE t (a UInt8)", "INSERT INTO t VALUES (7)", "SET max_block_size = 5"] {
        assert_eq!(server.try_sql(&session, sql).await, (200, String::new()), "{sql}");
    }
    let sql = "SELECT a, getSetting('max_block_size') FROM t";
    assert_eq!(server.try_sql(&session, sql).await, (200, "7\t5\n".into()));
    assert_eq!(server.error(&[("session_id", "other")], sql).await, 60);
    assert_eq!(server.error(&[("session_id", "s"), ("user", "analyst")], sql).await, 60);
}

/// Requests without a session share the engine's sessions, one after the other.
#[tokio::test]
async fn a_request_leaves_nothing_to_the_next_one() {
    let server = server().await;
    server.sql("CREATE DATABASE other").await;
    server.sql("CREATE TABLE other.t (a UInt8) ENGINE = Memory").await;
    let look = "SELECT getSetting('max_block_size'), getSetting('compile_expressions'), getSetting('max_result_rows'), \
                currentDatabase(), getSetting('join_use_nulls')";
    let fresh = server.sql(look).await;
    assert_eq!(fresh, "65409\ttrue\t0\tdefault\tfalse");
    for parameters in [
        &[("max_block_size", "7")][..],
        &[("max_block_size", "8"), ("join_use_nulls", "1")],
        &[("compatibility", "19.1")],
        &[("database", "other")],
        &[("max_result_rows", "1"), ("database", "other")],
    ] {
        for sql in [
            "SELECT 1",
            "SELECT 1 SETTINGS max_block_size = 9",
            "EXPLAIN SELECT 1",
            "INSERT INTO other.t VALUES (1)",
            "CREATE TEMPORARY TABLE u (a UInt8)",
            "SET join_use_nulls = 1",
            "SELECT no_such_column",
        ] {
            server.try_sql(parameters, sql).await;
            assert_eq!(server.sql(look).await, fresh, "after {parameters:?}: {sql}");
            assert_eq!(server.error(&[], "SELECT * FROM u").await, 60, "after {parameters:?}: {sql}");
        }
    }
    assert_eq!(server.error(&[("user", "analyst")], "SELECT * FROM other.t").await, 497);
}

#[tokio::test]
async fn a_whole_answer_or_an_error_when_the_client_waits_for_the_end() {
    let server = server().await;
    let wait = [("wait_end_of_query", "1")];
    assert_eq!(server.error(&wait, "SELECT throwIf(number = 250000) FROM numbers(300000)").await, 395);
    let (status, text) = server.try_sql(&wait, "SELECT number FROM numbers(300000)").await;
    assert_eq!((status, text.lines().count()), (200, 300_000));
}

#[tokio::test]
async fn streamed_formats_are_one_document() {
    let server = server().await;
    for (format, lines) in [
        ("TSV", 300_000),
        ("TSVWithNames", 300_001),
        ("CSVWithNamesAndTypes", 300_002),
        ("JSONEachRow", 300_000),
        ("JSONCompactEachRowWithNamesAndTypes", 300_002),
    ] {
        let text = server
            .sql(&format!("SELECT number, toString(number) AS s FROM numbers(300000) FORMAT {format}"))
            .await;
        assert_eq!(text.lines().count(), lines, "{format}");
    }
    let binary = server.post(&[], "SELECT number FROM numbers(300000) FORMAT RowBinaryWithNamesAndTypes");
    assert_eq!(binary.send().await.unwrap().bytes().await.unwrap().len(), 1 + 7 + 7 + 300_000 * 8);
    let json = server.sql("SELECT number FROM numbers(300000) FORMAT JSONCompact").await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["data"].as_array().unwrap().len(), 300_000);
    let parquet = server.post(&[], "SELECT number FROM numbers(300000) FORMAT Parquet");
    let parquet = parquet.send().await.unwrap().bytes().await.unwrap();
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
}

/// Only a block is inserted all or nothing, and a chunk of the projector is one.
#[tokio::test]
async fn a_block_of_native_is_inserted_whole_where_rows_are_cut() {
    let server = server().await;
    for (format, is_whole) in [("Native", true), ("RowBinary", false)] {
        let select = format!(
            "SELECT number FROM numbers(200000) FORMAT {format} SETTINGS max_block_size = 200000, max_threads = 1"
        );
        let rows = server.post(&[], select).send().await.unwrap().bytes().await.unwrap();
        server
            .sql(&format!("CREATE TABLE {format} (number UInt64) ENGINE = MergeTree ORDER BY number"))
            .await;
        let insert = format!("INSERT INTO {format} FORMAT {format}");
        let small = [
            ("query", insert.as_str()),
            ("max_insert_block_size", "1000"),
            ("min_insert_block_size_rows", "1000"),
            ("min_insert_block_size_bytes", "0"),
        ];
        let answer = server.post(&small, rows).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(server.sql(&format!("SELECT count() FROM {format}")).await, "200000");
        let blocks = server
            .sql(&format!("SELECT max(max_block_number) FROM system.parts WHERE table = '{format}'"))
            .await;
        assert_eq!(blocks == "1", is_whole, "{format}: {blocks} blocks");
    }
}
