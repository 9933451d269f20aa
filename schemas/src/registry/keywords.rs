//! The keywords that a schema may have, and the schemas inside a schema.

use serde_json::Value;

/// The kind of value that a keyword of JSON Schema 2020-12 has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    NoSchema,
    Schema,
    ListOfSchemas,
    MapOfSchemas,
}

fn holds(keyword: &str) -> Option<Holds> {
    Some(match keyword {
        "additionalProperties"
        | "unevaluatedProperties"
        | "propertyNames"
        | "items"
        | "contains"
        | "unevaluatedItems"
        | "not"
        | "if"
        | "then"
        | "else"
        | "contentSchema" => Holds::Schema,
        "allOf" | "anyOf" | "oneOf" | "prefixItems" => Holds::ListOfSchemas,
        "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
            Holds::MapOfSchemas
        }
        "$schema" | "$id" | "$ref" | "$anchor" | "$dynamicRef" | "$dynamicAnchor" | "$vocabulary"
        | "$comment" | "title" | "description" | "default" | "deprecated" | "readOnly" | "writeOnly"
        | "examples" | "type" | "enum" | "const" | "multipleOf" | "maximum" | "exclusiveMaximum"
        | "minimum" | "exclusiveMinimum" | "maxLength" | "minLength" | "pattern" | "maxItems"
        | "minItems" | "uniqueItems" | "maxContains" | "minContains" | "maxProperties" | "minProperties"
        | "required" | "dependentRequired" | "format" | "contentEncoding" | "contentMediaType" => {
            Holds::NoSchema
        }
        _ if keyword.starts_with("x-") => Holds::NoSchema,
        _ => return None,
    })
}

/// The keywords of ours.
const OURS: [&str; 4] = ["x-category", "x-name", "x-version", "x-personal"];

/// The keyword of ours that a misspelt one means. Nobody would heed the misspelt one, and a value that is to be hashed
/// would be in the log for ever.
fn nearly(keyword: &str) -> Option<&'static str> {
    if !keyword.to_ascii_lowercase().starts_with("x-") || OURS.contains(&keyword) {
        return None;
    }
    let distance = |ours: &str| strsim::damerau_levenshtein(&keyword.to_ascii_lowercase(), ours);
    // A short one has many words two letters away: x-time, x-page, x-note.
    OURS.into_iter().find(|ours| distance(ours) <= if ours.len() > "x-name".len() { 2 } else { 1 })
}

/// One more name in a JSON pointer.
pub(crate) fn below(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The schema and all that are inside it, with JSON pointers to them.
///
/// # Errors
/// A key that JSON Schema would ignore: `requried` must not pass for no requirement.
pub(crate) fn subschemas(schema: &Value) -> Result<Vec<(String, &Value)>, String> {
    let mut found = Vec::new();
    let mut schemas = vec![(String::new(), schema)];
    while let Some((pointer, schema)) = schemas.pop() {
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            let at = below(&pointer, keyword);
            if let Some(meant) = nearly(keyword) {
                return Err(format!("{at}: did you mean {meant}?"));
            }
            match holds(keyword) {
                None => return Err(format!("{at}: no keyword of JSON Schema, and does not begin with x-")),
                Some(Holds::NoSchema) => {}
                Some(Holds::Schema) => schemas.push((at, value)),
                Some(Holds::ListOfSchemas) => {
                    let list = value.as_array().into_iter().flatten().enumerate();
                    schemas.extend(list.map(|(place, schema)| (format!("{at}/{place}"), schema)));
                }
                Some(Holds::MapOfSchemas) => {
                    let map = value.as_object().into_iter().flatten();
                    schemas.extend(map.map(|(name, schema)| (below(&at, name), schema)));
                }
            }
        }
        found.push((pointer, schema));
    }
    Ok(found)
}
