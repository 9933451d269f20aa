//! A value that a schema marks as personal is in no table, and can still be counted.

use harness::Pipeline;
use serde_json::json;

const SESSION: &str = "4c2a0b5e-2d6f-4d55-9f0e-5b1f3a7c9e01";
const SECRETS: [&str; 2] = ["ann@example.com", "Ann Example"];

#[tokio::test(flavor = "multi_thread")]
async fn a_personal_value_is_in_no_table_and_equal_ones_stay_equal() {
    let types = tempfile::tempdir().unwrap();
    let schema = json!({
        "x-category": "account", "x-name": "sign up", "x-version": 1,
        "type": "object", "required": ["user", "form"], "additionalProperties": false,
        "properties": {
            "user": {"type": "string", "x-personal": "hash"},
            "form": {"type": "object", "additionalProperties": {"type": "string", "x-personal": "redact"}},
        },
    });
    std::fs::write(types.path().join("sign up.schema.json"), schema.to_string()).unwrap();
    let key = ("EYE_PERSONAL_KEY", "0123456789abcdef0123456789abcdef");
    let pipeline = Pipeline::start_with(Some(types.path().into()), &[key]).await;

    let event = |timestamp: &str, user: &str, more: &str| {
        format!(
            r#"{{"session_id":"{SESSION}","category":"account","name":"sign up","timestamp":"{timestamp}","data":{{"user":"{user}","form":{{"name":"{}"}}{more}}}}}"#,
            SECRETS[1]
        )
    };
    let events = [
        event("2021-01-01 00:00:00", SECRETS[0], ""),
        event("2021-01-01 00:00:01", "another", ""),
        event("2021-01-01 00:00:02", SECRETS[0], ""),
        // Rejected: what it has is kept, too.
        event("2199-01-01 00:00:00", SECRETS[0], r#","unknown":1"#),
    ];
    pipeline.send(&events).await;
    pipeline.settled().await;

    let timeline = pipeline.get(&format!("/v1/sessions/{SESSION}")).await;
    let users: Vec<_> =
        timeline["events"].as_array().unwrap().iter().map(|event| &event["data"]["user"]).collect();
    assert_eq!(users.len(), 3, "{timeline}");
    assert_eq!(users[0], users[2]);
    assert_ne!(users[0], users[1]);
    assert_eq!(users[0].as_str().unwrap().len(), 64);
    assert_eq!(timeline["events"][0]["data"]["form"], json!({"name": "[redacted]"}));
    let rejections = pipeline.get("/v1/rejections").await;
    let raw = rejections["rejections"][0]["raw"].as_str().unwrap();
    assert!(raw.contains("[redacted]") && raw.contains("unknown"), "{raw}");
    for secret in SECRETS {
        assert!(!timeline.to_string().contains(secret) && !rejections.to_string().contains(secret));
    }
}
