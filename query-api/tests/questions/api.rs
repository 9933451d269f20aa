//! Parameters, pages, streams, caching, limits and keys.

use std::collections::BTreeSet;
use std::time::Duration;

use local_stack::{ClickHouseAlone, StackOptions};
use projector::keep::{epochs, usage};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::demo;
use crate::world::{Sent, World, ask_during};

const SECOND: i64 = 1_000_000;
/// 2025-01-01.
const START: i64 = 1_735_689_600 * SECOND;

pub fn event(session: u128, number: i64) -> Sent {
    Sent {
        event_id: Uuid::from_u128((session << 64) | number as u128),
        session_id: Uuid::from_u128(session),
        app: if number % 2 == 0 { "web" } else { "app" }.into(),
        category: "browse".into(),
        name: if number % 3 == 0 { "home" } else { "search" }.into(),
        data: format!("{{\"n\": {number}, \"text\": \"é,\\\"\\n\"}}"),
        time: START + number * SECOND,
    }
}

/// All pages from `cursor` (or the first one) on.
async fn pages(world: &World, path: &str, cursor: Option<String>) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), cursor);
    loop {
        let from = cursor.map_or_else(String::new, |cursor| format!("&cursor={cursor}"));
        let answer = world.get(&format!("{path}{from}")).await;
        rows.extend(answer["events"].as_array().unwrap().iter().cloned());
        let Some(next) = answer["next_cursor"].as_str() else { return rows };
        cursor = Some(next.to_owned());
    }
}

