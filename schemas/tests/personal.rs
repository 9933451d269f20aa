//! Personal values: which marks are taken, what is replaced, and that nothing marked is left, whatever is sent.

use std::fs;
use std::sync::{Arc, LazyLock};

use proptest::collection::vec;
use proptest::prelude::*;
use schemas::apps::Apps;
use schemas::personal::Masking;
use schemas::{Headers, Judge, ReasonCode, Record, Registry, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

const KEY: &[u8] = b"key";

/// A registry of `a` / `b` with these properties of `data`.
fn registry_of(properties: Value) -> Result<Registry, String> {
    registry_with(json!({"type": "object", "properties": properties}), &[])
}

fn registry_with(mut schema: Value, examples: &[&str]) -> Result<Registry, String> {
    let claims = json!({"x-category": "a", "x-name": "b", "x-version": 1});
    schema.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("b.schema.json"), schema.to_string()).unwrap();
    fs::create_dir_all(folder.path().join("examples/valid")).unwrap();
    for (place, example) in examples.iter().enumerate() {
        fs::write(folder.path().join(format!("examples/valid/{place}.json")), example).unwrap();
    }
    Registry::load_only(&[folder.path()]).map_err(|error| error.to_string())
}

/// Marks in every way there is.
fn registry() -> Registry {
    let redact = || json!({"type": "string", "x-personal": "redact"});
    let hash = || json!({"type": ["string", "integer"], "x-personal": "hash"});
    registry_of(json!({
        "email": redact(),
        "user": hash(),
        "a/b~c \u{1F980}": redact(),
        "plain": {"x-personal": true},
        "form": {"type": ["object", "null"], "properties": {"kept": {"type": "string"}}, "additionalProperties": redact()},
        "people": {"type": "array", "items": {"type": "object", "properties": {"name": redact(), "id": hash()}}},
        "rows": {"type": "array", "items": {"type": "array", "items": hash()}},
        "whole": {"x-personal": "redact"},
    }))
    .unwrap()
}

fn masking() -> &'static Masking {
    static MASKING: LazyLock<Masking> = LazyLock::new(|| Masking::new(&registry(), Some(KEY)).unwrap());
    &MASKING
}

