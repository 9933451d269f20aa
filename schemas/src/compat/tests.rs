use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use super::*;
use crate::data::tests::any_schema;
use crate::json::tests::any_json;

/// Effect and pointer of each change, in a line each.
fn check(old: Value, new: Value, expected: &[&str]) {
    let changes: Vec<_> =
        compare(&old, &new).iter().map(|c| format!("{:?} {}", c.effect, c.pointer)).collect();
    assert_eq!(changes, expected, "{old} -> {new}");
    let reversed: BTreeSet<_> = compare(&new, &old).iter().map(|c| (c.effect, c.pointer.clone())).collect();
    let mirrored = compare(&old, &new).into_iter().map(|change| {
        let effect = match change.effect {
            Effect::Stricter => Effect::Looser,
            Effect::Looser => Effect::Stricter,
            Effect::Unclear => Effect::Unclear,
        };
        (effect, change.pointer)
    });
    assert_eq!(mirrored.collect::<BTreeSet<_>>(), reversed, "{new} -> {old}");
}

#[test]
fn what_a_change_does() {
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    check(json!({"title": "a", "x-version": 1}), json!({"title": "b", "x-version": 2}), &[]);
    check(json!({"type": "integer"}), json!({"type": "number"}), &["Looser /type"]);
    check(json!({"type": ["string", "null"]}), json!({"type": "string"}), &["Stricter /type"]);
    check(json!({}), json!({"type": ["string", "null"]}), &["Stricter /type"]);
    check(json!({"type": "string"}), json!({"type": "array"}), &["Stricter /type", "Looser /type"]);
    check(
        json!({"required": ["a"]}),
        json!({"required": ["b"]}),
        &["Stricter /required", "Looser /required"],
    );
    check(json!({"maxLength": 10}), json!({"maxLength": 5}), &["Stricter /maxLength"]);
    check(json!({"minimum": 10}), json!({"minimum": 9.5}), &["Looser /minimum"]);
    check(json!({"minItems": 1}), json!({}), &["Looser /minItems"]);
    check(json!({"enum": ["a", "b"]}), json!({"enum": ["b", "c"]}), &["Stricter ", "Looser "]);
    check(json!({"const": "a"}), json!({"enum": ["a", "b"]}), &["Looser "]);
    check(json!({"pattern": "a"}), json!({"pattern": "b"}), &["Unclear /pattern"]);
    check(json!({"format": "date"}), json!({"uniqueItems": false}), &["Looser /format"]);
    check(
        object(json!({"a": {"type": "string"}})),
        object(json!({"a": {"type": "string", "minLength": 1}})),
        &["Stricter /properties/a/minLength"],
    );
    // A property that used to be any is now something; one that used to be something is any again.
    check(
        object(json!({"a": {}})),
        object(json!({"a": {}, "b/": {"type": "null"}})),
        &["Stricter /properties/b~1/type"],
    );
    // A closed object opens for one property.
    check(
        json!({"properties": {"a": {}}, "additionalProperties": false}),
        json!({"properties": {"a": {}, "b": {}}, "additionalProperties": false}),
        &["Looser /properties/b"],
    );
    check(json!({"items": {"minimum": 1}}), json!({"items": false}), &["Stricter /items"]);
    check(json!({"oneOf": [true]}), json!({"oneOf": [false]}), &["Unclear /oneOf"]);
    check(
        json!({"items": {"$ref": "#"}}),
        json!({"items": {"$ref": "#"}, "minLength": 1}),
        &["Stricter /minLength", "Unclear "],
    );
    check(
        json!({"$defs": {"a": {}}, "items": {"$ref": "#/$defs/a"}}),
        json!({"$defs": {"a": {}}, "items": {"$ref": "#/$defs/a"}, "minLength": 1}),
        &["Stricter /minLength"],
    );
}

/// `schema` with the keywords of `other` added, or some of its own taken away, at the top or in a
/// property.
fn changed(mut schema: Value, other: Value, place: Index) -> Value {
    let Some(keywords) = schema.as_object_mut() else { return other };
    if let Some(Value::Object(properties)) = keywords.get_mut("properties")
        && let Some(property) = properties.values_mut().next()
        && place.index(3) == 0
    {
        *property = other;
    } else if let Value::Object(others) = other {
        if place.index(2) == 0 {
            keywords.extend(others);
        } else if let Some(keyword) = keywords.keys().nth(place.index(keywords.len().max(1))).cloned() {
            keywords.remove(&keyword);
        }
    }
    schema
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn without_a_stricter_change_nothing_is_refused_that_was_taken(
        old in any_schema(), other in any_schema(), place: Index, data in any_json()
    ) {
        let new = changed(old.clone(), other, place);
        let effects: Vec<_> = compare(&old, &new).into_iter().map(|change| change.effect).collect();
        let takes = |schema: &Value| {
            let compiled = jsonschema::options().should_validate_formats(true).build(schema).unwrap();
            compiled.is_valid(&data)
        };
        let (was_valid, is_valid) = (takes(&old), takes(&new));
        if !effects.contains(&Effect::Unclear) {
            prop_assert!(effects.contains(&Effect::Stricter) || !was_valid || is_valid, "{} -> {}", old, new);
            prop_assert!(effects.contains(&Effect::Looser) || !is_valid || was_valid, "{} -> {}", old, new);
        }
    }
}
