//! What became of an event, and whether it all adds up.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::event;
use crate::world::{Sent, World, ask_during};

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_a_rejected_record_can_be_got_back_whatever_they_are() {
    let mut world = World::new().await;
    // A run of bytes that are no UTF-8 is one U+FFFD in the text; NUL and U+FFFD itself are text.
    world.reject(&event(1, 0), "invalid_json", "", *b"{\x00\xff\xfe\xed\xa0\x80\xef\xbf\xbd}").await;
    // Cut at 64 KiB, in the middle of a character.
    world.reject(&event(1, 1), "invalid_json", "", format!("{}é!", "x".repeat(65_535))).await;
    let (text, exact) = (json!("{\0\u{fffd}\u{fffd}}"), json!("ewD//u2ggO+/vX0="));
    let fate = async |n: i64| world.get(&format!("/v1/events/{}", event(1, n).event_id)).await;
    let first = fate(0).await;
    assert_eq!((&first["raw"], &first["raw_base64"]), (&text, &exact));
    let second = fate(1).await;
    assert!(second["raw"].as_str().unwrap().ends_with("xé!"));
    assert_eq!(second["raw_base64"], Value::Null);

    let list = world.get("/v1/rejections").await;
    let (cut, whole) = (&list["rejections"][0], &list["rejections"][1]);
    assert_eq!((&whole["raw"], &whole["raw_base64"]), (&text, &exact));
    assert_eq!(cut["raw_bytes"], 65_538);
    assert!(cut["raw"].as_str().unwrap().ends_with("x\u{fffd}"));
    assert!(cut["raw_base64"].as_str().unwrap().ends_with("eHh4ww=="), "three x, and half of é");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fate_of_an_event_and_the_audit() {
    let mut world = World::new().await;
    let first = Sent { time: 0, ..event(1, 9) };
    world.append(&[event(1, 0), event(1, 1), event(1, 0), first], 4).await;
    world.reject(&event(1, 2), "data_invalid", "/data/n", "{\"n\": \"é").await;
    let fate = async |n: i64| world.get(&format!("/v1/events/{}", event(1, n).event_id)).await;
    let accepted = fate(0).await;
    assert_eq!(
        (&accepted["verdict"], &accepted["offset"], &accepted["app"]),
        (&json!("accepted"), &json!(0), &json!("web"))
    );
    assert_eq!(accepted["others"][0]["verdict"], "duplicate");
    assert_eq!(accepted["data"]["n"], 0);
    let rejected = fate(2).await;
    assert_eq!((&rejected["verdict"], &rejected["raw"]), (&json!("rejected"), &json!("{\"n\": \"é")));
    assert_eq!(rejected["raw_base64"], Value::Null, "the text is exact");
    assert_eq!(
        rejected["reasons"][0],
        json!({"code": "data_invalid", "pointer": "/data/n", "keyword": "type", "message": "says why"})
    );
    assert_eq!(world.problem(world.request(&format!("/v1/events/{}", Uuid::nil()))).await.0, 404);
    assert_eq!(world.problem(world.request(&format!("/v1/sessions/{}", Uuid::nil()))).await.0, 404);

    // The first moment of 1970 is a time like any other.
    assert_eq!(fate(9).await["timestamp"], "1970-01-01T00:00:00.000000Z");

    let found = world.get("/v1/rejections?reason=data_invalid&app=web").await;
    assert_eq!(found["rejections"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("/v1/rejections?reason=invalid_json").await["rejections"], json!([]));
    let summary = world.get("/v1/rejections/summary").await;
    assert_eq!(
        (&summary["summary"][0]["reason"], &summary["summary"][0]["records"]),
        (&json!("data_invalid"), &json!(1))
    );

    let audit = world.get("/v1/audit").await;
    assert_eq!(
        audit["verdicts"],
        json!({"accepted": 3, "rejected": 1, "duplicate": 1, "absent": 0, "lost": 0, "erased": 0, "erasure": 0})
    );
    assert_eq!((&audit["adds_up"], &audit["log_compared"]), (&json!(true), &json!(false)), "{audit}");
    // Where retention is on, what is older is not missed.
    let partition = audit["partitions"][0]["partition"].as_u64().unwrap();
    let horizon = "INSERT INTO horizons VALUES ({partition:UInt16}, 1, 1)";
    world.tables.query(horizon).param("partition", partition).execute().await.unwrap();
    assert_eq!(world.get("/v1/audit").await["adds_up"], false);
    let expire = "ALTER TABLE events DELETE WHERE offset < 1 SETTINGS mutations_sync = 1";
    world.tables.query(expire).execute().await.unwrap();
    let audit = world.get("/v1/audit").await;
    assert_eq!(
        (&audit["adds_up"], &audit["partitions"][0]["kept_from"]),
        (&json!(true), &json!(1)),
        "{audit}"
    );
    // A projector has found another log: until it is the right one again, or a person has decided.
    let say = async |state: &str| {
        let say = "INSERT INTO log_breaks SELECT {partition:UInt16}, now64(6), {state:String}, 2, 0, 0, 'another log'";
        let say = world.tables.query(say).param("partition", partition).param("state", state);
        say.execute().await.unwrap();
    };
    say("refused").await;
    let audit = world.get("/v1/audit").await;
    assert_eq!(
        (&audit["adds_up"], &audit["partitions"][0]["problems"]),
        (&json!(false), &json!(["another log"])),
        "{audit}"
    );
    say("resolved").await;
    assert_eq!(world.get("/v1/audit").await["adds_up"], true);
    // A verdict gone, its event still there: no longer.
    let lose = "ALTER TABLE ledger DELETE WHERE offset = 1 SETTINGS mutations_sync = 1";
    world.tables.query(lose).execute().await.unwrap();
    let audit = world.get("/v1/audit").await;
    assert_eq!(
        (&audit["adds_up"], &audit["partitions"][0]["gaps"]),
        (&json!(false), &json!([[1, 2]])),
        "{audit}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rejections_are_counted_over_time_without_their_bytes() {
    let mut world = World::new().await;
    // More than a list may have in an answer, and more bytes than any answer.
    let large = "x".repeat(30_000);
    for n in 0..3 {
        world.reject(&event(1, n), "data_invalid", "/data/n", large.as_str()).await;
    }
    world.reject(&event(1, 4), "invalid_json", "", large.as_str()).await;
    let rows = "INSERT INTO rejections (partition, offset, app, received_at, reasons, raw) SELECT 9, number, 'other', \
        fromUnixTimestamp64Micro(1767225600000000 + toInt64(intDiv(number, 1000)) * 7200000000), \
        [('data_invalid', '/data/a', 'type', ''), ('data_invalid', '/data/b', 'type', ''), ('unknown_application', '', '', '')], \
        repeat('x', 30000) FROM numbers(1500)";
    world.tables.query(rows).execute().await.unwrap();
    let series =
        async |query: &str| world.get(&format!("/v1/rejections/series?{query}")).await["series"].clone();
    let hour = |hour: u8, records: u64, reasons: &[(&str, u64)]| {
        let reasons: Vec<Value> =
            reasons.iter().map(|(reason, records)| json!({"reason": reason, "records": records})).collect();
        json!({"start": format!("2026-01-01T{hour:02}:00:00.000000Z"), "records": records, "reasons": reasons})
    };
    assert_eq!(
        series("interval=hour").await,
        json!([
            hour(0, 1004, &[("data_invalid", 1003), ("invalid_json", 1), ("unknown_application", 1000)]),
            hour(1, 0, &[]),
            hour(2, 500, &[("data_invalid", 500), ("unknown_application", 500)]),
        ])
    );
    assert_eq!(
        series("interval=hour&reason=data_invalid&app=web&to=2026-01-01T02:00:00Z").await,
        json!([hour(0, 2, &[("data_invalid", 2)]), hour(1, 0, &[])])
    );
    assert_eq!(series("interval=month").await[0]["records"], 1504);
    assert_eq!(series("app=nobody").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_adds_up_while_events_arrive() {
    let world = World::new().await;
    let rows = "INSERT INTO landing (targets, partition, offset, verdict, event_id, session_id, timestamp, log_time) \
        SELECT if(number % 5 = 0, 5, 3), {partition:UInt16}, number, if(number % 5 = 0, 'rejected', 'accepted'), \
        generateUUIDv4(1), generateUUIDv4(2), now64(6), now64(3) FROM numbers({from:UInt64}, 50)";
    let write = async {
        for chunk in 0..60 {
            for partition in 0..4 {
                let insert = world.tables.query(rows).param("partition", partition).param("from", chunk * 50);
                insert.execute().await.unwrap();
            }
        }
    };
    let ask = async || {
        let audit = world.get("/v1/audit").await;
        assert_eq!(audit["adds_up"], true, "{audit}");
    };
    ask_during(write, 6, ask).await;
    assert_eq!(world.get("/v1/audit").await["verdicts"]["accepted"], 9600);
    // Faults are found all the same, also at the end of a partition.
    let lose = "ALTER TABLE ledger DELETE WHERE partition = 2 AND offset >= 2990 SETTINGS mutations_sync = 1";
    world.tables.query(lose).execute().await.unwrap();
    let again = "INSERT INTO ledger SELECT * FROM ledger WHERE partition = 1 AND offset IN (7, 8)";
    world.tables.query(again).execute().await.unwrap();
    let audit = world.get("/v1/audit").await;
    assert_eq!(audit["partitions"][1]["problems"][0], "0 gaps and 2 overlaps in the ledger", "{audit}");
    assert_eq!(audit["partitions"][2]["problems"][0], "2400 rows in events for 2392 verdicts", "{audit}");
    assert_eq!(audit["partitions"][3]["adds_up"], true, "{audit}");
}