fn event(data: &str) -> String {
    format!(r#" {{"category" : "a","name":"b", "data": {data} ,"x":[1.50]}}"#)
}

/// Data before and after.
fn check(data: &str, expected: &str) {
    assert_eq!(masking().mask(&event(data), true).unwrap(), event(expected));
}

/// `printf john | openssl dgst -sha256 -hmac key`
const JOHN: &str = "884b040305416439a8d2c690d27fc347f00db3ebdd64450200148a85789b22be";

#[test]
fn only_the_marked_values_change() {
    check(
        r#"{"email":"a@b.c", "plain": "kept"  , "other":{"email":"kept"}}"#,
        r#"{"email":"[redacted]", "plain": "kept"  , "other":{"email":"kept"}}"#,
    );
    check("{ }", "{ }");
    check(
        r#"{"form": {"kept":"1","first name":"x", "n":{"deep":[1]}}}"#,
        r#"{"form": {"kept":"1","first name":"[redacted]", "n":"[redacted]"}}"#,
    );
    check(r#"{"form":null, "people":[]}"#, r#"{"form":null, "people":[]}"#);
    check(
        r#"{"people":[{"name":"x","age":7}, {"name" :"y"}]}"#,
        r#"{"people":[{"name":"[redacted]","age":7}, {"name" :"[redacted]"}]}"#,
    );
    check(
        r#"{"whole":[{"a":1}], "a\/b~c \ud83e\udd80":"x"}"#,
        r#"{"whole":"[redacted]", "a\/b~c \ud83e\udd80":"[redacted]"}"#,
    );
}

#[test]
fn equal_values_have_equal_hashes_and_other_keys_other_ones() {
    let hash_of = |masking: &Masking, value: &str| {
        let masked: Value =
            serde_json::from_str(&masking.mask(&event(&format!("{{\"user\":{value}}}")), true).unwrap())
                .unwrap();
        masked["data"]["user"].as_str().unwrap().to_owned()
    };
    let (ours, other) = (masking(), Masking::new(&registry(), Some(b"another")).unwrap());
    assert_eq!(hash_of(ours, "\"john\""), JOHN);
    assert_eq!(hash_of(ours, r#""\u006aohn""#), JOHN);
    assert_ne!(hash_of(ours, "\"jane\""), JOHN);
    assert_ne!(hash_of(&other, "\"john\""), JOHN);
    // A number as it is written.
    assert_eq!(hash_of(ours, "42"), hash_of(ours, "\"42\""));
    let people =
        masking().mask(&event(r#"{"people":[{"id":"john"}],"rows":[["john"],["john"]]}"#), true).unwrap();
    assert_eq!(people.matches(JOHN).count(), 3);
}

#[test]
fn only_types_with_marks_are_concerned() {
    let masking = masking();
    assert!(masking.concerns("a", "b") && !masking.concerns("a", "c") && !masking.concerns("b", "b"));
    assert!(!masking.is_empty());
    // Those that are built in are marked for people only.
    let builtin = Masking::new(&Registry::builtin().unwrap(), None).unwrap();
    assert!(builtin.is_empty());
    let other = event(r#"{"email":"x"}"#).replace("\"b\"", "\"c\"");
    assert_eq!(masking.mask(&other, true).unwrap(), other);
}

#[test]
fn hashes_need_a_key() {
    let error = Masking::new(&registry(), None).unwrap_err().to_string();
    assert!(error.contains("needs a key"), "{error}");
    let redacted = registry_of(json!({"x": {"x-personal": "redact"}})).unwrap();
    assert!(Masking::new(&redacted, None).unwrap().concerns("a", "b"));
}

#[test]
fn a_malformed_event_has_more_replaced() {
    // Readers differ on which of a repeated key counts: all of them do.
    check(
        r#"{"email":"x","email":"y","\u0065mail":["z"]}"#,
        r#"{"email":"[redacted]","email":"[redacted]","\u0065mail":"[redacted]"}"#,
    );
    let twice =
        r#"{"data":{"email":"x"},"category":"a","name":"c","name":"b","category":"z","data":{"email":"y"}}"#;
    assert_eq!(
        masking().mask(twice, true).unwrap(),
        twice.replace("\"x\"", "\"[redacted]\"").replace("\"y\"", "\"[redacted]\"")
    );
    // Something else in the place of what has marked parts.
    check(r#"{"form":"John Doe","people":{"name":"x"}}"#, r#"{"form":"[redacted]","people":"[redacted]"}"#);
    check(
        r#"{"people":[["x"],"y",null,true],"rows":[[["john"]],7]}"#,
        &format!(
            r#"{{"people":["[redacted]","[redacted]",null,true],"rows":[["{}"],"[redacted]"]}}"#,
            masking().mask(&event(r#"{"user":["john"]}"#), true).unwrap().split('"').nth(13).unwrap()
        ),
    );
    check(r#""a@b.c""#, r#""[redacted]""#);
    // No JSON for every reader.
    for unreadable in [r#"{"email":"\ud800"}"#, r#"{"n":1e400}"#, "{\"email\":\"\n\"}"] {
        assert!(masking().mask(&event(unreadable), true).is_err(), "{unreadable}");
    }
}

#[test]
fn a_mark_that_cannot_work_is_refused_with_its_reason() {
    let marked = |schema: Value| {
        let mut schema = schema;
        schema["x-personal"] = "hash".into();
        json!({"p": schema})
    };
    let string = || json!({"type": "string", "x-personal": "redact"});
    for (properties, place, why) in [
        (json!({"p": {"x-personal": "hide"}}), "/properties/p/x-personal", "must be true"),
        (marked(json!({"type": "integer"})), "/properties/p", "64 hexadecimal digits: allow it"),
        (marked(json!({"maxLength": 63})), "/properties/p", "allow it"),
        (json!({"p": {"format": "email", "x-personal": "redact"}}), "/properties/p", "[redacted]"),
        (json!({"p": {"enum": ["m", "f"], "x-personal": "redact"}}), "/properties/p", "allow it"),
        (
            json!({"p": {"anyOf": [string()]}}),
            "/properties/p/anyOf/0",
            "properties, items and additionalProperties",
        ),
        (json!({"p": {"properties": {"q": string()}}}), "/properties/p", "must be \"object\""),
        (
            json!({"p": {"type": ["object", "string"], "properties": {"q": string()}}}),
            "/properties/p",
            "must be \"object\"",
        ),
        (json!({"p": {"type": "object", "items": string()}}), "/properties/p", "must be \"array\""),
        (
            json!({"p": {"type": "array", "uniqueItems": true, "items": string()}}),
            "/properties/p",
            "uniqueItems",
        ),
        (
            json!({"p": {"type": "array", "prefixItems": [{}], "items": string()}}),
            "/properties/p",
            "prefixItems",
        ),
        (
            json!({"p": {"type": "object", "patternProperties": {"a": {}}, "additionalProperties": string()}}),
            "/properties/p",
            "patternProperties",
        ),
    ] {
        let error = registry_of(properties.clone()).unwrap_err();
        assert!(error.contains(&format!(" {place}")) && error.contains(why), "{properties}\n{error}");
    }
    let whole = registry_with(json!({"type": "object", "x-personal": "redact"}), &[]).unwrap_err();
    assert!(whole.contains("single values"), "{whole}");
    let hidden = json!({"$defs": {"d": {"type": "object", "properties": {"q": string()}}}, "properties": {"p": {"$ref": "#/$defs/d"}}});
    assert!(registry_with(hidden, &[]).unwrap_err().contains("/$defs/d/properties/q"));
    // The examples show what holds of several values together.
    let together = json!({"type": "object", "properties": {"p": string()}, "not": {"properties": {"p": {"const": "[redacted]"}}}});
    let example = event(r#"{"p":"x"}"#);
    assert!(registry_with(together.clone(), &[]).is_ok());
    assert!(registry_with(together, &[&example]).unwrap_err().contains("not valid any more"));
}

#[test]
fn a_reference_below_a_mark_and_marks_inside_one_are_taken() {
    let schema = json!({
        "$defs": {"text": {"type": "string"}, "inner": {"x-personal": true}},
        "properties": {"p": {"$ref": "#/$defs/text", "x-personal": "hash"}, "q": {"x-personal": "redact", "properties": {"r": {"x-personal": "hash"}}}},
    });
    let registry = registry_with(schema, &[&event(r#"{"p":"x"}"#)]).unwrap();
    assert_eq!(registry.get("a", "b").unwrap().personal(), ["/p", "/q/r", "/q"]);
}

/// The value that no masked event may have.
const CANARY: &str = "kanarienvogel";

fn any_json(depth: u32) -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(format!("\"{CANARY}\"")),
        Just(format!("\"\\u006banarienvogel {CANARY}\"")),
        Just("null".into()),
        Just("true".into()),
        Just("-1.50e+2".into()),
    ];
    leaf.prop_recursive(depth, 32, 4, |inner| {
        let space = "[ \n\t]{0,2}";
        let member = (key(), space, inner.clone())
            .prop_map(|(key, space, value)| format!("{space}{key}{space}:{space}{value}"));
        prop_oneof![
            vec(inner, 0..4).prop_map(|elements| format!("[{}]", elements.join(" ,"))),
            vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(", "))),
        ]
    })
}

/// Keys that are marked, also with escapes, and keys that are not.
fn key() -> impl Strategy<Value = String> {
    let keys = [
        "email",
        "em\\u0061il",
        "user",
        "form",
        "f\\u006frm",
        "people",
        "name",
        "id",
        "rows",
        "whole",
        "plain",
        "kept",
        "other",
        "\\\"email",
    ];
    proptest::sample::select(keys.to_vec()).prop_map(|key| format!("\"{key}\""))
}

/// Where a canary may stay: what is marked nowhere.
fn without_unmarked(value: &Value, marks: &str) -> usize {
    let count = |value: &Value| value.to_string().matches(CANARY).count();
    match (marks, value) {
        ("data", Value::Object(members)) => members
            .iter()
            .map(|(key, value)| match key.as_str() {
                "email" | "user" | "whole" => count(value),
                "form" => without_unmarked(value, "form"),
                "people" => without_unmarked(value, "people"),
                "rows" => count(value),
                _ => 0,
            })
            .sum(),
        ("form", Value::Object(members)) => {
            members.iter().filter(|(key, _)| *key != "kept").map(|(_, value)| count(value)).sum()
        }
        ("people", Value::Array(people)) => {
            people.iter().map(|person| without_unmarked(person, "person")).sum()
        }
        ("person", Value::Object(members)) => members
            .iter()
            .filter(|(key, _)| matches!(key.as_str(), "name" | "id"))
            .map(|(_, value)| count(value))
            .sum(),
        _ => count(value),
    }
}

proptest! {
    #[test]
    fn no_marked_value_is_left_and_all_else_stays(data in any_json(5)) {
        let sent = event(&data);
        let masked = masking().mask(&sent, true).unwrap();
        let parsed: Value = serde_json::from_str(&masked).unwrap();
        prop_assert_eq!(without_unmarked(&parsed["data"], "data"), 0, "{}", masked);
        // The pieces between what was replaced are the sender's own, in order.
        let mut rest = sent.as_str();
        for piece in masked.split("\"[redacted]\"").flat_map(split_hashes) {
            let at = rest.find(&piece);
            prop_assert!(at.is_some(), "{} is not in {}", piece, rest);
            rest = &rest[at.unwrap() + piece.len()..];
        }
        // Nothing is replaced in what is not marked.
        let unmarked = sent.replace("\"b\"", "\"c\"");
        prop_assert_eq!(masking().mask(&unmarked, true).unwrap(), unmarked);
    }

    #[test]
    fn what_was_valid_stays_valid(
        email in any::<String>(), user in any::<i64>(), fields in vec((any::<String>(), any::<String>()), 0..4), names in vec(any::<String>(), 0..3)
    ) {
        let fields: serde_json::Map<_, _> = fields.into_iter().map(|(key, value)| (key, value.into())).collect();
        let people: Vec<_> = names.iter().map(|name| json!({"name": name, "id": name})).collect();
        let event = json!({
            "session_id": "e2085be5-9137-4e4e-80b5-f1ffddc25423", "category": "a", "name": "b", "timestamp": "2021-01-01 09:15:27",
            "data": {"email": email, "user": user, "form": fields, "people": people, "rows": [[user]]},
        });
        let judge = Judge::new(Arc::new(registry()), Arc::new(Apps::from_iter(["demo"])), Settings::default());
        let verdict = |text: &str| {
            let headers = Headers { app: Some(b"demo"), ..Headers::default() };
            let record = Record { value: Some(text.as_bytes()), headers, log_time_ms: 1_767_225_600_000, ..Record::default() };
            judge.judge(&record).reasons
        };
        prop_assert_eq!(verdict(&event.to_string()), vec![]);
        prop_assert_eq!(verdict(&masking().mask(&event.to_string(), true).unwrap()), vec![]);
    }

    #[test]
    fn any_text_is_masked_or_refused_as_the_judge_reads_it(text in ".{0,60}") {
        let is_json = serde_json::from_str::<Value>(&text).is_ok();
        prop_assert_eq!(masking().mask(&text, true).is_ok(), is_json);
    }
}

/// Without the texts of 64 hexadecimal digits.
fn split_hashes(piece: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut rest = piece;
    while let Some(quote) = rest.find('"') {
        let (before, after) = rest.split_at(quote);
        pieces.last_mut().unwrap().push_str(before);
        let hash = after.get(1..65).filter(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if hash.is_some() && after[65..].starts_with('"') {
            pieces.push(String::new());
            rest = &after[66..];
        } else {
            pieces.last_mut().unwrap().push('"');
            rest = &after[1..];
        }
    }
    pieces.last_mut().unwrap().push_str(rest);
    pieces
}

#[test]
fn deep_and_long_events_take_no_stack_and_no_age() {
    let deep = |levels| event(&format!("{{\"whole\":{}{}}}", "[".repeat(levels), "]".repeat(levels)));
    assert_eq!(masking().mask(&deep(125), true).unwrap(), event("{\"whole\":\"[redacted]\"}"));
    assert!(masking().mask(&deep(200_000), true).is_err());
    let many = format!("{{{}\"data\":{{}}}}", "\"category\":\"a\",\"name\":\"b\",".repeat(40_000));
    assert_eq!(masking().mask(&many, true).unwrap(), many);
    let long = masking().mask(&event(&format!("{{\"rows\":[[{}1]]}}", "1,".repeat(100_000))), true).unwrap();
    assert_eq!(long.matches(&long[long.len() - 80..long.len() - 20][..10]).count(), 100_001);
}

#[test]
fn the_reason_of_an_unreadable_event_is_that_of_the_judge() {
    let judge = Judge::new(Arc::new(registry()), Arc::new(Apps::from_iter(["demo"])), Settings::default());
    let unreadable = event(r#"{"email":"\ud800"}"#);
    let judged = judge.judge(&Record { value: Some(unreadable.as_bytes()), ..Record::default() });
    assert!(judged.reasons.iter().any(|reason| reason.code == ReasonCode::InvalidJson));
}
