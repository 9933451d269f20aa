use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::Proposal;
use crate::data::Schema;
use crate::json::Document;
use crate::json::tests::any_json;

fn proposed(samples: &[Value]) -> Value {
    let mut proposal = Proposal::default();
    for sample in samples {
        proposal.add(sample);
    }
    proposal.schema("cart", "gift")
}

#[test]
fn says_what_the_samples_show() {
    let mut samples = vec![
        json!({"id": "0b6cbd1d-6f2a-4b62-9d0c-6f1f0f4f3b0a", "at": "2021-01-01T09:15:27Z", "price": 3, "tags": []}),
        json!({"id": "1b6cbd1d-6f2a-4b62-9d0c-6f1f0f4f3b0a", "at": "2021-01-02T09:15:27Z", "price": 4.5, "tags": ["a"], "n": null}),
    ];
    samples.extend((0..40).map(|n| {
        let colour = ["red", "blue"][n % 2];
        json!({"id": "2b6cbd1d-6f2a-4b62-9d0c-6f1f0f4f3b0a", "at": "2021-01-02T09:15:27Z", "price": n, "tags": [colour], "n": -1})
    }));
    let schema = proposed(&samples);
    assert_eq!(
        schema,
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "x-category": "cart", "x-name": "gift", "x-version": 1,
            "$comment": "proposed from 42 events",
            "type": "object",
            "properties": {
                "at": {"type": "string", "minLength": 1, "format": "date-time"},
                "id": {"type": "string", "minLength": 1, "format": "uuid"},
                "n": {"type": ["integer", "null"]},
                "price": {"type": "number", "minimum": 0},
                "tags": {"type": "array", "items": {
                    "type": "string", "minLength": 1,
                    "$comment": "an enumeration? seen: \"a\", \"blue\", \"red\""
                }}
            },
            "required": ["at", "id", "price", "tags"]
        })
    );
}

#[test]
fn many_names_are_a_map() {
    let map: serde_json::Map<_, _> = (0..101).map(|n| (n.to_string(), json!(n))).collect();
    assert_eq!(proposed(&[json!({"a": map})])["properties"], json!({"a": {"type": "object"}}));
    let growing: Vec<_> = (0..101).map(|n| json!({n.to_string(): n})).collect();
    assert_eq!(proposed(&growing).get("properties"), None);
}

proptest! {
    #[test]
    fn takes_all_its_samples(samples in vec(any_json(), 0..6)) {
        let schema = proposed(&samples);
        crate::registry::keywords::subschemas(&schema).unwrap();
        let compiled = Schema::compile(&schema).unwrap();
        for sample in &samples {
            let text = sample.to_string();
            let document = Document::parse(&text).unwrap();
            let mut reasons = crate::reason::Reasons::default();
            compiled.check(document.root(), &mut reasons);
            prop_assert_eq!(reasons.finish().0, [], "{} {}", schema, sample);
        }
    }
}
