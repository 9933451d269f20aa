//! Whatever bytes arrive: a verdict, the same one each time, and never a panic.

use std::sync::{Arc, LazyLock};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use schemas::apps::Apps;
use schemas::{Headers, Judge, Judgement, MAX_REASONS, ReasonCode, Record, Registry, Settings};

const GOOD: &str = r#"{"session_id":"e2085be5-9137-4e4e-80b5-f1ffddc25423","category":"page interaction","name":"pageview","data":{"host":"www.example.com","path":"/"},"timestamp":"2021-01-01 09:15:27.243860"}"#;

static JUDGE: LazyLock<Judge> = LazyLock::new(|| {
    let apps = Arc::new(Apps::from_iter(["demo"]));
    Judge::new(Arc::new(Registry::builtin().unwrap()), apps, Settings::default())
});

fn record(value: &[u8]) -> Record<'_> {
    let headers = Headers { app: Some(b"demo"), ..Headers::default() };
    let log_time_ms = 1_767_225_600_000;
    Record { partition: 3, offset: 42, key: None, value: Some(value), headers, log_time_ms }
}

/// Judges, and checks what holds for every judgement.
fn verdict<'a>(record: &Record<'a>) -> Judgement<'a> {
    let judgement = JUDGE.judge(record);
    assert_eq!(judgement, JUDGE.judge(record), "the same verdict each time");
    assert_eq!(judgement.is_accepted(), judgement.reasons.is_empty());
    assert!(judgement.reasons.len() <= MAX_REASONS);
    assert!(judgement.reasons.len() == MAX_REASONS.min(judgement.reasons_total.into()));
    for reason in &judgement.reasons {
        for (text, limit) in [(&reason.pointer, 255), (&reason.keyword, 255), (&reason.message, 300)] {
            assert!(text.chars().count() <= limit, "{reason:?}");
            assert!(!text.contains(char::is_control), "{reason:?}");
        }
    }
    if !judgement.data.is_empty() {
        let (value, data) = (record.value.unwrap().as_ptr_range(), judgement.data.as_bytes().as_ptr_range());
        assert!(value.start <= data.start && data.end <= value.end, "data is a slice of the value");
        assert!(judgement.data.starts_with('{') && judgement.data.ends_with('}'));
    }
    for label in [&judgement.app, &judgement.category, &judgement.name] {
        assert!(label.chars().count() <= 255);
    }
    if judgement.is_accepted() {
        assert!(
            judgement.session_id.is_some() && judgement.timestamp.is_some() && judgement.schema_version > 0
        );
        assert!(!judgement.data.is_empty() && !judgement.category.is_empty() && !judgement.name.is_empty());
    }
    judgement
}

/// code and pointer of each reason.
fn reasons(value: &[u8]) -> Vec<(ReasonCode, String)> {
    let judgement = verdict(&record(value));
    judgement.reasons.into_iter().map(|reason| (reason.code, reason.pointer.into_owned())).collect()
}

