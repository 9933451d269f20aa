#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

fn ids(json: &str) -> (Option<&str>, Option<&str>) {
    let (scanned, _) = scan(json.as_bytes(), 0).unwrap();
    let utf8 = |token| std::str::from_utf8(token).unwrap();
    (scanned.session_id.map(utf8), scanned.event_id.map(utf8))
}

#[test]
fn finds_the_ids_at_the_top_only() {
    assert_eq!(ids(r#"{"session_id":"a","event_id":7}"#), (Some("\"a\""), Some("7")));
    assert_eq!(ids(r#"{"data":{"session_id":"a"},"x":["event_id"]}"#), (None, None));
    assert_eq!(ids(r#"{"session_id":"a","session_id":"b"}"#), (Some("\"b\""), None));
    assert_eq!(ids(r#"{"session_id":"a","session_id":["b"]}"#), (Some("{}"), None));
    assert_eq!(ids(r#"{"session\u005fid":"a"}"#), (Some("\"a\""), None));
    assert_eq!(ids(r#"[{"session_id":"a"}]"#), (None, None));
}

#[test]
fn finds_the_type_and_whether_it_is_one() {
    let of = |json: &'static str| {
        let (scanned, _) = scan(json.as_bytes(), 0).unwrap();
        let utf8 = |token: &'static [u8]| std::str::from_utf8(token).unwrap();
        (scanned.category.map(utf8), scanned.name.map(utf8), scanned.is_ambiguous)
    };
    assert_eq!(of(r#"{"category":"a","name":"b"}"#), (Some("\"a\""), Some("\"b\""), false));
    assert_eq!(of(r#"{"n\u0061me":"b","data":{"name":"c","category":"d"}}"#), (None, Some("\"b\""), false));
    assert_eq!(of(r#"{"name":"b","\u006eame":"c"}"#), (None, Some("\"c\""), true));
    assert_eq!(of(r#"{"category":"b","category":[]}"#), (Some("{}"), None, true));
    assert_eq!(of(r#"["category","name"]"#), (None, None, false));
}

#[test]
fn a_value_is_cut_out_exactly() {
    let body = b" [1, {\"a\": [] }]  x";
    let (scanned, end) = scan(body, 0).unwrap();
    assert_eq!((scanned.bytes, end), (&body[1..16], 16));
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(scan(nested(127).as_bytes(), 0).is_ok());
    assert_eq!(scan(nested(128).as_bytes(), 0).unwrap_err().why, "nested more than 127 deep");
    assert!(scan("{\"a\":".repeat(1_000_000).as_bytes(), 0).is_err());
}

/// Like serde_json, which builds nothing here either; and all of the input, as a body of one event is.
fn agrees(input: &[u8]) {
    let ours = scan(input, 0).is_ok_and(|(_, end)| skip_white_space(input, end) == input.len());
    let theirs = serde_json::from_slice::<IgnoredAny>(input).is_ok();
    // IgnoredAny does not look at the UTF-8 of strings, and nor does the scanner.
    assert_eq!(ours, theirs, "{:?}", String::from_utf8_lossy(input));
}

#[test]
fn numbers_literals_and_escapes_as_serde_json_takes_them() {
    for input in [
        "0",
        "-0",
        "01",
        "-",
        "1.",
        "1.5",
        ".5",
        "1e",
        "1e+",
        "1E-9",
        "1e400",
        "true",
        "tru",
        "nul",
        "null",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\x\"",
        "\"a\nb\"",
        "\"",
        "",
        " ",
        "[1,]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "[}",
        "{]",
        "[1 2]",
        "1 2",
        "\u{feff}1",
        "{1:2}",
        "[[]",
        "{\"a\":{}",
        "\"\u{7f}é\"",
    ] {
        agrees(input.as_bytes());
    }
}

/// JSON texts with all that a scanner can go wrong on.
fn document() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "null",
        "true",
        "false",
        "-0",
        "120",
        "1.50e-09",
        r#""""#,
        r#""a\u00e9\n\\""#,
        r#""\ud800""#,
        r#""é   ""#,
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 4, |inner| {
        let array = |elements: Vec<String>| format!("[{}]", elements.join(" ,"));
        let object = |members: Vec<(String, String)>| {
            let members: Vec<_> = members.iter().map(|(key, value)| format!("{key} :{value}")).collect();
            format!("{{ {}}}", members.join(", "))
        };
        let member = (r#""[a-c\\\\]{0,9}""#.prop_map(|key| key.replace('\\', "\\\\")), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(array),
            prop::collection::vec(member, 0..4).prop_map(object),
        ]
    })
}

proptest! {
    #[test]
    fn documents_are_taken(json in document()) {
        prop_assert!(scan(json.as_bytes(), 0).is_ok_and(|(_, end)| end == json.len()), "{}", json);
    }

    /// One byte more, one less, another one, or a cut: half of the texts are JSON no more, and half still are.
    #[test]
    fn agrees_with_serde_json_on_documents_with_a_change(
        json in document(),
        at: prop::sample::Index,
        change in 0..4,
        byte in prop::sample::select(br#"[]{}",:0-9eE.+ \ua"#.to_vec()),
    ) {
        let mut bytes = json.into_bytes();
        let at = at.index(bytes.len());
        match change {
            0 => bytes.insert(at, byte),
            1 => drop(bytes.remove(at)),
            2 => bytes[at] = byte,
            _ => bytes.truncate(at),
        }
        agrees(&bytes);
    }

    #[test]
    fn agrees_with_serde_json_on_nearly_json(input in r#"[\[\]{}",:0-9eE.+\-a-u\\ ]{0,30}"#) {
        agrees(input.as_bytes());
    }
}