fn numbers(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row["data"]["n"].as_i64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_stay_right_while_events_arrive() {
    let mut world = World::new().await;
    // Tied times: three events a second in two sessions.
    let events: Vec<Sent> =
        (0..60).map(|n| Sent { time: START + n / 3 * SECOND, ..event(1 + n as u128 % 2, n) }).collect();
    world.append(&events, 7).await;
    let all: BTreeSet<i64> = (0..60).collect();
    for order in ["newest", "oldest"] {
        let rows = pages(&world, &format!("/v1/events?limit=7&order={order}"), None).await;
        assert_eq!(rows.len(), 60, "{order}");
        assert_eq!(numbers(&rows).into_iter().collect::<BTreeSet<_>>(), all);
        let times: Vec<&str> = rows.iter().map(|row| row["timestamp"].as_str().unwrap()).collect();
        assert!(
            if order == "newest" { times.is_sorted_by(|a, b| a >= b) } else { times.is_sorted() },
            "{times:?}"
        );
    }
    let mut first = world.get("/v1/events?limit=10").await;
    let cursor = first["next_cursor"].as_str().unwrap().to_owned();
    // Newer ones, older ones, and none of them may come twice or push one out.
    let late: Vec<Sent> = [(1000, 5), (1001, 100_000), (1002, -1000)]
        .map(|(n, at)| Sent { time: START + at * SECOND, ..event(3, n) })
        .into();
    world.append(&late, 1).await;
    let rest = pages(&world, "/v1/events?limit=10", Some(cursor.clone())).await;
    let mut seen = numbers(first["events"].as_array_mut().unwrap());
    seen.extend(numbers(&rest));
    assert_eq!(seen.iter().filter(|n| **n < 1000).count(), 60);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len());
    assert!(seen.contains(&1002) && seen.contains(&1000) && !seen.contains(&1001), "{seen:?}");

    let session = pages(&world, &format!("/v1/sessions/{}?limit=4", Uuid::from_u128(1)), None).await;
    assert_eq!(numbers(&session), (0..60).filter(|n| n % 2 == 0).collect::<Vec<_>>());
    let one = world.get(&format!("/v1/events?session_id={}&name=home&app=web", Uuid::from_u128(1))).await;
    assert_eq!(one["events"].as_array().unwrap().len(), 10);

    // A cursor of other filters, a damaged one, and one with a limit that is none.
    for (query, field) in [
        (format!("limit=10&name=home&cursor={cursor}"), "cursor"),
        (format!("cursor={}", &cursor[1..]), "cursor"),
        ("cursor=..%2F".into(), "cursor"),
        ("limit=0".into(), "limit"),
        ("limit=1001".into(), "limit"),
    ] {
        let problem = world.problem(world.request(&format!("/v1/events?{query}"))).await;
        assert_eq!(problem, (400, "invalid_parameter".into(), field.into()), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_have_every_row() {
    let mut world = World::new().await;
    let events: Vec<Sent> = (0..500).map(|n| event(1 + n as u128 % 7, n)).collect();
    world.append(&events, 100).await;
    let stream = async |accept: &str| {
        let response = world.request("/v1/events?app=web").header("accept", accept).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()),
            (200, accept)
        );
        let as_of: Value = serde_json::from_slice(response.headers()["x-eye-as-of"].as_bytes()).unwrap();
        assert_eq!(as_of["positions"].as_object().unwrap().len(), 4);
        response.bytes().await.unwrap()
    };
    let ndjson = stream("application/x-ndjson").await;
    let rows: Vec<Value> = ndjson
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 250);
    let one = rows.iter().find(|row| row["timestamp"] == "2025-01-01T00:00:04.000000Z").unwrap();
    assert_eq!((&one["app"], &one["offset"].is_u64()), (&json!("web"), &true));
    let data: Value = serde_json::from_str(one["data"].as_str().unwrap()).unwrap();
    assert_eq!(data, json!({"n": 4, "text": "é,\"\n"}));
    let csv = String::from_utf8(stream("text/csv").await.to_vec()).unwrap();
    assert!(csv.starts_with("\"event_id\",\"session_id\",\"timestamp\",\"app\""), "{csv}");
    let parquet = stream("application/vnd.apache.parquet").await;
    assert_eq!((&parquet[..4], &parquet[parquet.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
    let refused = world.request("/v1/events?limit=5").header("accept", "text/csv");
    assert_eq!(world.problem(refused).await, (400, "invalid_parameter".into(), "limit".into()));
    // The format with the highest weight, and never one with weight 0.
    for (accept, found) in [
        ("application/json;q=0.5, text/csv", "text/csv"),
        ("text/csv;q=0, application/json", "application/json"),
        ("image/png, application/json;q=0.1", "application/json"),
    ] {
        let response = world.request("/v1/events").header("accept", accept).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], found, "{accept}");
    }
    let refused = world.request("/v1/events").header("accept", "image/png");
    assert_eq!(world.problem(refused).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_answer_is_not_computed_again() {
    let mut world = World::new().await;
    world.append(&(0..20).map(|n| event(1, n)).collect::<Vec<_>>(), 20).await;
    world.refresh().await;
    for path in ["/v1/features", "/v1/order/transitions", "/v1/events?limit=5", "/v1/event-types"] {
        let tag = async |known: Option<&str>| {
            let mut request = world.request(path);
            if let Some(known) = known {
                request = request.header("if-none-match", known);
            }
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.headers()["etag"].to_str().unwrap().to_owned())
        };
        let (status, etag) = tag(None).await;
        assert_eq!(status, 200);
        assert_eq!(tag(Some(&etag)).await, (304, etag.clone()), "{path}");
        assert_eq!(tag(Some(&format!("\"x\", W/{etag}"))).await.0, 304);
        assert_eq!(tag(Some("\"x\"")).await.0, 200);
    }
    let etag = async |world: &World| {
        let response = world.request("/v1/features").send().await.unwrap();
        response.headers()["etag"].to_str().unwrap().to_owned()
    };
    let mut before = etag(&world).await;
    world.append(&[event(2, 100)], 1).await;
    world.refresh().await;
    assert_ne!(etag(&world).await, before);
    // Projections are no rows.
    before = etag(&world).await;
    let build = "ALTER TABLE ledger MATERIALIZE PROJECTION positions, MATERIALIZE PROJECTION by_event SETTINGS mutations_sync = 1";
    world.tables.query(build).execute().await.unwrap();
    assert_eq!(etag(&world).await, before);
    // Rows that change are no new rows, and may change several times in a second.
    for version in 2..5 {
        before = etag(&world).await;
        let change =
            "ALTER TABLE ledger UPDATE schema_version = {version:UInt16} WHERE 1 SETTINGS mutations_sync = 1";
        world.tables.query(change).param("version", version).execute().await.unwrap();
        assert_ne!(etag(&world).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_tables_at_fault_is_not_unchanged_once_they_are_repaired() {
    let mut world = World::new().await;
    world.append(&(0..200).map(|n| event(n as u128 / 10, n)).collect::<Vec<_>>(), 200).await;
    world.refresh().await;
    let run = async |statement: &str| world.tables.query(statement).execute().await.unwrap();
    let ask = async |path: &str| {
        let response = world.request(path).send().await.unwrap();
        let etag = response.headers()["etag"].to_str().unwrap().to_owned();
        let mut answer: Value = response.json().await.unwrap();
        (etag, answer["as_of"].take(), answer)
    };
    // The log is quiet, and the repaired tables include as much of it as the ones at fault did.
    let check = |(before, before_as_of, wrong): (String, Value, Value),
                 (etag, as_of, right): (String, Value, Value)| {
        assert_eq!(before_as_of, as_of);
        assert_ne!(wrong, right);
        assert_ne!(before, etag);
    };

    let transitions = "/v1/order/transitions";
    run("CREATE TABLE kept AS sequences").await;
    run("INSERT INTO kept SELECT * FROM sequences").await;
    run("INSERT INTO sequences SELECT generateUUIDv4(), events, features, times, apps FROM kept LIMIT 3")
        .await;
    let wrong = ask(transitions).await;
    let used = ask("/v1/features").await;
    projector::keep::sequences::verify(&world.servers).await.unwrap();
    assert_eq!(ask("/v1/features").await.2, used.2, "the days of use are not at fault");
    world.refresh().await;
    check(wrong, ask(transitions).await);

    run("ALTER TABLE sequences DELETE WHERE 1 SETTINGS mutations_sync = 1").await;
    let wrong = ask(transitions).await;
    // A heal does this once the rows at fault are gone.
    run("INSERT INTO sequences SELECT * FROM kept").await;
    epochs::withdraw(&world.servers).await.unwrap();
    check(wrong, ask(transitions).await);

    usage::refresh(&world.servers).await.unwrap();
    run("INSERT INTO usage_days SELECT * FROM usage_days").await;
    let wrong = ask("/v1/features").await;
    usage::verify(&world.servers).await.unwrap();
    usage::refresh(&world.servers).await.unwrap();
    let right = ask("/v1/features").await;
    check(wrong, right.clone());
    // Another count of as much: the epoch may have been read when the withdrawal was not.
    run("INSERT INTO usage_epochs SELECT * REPLACE (epoch + 1 AS epoch, [1] AS runs) FROM usage_epochs \
         ORDER BY epoch DESC LIMIT 1")
    .await;
    check(ask("/v1/features").await, right);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_refused() {
    let world = World::new().await;
    for (path, field) in [
        ("/v1/features?sort=most", "sort"),
        ("/v1/features?order=best", "order"),
        ("/v1/features?from=yesterday", "from"),
        ("/v1/features?from=2025-01-02&to=2025-01-01", "to"),
        ("/v1/features?category=", "category"),
        ("/v1/usage?interval=year", "interval"),
        ("/v1/usage?interval=minute&from=1900-01-01&to=2000-01-01", "interval"),
        ("/v1/order/entries?step=0", "step"),
        ("/v1/retention?periods=401", "periods"),
        ("/v1/sessions/alice", "id"),
        ("/v1/events/42", "id"),
        ("/v1/events?session_id=42", "session_id"),
        ("/v1/rejections?reason=bad_mood", "reason"),
        ("/v1/rejections/series?reason=bad_mood", "reason"),
        ("/v1/audit?partition=1", "partition"),
    ] {
        let problem = world.problem(world.request(path)).await;
        assert_eq!(problem, (400, "invalid_parameter".into(), field.into()), "{path}");
    }
    for (path, body, field) in [
        ("/v1/order/paths", "{\"length\": 13}", "length"),
        ("/v1/order/paths", "{\"lenght\": 3}", "lenght"),
        ("/v1/order/paths", "{\"start\": {\"category\": \"a\"}}", "start"),
        ("/v1/order/paths", "[", "?"),
        ("/v1/order/funnel", "{\"steps\": []}", "steps"),
        (
            "/v1/order/funnel",
            "{\"steps\": [{\"category\": \"a\", \"name\": \"b\"}], \"window\": \"soon\"}",
            "window",
        ),
        (
            "/v1/order/funnel",
            "{\"steps\": [{\"category\": \"a\", \"name\": \"b\"}], \"exclude\": [{\"category\": \"a\", \"name\": \"b\"}]}",
            "exclude",
        ),
    ] {
        let (status, code, found) = world.problem(world.post_request(path, body)).await;
        assert_eq!((status, code.as_str()), (400, "invalid_parameter"), "{body}");
        assert!(field == "?" || found == field, "{body}: {found}");
    }
    // Parameters in the URL of a question with a body, and bytes behind its JSON, are not ignored either.
    for (query, body, field) in
        [("?app=web", "{}", "app"), ("", "{} {}", "body"), ("", "{\"length\": 3}]", "body")]
    {
        let problem = world.problem(world.post_request(&format!("/v1/order/paths{query}"), body)).await;
        assert_eq!(problem, (400, "invalid_parameter".into(), field.into()), "{query} {body}");
    }
    assert_eq!(world.problem(world.request("/v1/order/paths")).await.0, 405);
    // A funnel of features that nobody used yet is empty, not wrong.
    let steps = json!({"steps": [{"category": "no", "name": "such"}, {"category": "no", "name": "such"}]});
    let funnel = world.post("/v1/order/funnel", &steps).await;
    assert_eq!(funnel["steps"][1]["sessions"], 0);
    assert_eq!(funnel["steps"][1]["median_time_ms"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_over_its_limit_says_how_to_narrow_it() {
    let mut world = World::with(|config| config.limits.memory_mib = 4).await;
    fill(
        &mut world,
        600_000,
        "toUUID(concat('00000000-0000-0000-0000-', leftPad(hex(number % 100000), 12, '0')))",
    )
    .await;
    let (status, code, _) = world.problem(world.request("/v1/order/transitions")).await;
    assert_eq!((status, code.as_str()), (422, "too_large"));
    let is_ready = async {
        while world.request("/readyz").send().await.unwrap().status() != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), is_ready)
        .await
        .expect("the service is ready for other questions");
}

/// `events` of three features in turn, a second apart; `session` is an expression of `number`.
async fn fill(world: &mut World, events: u64, session: &str) {
    let statement = format!(
        "INSERT INTO landing (targets, partition, offset, verdict, event_id, session_id, app, category, name, data, \
         timestamp, received_at, log_time, schema_version) SELECT 3, 1, number, 'accepted', generateUUIDv4(), \
         {session}, 'app', 'browse', ['home', 'search', 'cart'][1 + number % 3], '{{}}', \
         fromUnixTimestamp64Micro(toInt64(1735689600000000 + number * 1000000)), now64(6), now64(3), 1 \
         FROM numbers({events})"
    );
    world.tables.query_raw(&statement).execute().await.unwrap();
    world.skip_to(1, events);
    world.refresh().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_need_their_key() {
    let file = std::env::temp_dir().join(format!("readers-{}.toml", Uuid::new_v4()));
    let hash = schemas::apps::sha256_hex(b"reader-key");
    std::fs::write(&file, format!("[[reader]]\nname = \"analytics\"\nkeys = [{{ sha256 = \"{hash}\" }}]\n"))
        .unwrap();
    let world = World::with(|config| config.apps = Some(file.clone())).await;
    std::fs::remove_file(file).unwrap();
    assert_eq!(world.problem(world.request("/v1/features")).await.0, 401);
    assert_eq!(world.problem(world.request("/v1/features").bearer_auth("guess")).await.0, 401);
    assert_eq!(world.request("/v1/features").bearer_auth("reader-key").send().await.unwrap().status(), 200);
    for open in ["/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"] {
        assert_eq!(world.request(open).send().await.unwrap().status(), 200, "{open}");
    }
    let metrics = world.request("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("eye_query_answers_total{question=\"/v1/features\",status=\"200\"} 1"),
        "{metrics}"
    );
    let api: Value = world.request("/openapi.json").send().await.unwrap().json().await.unwrap();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    let names: Vec<&str> = api["paths"]["/v1/features"]["get"]["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|parameter| parameter["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["from", "to", "app", "category", "name", "order", "by", "limit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_very_long_session_breaks_nothing() {
    let mut world = World::new().await;
    fill(&mut world, 200_000, "toUUID('00000000-0000-0000-0000-000000000001')").await;
    let transitions = world.get("/v1/order/transitions").await;
    assert_eq!(transitions["transitions"][0]["count"], 66667);
    let paths = world.post("/v1/order/paths", &json!({"length": 10})).await;
    assert_eq!(paths["paths"].as_array().unwrap().len(), 3);
    let flow = json!({"start": {"category": "browse", "name": "home"}, "length": 12});
    assert_eq!(world.post("/v1/order/flow", &flow).await["columns"][11]["features"][0]["count"], 66663);
    let step = |name: &str| json!({"category": "browse", "name": name});
    let steps: Vec<Value> = (0..20).map(|n| step(["home", "search", "cart"][n % 3])).collect();
    let funnel = world.post("/v1/order/funnel", &json!({"steps": steps, "window": "19s"})).await;
    assert_eq!(
        (&funnel["steps"][19]["sessions"], &funnel["steps"][19]["median_time_ms"]),
        (&json!(1), &json!(19000.0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_compressed_and_answers_are_not() {
    let world = World::new().await;
    let encoding = async |path: &str| {
        let response = world.request(path).header("accept-encoding", "br, gzip").send().await.unwrap();
        assert!(response.status().is_success(), "{path}");
        response.headers().get("content-encoding").map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(encoding("/openapi.json").await.as_deref(), Some("br"));
    assert_eq!(encoding("/docs").await.as_deref(), Some("br"));
    // An answer's tag is that of its bytes.
    assert_eq!(encoding("/v1/features").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_shows_what_comes_from_then_on() {
    let mut world = World::new().await;
    for event in demo::events().into_iter().take(5) {
        let mut stream = world.request("/v1/live").send().await.unwrap();
        world.append(std::slice::from_ref(&event), 1).await;
        let shown = async {
            let mut text = String::new();
            while !text.contains(&event.event_id.to_string()) {
                text += &String::from_utf8_lossy(&stream.chunk().await.unwrap().expect("the stream goes on"));
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), shown).await.expect("the event is shown");
    }
}

/// A host that is gone without a word looks like this, too: connections stay open and nothing comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_is_not_waited_for_for_ever() {
    let engine = ClickHouseAlone::start(StackOptions::default()).await.unwrap();
    let world = World::on(&engine, |_| ()).await;
    world.get("/v1/features").await;
    engine.process.pause();
    let json = "application/json";
    let questions = [
        ("/v1/features", json, "database_unreachable"),
        ("/v1/features?from=2025-01-01T00:00:01Z", json, "database_unreachable"),
        ("/v1/order/transitions", json, "database_unreachable"),
        ("/v1/audit", json, "database_unreachable"),
        ("/v1/events", "application/x-ndjson", "database_unreachable"),
        ("/readyz", json, "not_ready"),
    ];
    let answers = questions.map(async |(path, accept, code)| {
        let request = world.request(path).header("accept", accept).timeout(Duration::from_secs(60));
        let (status, found, _) = world.problem(request).await;
        assert_eq!((status, &*found), (503, code), "{path}");
    });
    futures::future::join_all(answers).await;
    engine.process.resume();
    world.get("/v1/features").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_first_start_counts_if_asked_for_also_with_the_shortest_times() {
    let mut world = World::new().await;
    // `search` is what `event` makes of 1 and 2, `home` of 3.
    let events =
        [(1, 0), (2, 100), (3, 130)].map(|(n, at)| Sent { time: START + at * SECOND, ..event(1, n) });
    world.append(&events, 10).await;
    world.refresh().await;
    let steps = ["search", "home"].map(|name| json!({"category": "browse", "name": name}));
    for (window, sessions, median) in [("60s", 0, Value::Null), ("1h", 1, json!(130_000.0))] {
        let body = json!({"steps": steps, "start": "first", "shortest": true, "window": window});
        let last = world.post("/v1/order/funnel", &body).await["steps"][1].clone();
        let found = [&last["sessions"], &last["median_time_ms"], &last["median_shortest_ms"]];
        assert_eq!(found, [&json!(sessions), &median, &median], "within {window}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_right_while_parts_come_and_are_merged() {
    let mut world = World::new().await;
    let events: Vec<Sent> = (0..3000).map(|n| event(1 + n as u128 % 7, n)).collect();
    world.append(&events, 500).await;
    // Events of later years, in parts that are merged, and get their projections, while pages are read.
    let write = async {
        for round in 0..60 {
            let rows = format!(
                "INSERT INTO events SELECT * REPLACE (timestamp + INTERVAL 10 YEAR AS timestamp) FROM events \
                 WHERE timestamp < '2030-01-01' AND offset % 10 = {}",
                round % 10,
            );
            world.tables.query(&rows).execute().await.unwrap();
            if round % 20 == 19 {
                world.tables.query("OPTIMIZE TABLE events FINAL").execute().await.unwrap();
            }
        }
    };
    let last: Vec<i64> = (2900..3000).rev().collect();
    let homes: Vec<i64> = (0..100).map(|nth| 2997 - 3 * nth).collect();
    let ask = async || {
        for (filter, right) in [("", &last), ("&category=browse&name=home", &homes)] {
            let page = world.get(&format!("/v1/events?to=2030-01-01&limit=100{filter}")).await;
            assert_eq!(&numbers(page["events"].as_array().unwrap()), right);
        }
    };
    ask_during(write, 4, ask).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_right_after_events_were_erased() {
    let mut world = World::new().await;
    let events: Vec<Sent> = (0..3000).map(|n| event(1 + n as u128 % 7, n)).collect();
    world.append(&events, 500).await;
    let erase = world
        .tables
        .query("ALTER TABLE events DELETE WHERE session_id = '00000000-0000-0000-0000-000000000003'");
    erase.with_setting("mutations_sync", "2").execute().await.unwrap();
    for path in ["/v1/events?limit=1000", "/v1/events?limit=1000&category=browse&name=home"] {
        let expected: BTreeSet<i64> =
            (0..3000).filter(|n| n % 7 != 2 && (n % 3 == 0 || !path.contains("home"))).collect();
        let found = numbers(&pages(&world, path, None).await);
        assert_eq!(
            (found.len(), found.into_iter().collect::<BTreeSet<_>>()),
            (expected.len(), expected),
            "{path}"
        );
    }
}
