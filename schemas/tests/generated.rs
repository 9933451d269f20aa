use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_generated_schemas_are_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
    let files = fs::read_dir(&folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), json(&fs::read_to_string(path).unwrap()))
    });
    let derived = schemas::generated().into_iter().map(|(name, text)| (name.to_owned(), json(&text)));
    assert_eq!(files.collect::<BTreeMap<_, _>>(), derived.collect(), "run `make schemas`");
}

/// The envelope's schema says what the judge does, as far as a schema can.
#[test]
fn the_schema_of_the_envelope_agrees_with_the_examples() {
    let generated = schemas::generated();
    let (_, schema) = generated.iter().find(|(name, _)| *name == "event.schema.json").unwrap();
    let schema = serde_json::from_str(schema).unwrap();
    let schema = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let registry = schemas::Registry::builtin().unwrap();
    let (mut fit, mut unfit) = (0, 0);
    for example in registry.iter().flat_map(|event_type| &event_type.examples) {
        let Ok(event) = serde_json::from_str(&example.event) else { continue };
        let is_beyond_a_schema =
            ["no-such-day.json", "repeated-field.json"].iter().any(|n| example.path.ends_with(n));
        let codes: Vec<_> = example.reasons.iter().map(|reason| reason.code.as_str()).collect();
        let is_faulty =
            ["missing_field", "invalid_field", "not_an_object"].iter().any(|code| codes.contains(code));
        let fits = !is_faulty || is_beyond_a_schema;
        assert_eq!(schema.is_valid(&event), fits, "{}", example.path.display());
        if fits { fit += 1 } else { unfit += 1 }
    }
    assert!(fit > 0 && unfit > 0);
}
