//! `jsonschema` on serde_json's values is the authority on what `jsonschema` finds in ours.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{Document, Draft, PatternOptions, Schema};
use crate::json::tests::any_json;

fn options() -> jsonschema::ValidationOptions<'static> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .should_validate_formats(true)
        .with_pattern_options(PatternOptions::regex())
}

/// (pointer, keyword, message) of each error.
fn check(schema: &Json, data: &Json) {
    let text = data.to_string();
    let document = Document::parse(&text).unwrap();
    let ours = Schema::compile(schema).unwrap().0;
    let authority = options().build(schema).unwrap();
    assert_eq!(ours.is_valid(document.root()), authority.is_valid(data), "{schema}\n{data}");
    let mut found: Vec<_> = ours.iter_errors(document.root()).map(described).collect();
    let mut expected: Vec<_> = authority.iter_errors(data).map(described).collect();
    // Members come in the sender's order here and sorted there.
    found.sort();
    expected.sort();
    assert_eq!(found.len(), expected.len(), "{schema}\n{data}");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found[..2], expected[..2], "{schema}\n{data}");
    }
}

fn described(error: jsonschema::ValidationError<'_>) -> [String; 3] {
    [error.instance_path().to_string(), error.kind().keyword().to_owned(), error.masked().to_string()]
}

pub(crate) fn any_schema() -> impl Strategy<Value = Json> {
    let small = 0..4_u64;
    let types = prop_oneof![
        Just(json!("object")),
        Just(json!("array")),
        Just(json!("string")),
        Just(json!("number")),
        Just(json!("integer")),
        Just(json!("boolean")),
        Just(json!("null")),
        Just(json!(["string", "null"])),
    ];
    let leaf = prop_oneof![
        any::<bool>().prop_map(Json::from),
        types.prop_map(|t| json!({"type": t})),
        vec(any_json(), 1..4).prop_map(|values| json!({"enum": values})),
        any_json().prop_map(|value| json!({"const": value})),
        small.clone().prop_map(|n| json!({"minLength": n})),
        small.clone().prop_map(|n| json!({"minLength": n, "maxLength": n + 1})),
        small.clone().prop_map(|n| json!({"maxLength": n, "maxItems": n})),
        small.clone().prop_map(|n| json!({"minItems": n, "minProperties": n})),
        small.clone().prop_map(|n| json!({"maxProperties": n})),
        (-3..3_i64).prop_map(|n| json!({"minimum": n, "exclusiveMaximum": n + 2})),
        (1..8_u32).prop_map(|n| json!({"multipleOf": f64::from(n) / 4.0})),
        vec("[a-d]", 0..3).prop_map(
            |names| json!({"required": names.into_iter().collect::<std::collections::BTreeSet<_>>()})
        ),
        Just(json!({"pattern": "^[a-c]*$"})),
        Just(json!({"uniqueItems": true})),
        Just(json!({"format": "uuid"})),
        Just(json!({"$ref": "#"})),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            (vec(("[a-d]", inner.clone()), 0..4), inner.clone()).prop_map(|(properties, rest)| {
                let properties: serde_json::Map<_, _> = properties.into_iter().collect();
                json!({"properties": properties, "additionalProperties": rest})
            }),
            vec(("[a-d]", inner.clone()), 1..4).prop_map(|properties| {
                let required: Vec<_> = properties.iter().map(|(name, _)| name.clone()).collect();
                let required: std::collections::BTreeSet<_> = required.into_iter().collect();
                let properties: serde_json::Map<_, _> = properties.into_iter().collect();
                json!({"type": "object", "properties": properties, "required": required, "unevaluatedProperties": false})
            }),
            (vec(inner.clone(), 1..3), inner.clone()).prop_map(|(first, rest)| json!({"prefixItems": first, "items": rest})),
            inner.clone().prop_map(|s| json!({"items": s})),
            inner.clone().prop_map(|s| json!({"contains": s})),
            inner.clone().prop_map(|s| json!({"propertyNames": s})),
            inner.clone().prop_map(|s| json!({"not": s})),
            inner.clone().prop_map(|s| json!({"patternProperties": {"^[ab]": s}})),
            vec(inner.clone(), 1..3).prop_map(|s| json!({"allOf": s})),
            vec(inner.clone(), 1..3).prop_map(|s| json!({"anyOf": s})),
            vec(inner.clone(), 1..3).prop_map(|s| json!({"oneOf": s})),
            vec(inner, 3).prop_map(|s| json!({"if": s[0], "then": s[1], "else": s[2]})),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_schema_finds_the_same_in_any_data(schema in any_schema(), data in any_json()) {
        check(&schema, &data);
    }
}

#[test]
fn a_schema_that_would_surprise_its_author_is_refused() {
    for (schema, problem) in [
        (json!({"$ref": "https://example.com/other.json"}), "https://example.com/other.json"),
        (json!({"$ref": "file:///etc/passwd"}), "file:///etc/passwd"),
        (json!({"$ref": "#/$defs/missing"}), "missing"),
        (json!({"type": "text"}), "text"),
        (json!({"required": "host"}), "host"),
        (json!({"pattern": "("}), "("),
        (json!({"pattern": "(?=a)b"}), "(?=a)b"),
        (json!({"properties": {"at": {"format": "date-tim"}}}), "date-tim"),
        (json!([]), "[]"),
    ] {
        let error = Schema::compile(&schema).map(|_| ()).unwrap_err();
        assert!(error.contains(problem), "{schema}: {error}");
    }
}

#[test]
fn no_pattern_takes_long() {
    let schema = Schema::compile(&json!({"pattern": "^(a+)+$"})).unwrap();
    let text = format!("\"{}!\"", "a".repeat(100_000));
    assert!(!schema.0.is_valid(Document::parse(&text).unwrap().root()));
}

#[test]
fn lengths_count_characters() {
    for text in ["", "a", "é", "aé", "🦀", "🦀🦀", "é🦀a\n", "\"\\", "aaaaaaaaa"] {
        for (min, max) in (0..6_u64).flat_map(|min| (0..8_u64).map(move |max| (min, max))) {
            check(&json!({"minLength": min, "maxLength": max}), &json!(text));
            check(&json!({"minLength": min}), &json!(text));
            check(&json!({"maxLength": max}), &json!(text));
        }
    }
}
