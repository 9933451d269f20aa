//! serde_json is the authority on what is JSON and on what it says.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value as Json};

use super::{Document, Kind, Value, plain_length};

fn to_serde(value: Value<'_, '_>) -> Json {
    match value.kind() {
        Kind::Null => Json::Null,
        Kind::True => Json::Bool(true),
        Kind::False => Json::Bool(false),
        Kind::Number => serde_json::from_str(value.raw()).unwrap(),
        Kind::Plain | Kind::Escaped => Json::String(value.as_str().unwrap().into_owned()),
        Kind::Array => {
            assert_eq!(value.elements().count(), value.len());
            Json::Array(value.elements().map(to_serde).collect())
        }
        Kind::Object => {
            assert_eq!(value.members().count(), value.len());
            let member =
                |(key, value): (Value<'_, '_>, _)| (key.as_str().unwrap().into_owned(), to_serde(value));
            Json::Object(value.members().map(member).collect::<Map<_, _>>())
        }
    }
}

fn check(text: &str) {
    let expected = serde_json::from_str::<Json>(text);
    match Document::parse(text) {
        Ok(document) => {
            let root = document.root();
            assert_eq!(to_serde(root), expected.unwrap(), "{text:?}");
            if matches!(root.kind(), Kind::Object | Kind::Array) {
                assert_eq!(root.raw(), text.trim_matches([' ', '\t', '\r', '\n']));
            }
        }
        Err(error) => assert!(expected.is_err(), "{error}: {text:?}"),
    }
}

#[test]
fn depth_ends_where_serde_json_ends() {
    for levels in 120..135 {
        check(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
        check(&format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels)));
    }
}

#[test]
fn numbers_end_where_serde_json_ends() {
    for number in [
        "0",
        "-0",
        "00",
        "01",
        "-",
        "+1",
        ".5",
        "5.",
        "1e",
        "1e+",
        "1E-7",
        "1e308",
        "1.8e308",
        "-1e309",
        "1e-400",
        "0e999999",
        "18446744073709551616",
        "123456789012345678901234567890",
        "0x10",
        "1_000",
        "Infinity",
        "-NaN",
    ] {
        check(number);
        check(&format!("[{number}]"));
    }
    for digits in [299, 300, 301, 308, 309, 310, 5000] {
        check(&"1".repeat(digits));
        check(&format!("-{}.5e-3", "1".repeat(digits)));
        check(&format!("0.{}", "1".repeat(digits)));
    }
}

#[test]
fn repeated_keys_are_found_with_their_pointers() {
    for (text, pointers) in [
        (r#"{"a":1,"b":2}"#, &[][..]),
        (r#"{"a":1,"a":2}"#, &["/a"]),
        (r#"{"a":1,"\u0061":2,"a":3}"#, &["/a", "/a"]),
        (r#"{"x~/y":[0,{"b":[],"c":{},"b":1}]}"#, &["/x~0~1y/1/b"]),
        (r#"[{"k":0},{"k":0}]"#, &[]),
    ] {
        let document = Document::parse(text).unwrap();
        let root = document.root();
        let found: Vec<_> =
            root.repeated_keys().iter().map(|key| root.pointer_to(*key).to_string()).collect();
        assert_eq!(found, pointers, "{text}");
    }
    let many = |last: &str| {
        let keys: Vec<_> = (0..100).map(|n| format!("\"k{n}\":{n}")).collect();
        format!("{{{},{last}:0}}", keys.join(","))
    };
    assert_eq!(Document::parse(&many("\"k100\"")).unwrap().root().repeated_keys().len(), 0);
    assert_eq!(Document::parse(&many("\"k7\"")).unwrap().root().repeated_keys().len(), 1);
    assert_eq!(Document::parse(&many(r#""k\u0037""#)).unwrap().root().repeated_keys().len(), 1);
}

pub(crate) fn any_json() -> impl Strategy<Value = Json> {
    let text = prop_oneof!["[a-d]{0,3}", "[aé🦀\u{0}]{0,4}", any::<String>()];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-3..=3_i64).prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        (-8..=8_i32).prop_map(|n| Json::from(f64::from(n) / 4.0)),
        text.prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let key = prop_oneof!["[a-d]", any::<String>()];
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Json::Array),
            vec((key, inner), 0..6).prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn plain_length_is_that_of_a_plain_loop(input in vec(any::<u8>(), 0..60)) {
        let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
        prop_assert_eq!(plain_length(&input), input.iter().position(special).unwrap_or(input.len()));
    }

    #[test]
    fn any_document_reads_the_same(json in any_json(), pretty: bool) {
        check(&if pretty { serde_json::to_string_pretty(&json).unwrap() } else { json.to_string() });
    }

    #[test]
    fn any_text_of_json_marks_is_taken_or_refused_alike(text in r#"[\[\]{}",:\\u0-9a-fE+. \-]{0,40}"#) {
        check(&text);
    }

    #[test]
    fn any_string_is_taken_or_refused_alike(content in r#"([ -~]|é|🦀|\\["\\/bfnrtu]|\\u[0-9a-fA-F]{4}|\\ud[89ab]00|\\ud[c-f]00|\PC){0,20}"#) {
        check(&format!("\"{content}\""));
        check(&format!("{{\"{content}\":\"{content}\"}}"));
    }

    #[test]
    fn any_cut_is_taken_or_refused_alike(json in any_json(), cut: proptest::sample::Index) {
        let text = json.to_string();
        let mut end = cut.index(text.len() + 1);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        check(&text[..end]);
    }
}
