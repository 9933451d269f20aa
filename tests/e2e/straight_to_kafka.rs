//! Whatever a direct producer writes: a verdict for every offset, never a stall.

use harness::Pipeline;

/// A session of its own, so that every record lands in one partition, in order.
const KEY: &str = "0a2e4a52-52a5-4a50-9d21-6dfbcb8a3f0e";

fn valid(event_id: &str) -> String {
    format!(
        r#"{{"event_id":"{event_id}","session_id":"{KEY}","category":"page interaction","name":"pageview","data":{{"host":"h","path":"/"}},"timestamp":"2024-05-01T10:00:00Z"}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_records_become_rejections_and_their_neighbours_events() {
    let pipeline = Pipeline::start().await;
    let first = valid("9b2f0f5e-1111-4111-8111-111111111111");
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let long_name = valid("9b2f0f5e-2222-4222-8222-222222222222").replace("pageview", &"n".repeat(256));
    let records: Vec<(Vec<u8>, &str)> = vec![
        (first.clone().into_bytes(), "accepted"),
        (b"not json".to_vec(), "invalid_json"),
        (b"".to_vec(), "empty_record"),
        (b"[1,2]".to_vec(), "not_an_object"),
        (b"{}".to_vec(), "missing_field"),
        (b"\xff\xfe\x00{}".to_vec(), "invalid_json"),
        (deep.into_bytes(), "invalid_json"),
        (long_name.into_bytes(), "invalid_field"),
        (first.clone().into_bytes(), "duplicate"),
        (
            valid("9b2f0f5e-3333-4333-8333-333333333333")
                .replace("2024-05-01T10", "2199-05-01T10")
                .into_bytes(),
            "future_timestamp",
        ),
        (
            valid("9b2f0f5e-4444-4444-8444-444444444444")
                .replace("2024-05-01T10:00:00Z", "1066-10-14T09:00:00Z")
                .into_bytes(),
            "timestamp_out_of_range",
        ),
        (
            valid("9b2f0f5e-5555-4555-8555-555555555555").replace("pageview", "no such thing").into_bytes(),
            "unknown_event_type",
        ),
        (
            valid("9b2f0f5e-6666-4666-8666-666666666666")
                .replace(r#""path":"/""#, r#""path":9007199254740993"#)
                .into_bytes(),
            "data_invalid",
        ),
        (valid("9b2f0f5e-7777-4777-8777-777777777777").into_bytes(), "accepted"),
    ];
    let mut places = Vec::new();
    for (value, _) in &records {
        places.push(pipeline.produce(KEY, Some(value), "demo").await);
    }
    let tombstone = pipeline.produce(KEY, None, "demo").await;
    let stranger = pipeline
        .produce(KEY, Some(valid("9b2f0f5e-8888-4888-8888-888888888888").as_bytes()), "stranger")
        .await;
    pipeline.settled().await;

    let rows = pipeline.verdicts().await;
    let outcome = |place| rows.get(&place).map(|row| row.outcome.as_str());
    for ((value, wanted), place) in records.iter().zip(&places) {
        let shown = String::from_utf8_lossy(&value[..value.len().min(120)]).into_owned();
        assert_eq!(outcome(*place), Some(*wanted), "{shown}");
    }
    assert_eq!(outcome(tombstone), Some("empty_record"));
    assert_eq!(outcome(stranger), Some("unknown_application"));
    assert_eq!(rows.len(), records.len() + 2, "one verdict an offset, none besides");

    // The raw bytes of a rejection are the record's, whatever they are.
    assert_eq!(pipeline.raw(places[5]).await, records[5].0);
    let audit = pipeline.get("/v1/audit").await;
    assert_eq!(audit["adds_up"], true, "{audit}");
}