fn with_path(path: &str) -> String {
    GOOD.replace(r#""/""#, path)
}

#[test]
fn known_evils() {
    use ReasonCode::*;
    let deep = |levels: usize| with_path(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
    let accepted: &[(ReasonCode, &str)] = &[];
    for (what, value, expected) in [
        ("the good one", GOOD.to_owned(), accepted),
        ("space around it", format!(" \r\n\t{GOOD}\n "), accepted),
        (
            "escaped keys",
            GOOD.replace("\"name\"", r#""na\u006de""#).replace("\"path\"", r#""p\u0061th""#),
            accepted,
        ),
        ("a pair of surrogates", with_path(r#""/\ud83d\ude00""#), accepted),
        ("NUL, escaped", with_path(r#""/\u0000""#), accepted),
        (
            "a field that is not known, twice",
            GOOD.replace("{\"session_id\"", "{\"x\":[1],\"x\":{},\"session_id\""),
            accepted,
        ),
        ("only space", "  \n".into(), &[(InvalidJson, "")]),
        ("a byte order mark", format!("\u{feff}{GOOD}"), &[(InvalidJson, "")]),
        ("more after the end", format!("{GOOD}{GOOD}"), &[(InvalidJson, "")]),
        ("a comma too many", GOOD.replace("\"/\"}", "\"/\",}"), &[(InvalidJson, "")]),
        ("NUL, bare", with_path("\"/\0\""), &[(InvalidJson, "")]),
        ("a lone high surrogate", with_path(r#""\ud800""#), &[(InvalidJson, "")]),
        ("a lone low surrogate", with_path(r#""\udc00""#), &[(InvalidJson, "")]),
        ("two high surrogates", with_path(r#""\ud800\ud800""#), &[(InvalidJson, "")]),
        ("NaN", with_path("NaN"), &[(InvalidJson, "")]),
        ("beyond a double", with_path("1e400"), &[(InvalidJson, "")]),
        ("beyond a double in digits", with_path(&"9".repeat(400)), &[(InvalidJson, "")]),
        ("nothing but depth", "[".repeat(1_000_000), &[(InvalidJson, "")]),
        ("objects in objects", "{\"a\":".repeat(200_000), &[(InvalidJson, "")]),
        ("one level too deep", deep(126), &[(InvalidJson, "")]),
        ("as deep as can be", deep(125), &[(DataInvalid, "/data/path")]),
        (
            "a number too large for its digits",
            with_path("123456789012345678901234567890"),
            &[(DataInvalid, "/data/path")],
        ),
        ("smaller than a double", with_path("1e-400"), &[(DataInvalid, "/data/path")]),
        ("a long string", with_path(&format!("\"{}\"", "é".repeat(400_000))), &[(DataInvalid, "/data/path")]),
        ("a number", "17".into(), &[(NotAnObject, "")]),
        ("null", "null".into(), &[(NotAnObject, "")]),
        ("a name that is too long", GOOD.replace("pageview", &"🦀".repeat(256)), &[(InvalidField, "/name")]),
        (
            "a name that is not too long",
            GOOD.replace("pageview", &"🦀".repeat(255)),
            &[(UnknownEventType, "")],
        ),
        ("a name with a slash and NUL", GOOD.replace("pageview", r"a/b\u0000"), &[(UnknownEventType, "")]),
    ] {
        let found = reasons(value.as_bytes());
        let found: Vec<_> = found.iter().map(|(code, pointer)| (*code, pointer.as_str())).collect();
        assert_eq!(found, expected, "{what}");
    }
    assert_eq!(reasons(b""), [(EmptyRecord, String::new())]);
    assert_eq!(reasons(b"\xff\xfe"), [(InvalidJson, String::new())]);
    assert_eq!(reasons(GOOD.replace("/\"", "\u{1}\"").as_bytes())[0].0, InvalidJson);
    assert_eq!(reasons(&vec![b' '; (1 << 20) + 1]), [(RecordTooLarge, String::new())]);
}

#[test]
fn many_faults_are_counted_and_some_kept() {
    let keys: Vec<_> = (0..50).map(|_| r#""k":1"#).collect();
    let value = with_path(&format!("{{{}}}", keys.join(",")));
    let judgement = verdict(&record(value.as_bytes()));
    assert_eq!((judgement.reasons.len(), judgement.reasons_total), (MAX_REASONS, 49 + 1));
    assert_eq!(judgement.reasons[0].pointer, "/data/path/k");
    assert_eq!(judgement.reasons[0].keyword, "uniqueKeys");
}

#[test]
fn a_long_key_does_not_lengthen_a_message() {
    let key = "\\u0000x".repeat(100_000);
    let value = GOOD.replace("\"host\"", &format!("\"{key}\":{{}},\"host\""));
    let judgement = verdict(&record(value.as_bytes()));
    assert_eq!(judgement.reasons[0].keyword, "additionalProperties");
    assert!(judgement.reasons[0].message.ends_with('…'));
}

#[test]
fn ids_and_times_come_from_the_first_that_knows() {
    let id = "0b6cbd1d-6f2a-4b62-9d0c-6f1f0f4f3b0a";
    let with_id =
        GOOD.replace("{\"session_id\"", &format!("{{\"event_id\":\"{}\",\"session_id\"", id.to_uppercase()));
    let header_id = "11111111-2222-4333-8444-555555555555";
    let mut from_gateway = record(with_id.as_bytes());
    from_gateway.headers.event_id = Some(header_id.as_bytes());
    from_gateway.headers.received_at = Some(b"2025-06-01T00:00:00.123456Z");
    from_gateway.headers.traceparent = Some(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let judgement = verdict(&from_gateway);
    assert_eq!(judgement.event_id.to_string(), id);
    assert_eq!(judgement.received_at, 1_748_736_000_123_456);
    assert_eq!(judgement.traceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");

    from_gateway.value = Some(GOOD.as_bytes());
    assert_eq!(verdict(&from_gateway).event_id.to_string(), header_id);

    let mut direct = record(GOOD.as_bytes());
    direct.headers.received_at = Some(b"soon");
    direct.headers.traceparent = Some(b"\xff");
    let judgement = verdict(&direct);
    // uuid5(uuid5(NAMESPACE_URL, "urn:the-eye:event"), "eye.events/3/42") as Python computes it.
    assert_eq!(judgement.event_id.to_string(), "583d2b15-51c5-51af-8871-4d3d59932cfc");
    assert_eq!((judgement.received_at, judgement.traceparent), (1_767_225_600_000_000, ""));

    direct.headers.received_at = Some(b"2026-01-01T00:00:59.9Z");
    assert_eq!(verdict(&direct).received_at, 1_767_225_659_900_000, "clocks differ");
    direct.headers.received_at = Some(b"2026-01-01T00:01:01Z");
    assert_eq!(verdict(&direct).received_at, 1_767_225_600_000_000, "but not by more than the tolerance");

    for log_time_ms in [i64::MIN, -1, i64::MAX] {
        verdict(&Record { log_time_ms, ..direct });
    }
}

#[test]
fn an_application_must_be_registered() {
    for app in [None, Some("nobody".as_bytes()), Some(b"\xff\0"), Some("x".repeat(100_000).as_bytes())] {
        let mut record = record(GOOD.as_bytes());
        record.headers.app = app;
        let judgement = verdict(&record);
        assert_eq!(judgement.reasons[0].code, ReasonCode::UnknownApplication);
        assert_eq!(judgement.reasons_total, 1);
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..200), header in vec(any::<u8>(), 0..60)) {
        let mut record = record(&bytes);
        record.headers.event_id = Some(&header);
        record.headers.received_at = Some(&header);
        record.headers.traceparent = Some(&header);
        verdict(&record);
    }

    #[test]
    fn any_text_of_json_marks(text in r#"[\[\]{}",:\\u0-9eE+.truefalsn \-]{0,80}"#) {
        verdict(&record(text.as_bytes()));
        verdict(&record(with_path(&text).as_bytes()));
    }

    #[test]
    fn a_good_event_with_some_bytes_changed(
        changes in vec((any::<Index>(), any::<u8>(), 0..3_u8), 1..6)
    ) {
        let mut bytes = GOOD.as_bytes().to_vec();
        for (place, byte, change) in changes {
            let place = place.index(bytes.len());
            match change {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => drop(bytes.remove(place)),
            }
        }
        verdict(&record(&bytes));
    }
}
