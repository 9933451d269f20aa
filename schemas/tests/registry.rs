//! Folders of event types: what is read, and what is refused with which words.

use std::fs;

use schemas::{Registry, RegistryError};
use serde_json::{Value, json};
use tempfile::TempDir;

fn schema(category: &str, name: &str, version: u16, more: Value) -> Value {
    let mut schema = json!({"x-category": category, "x-name": name, "x-version": version, "type": "object"});
    schema.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    schema
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn load(folder: &TempDir) -> Result<Registry, RegistryError> {
    Registry::load(&[folder.path()])
}

#[test]
fn the_file_says_which_type_it_is_and_the_newest_judges() {
    let name = "a/b ünï\u{1F980}";
    let folder = folder(&[
        ("some/where/old.schema.json", &schema("x", name, 9, json!({"title": "nine"})).to_string()),
        ("some/where/new.schema.json", &schema("x", name, 10, json!({"description": "ten"})).to_string()),
        ("some/where/examples/valid/one.json", "{}"),
        (
            "some/where/examples/invalid/two.json",
            r#"{"event": [1,  2], "reasons": [{"code": "not_an_object"}]}"#,
        ),
        ("some/where/notes.json", "this is not read"),
        ("some/where/README.md", "nor this"),
    ]);
    let registry = load(&folder).unwrap();
    let newest = registry.get("x", name).unwrap();
    assert_eq!((newest.version, newest.description.as_deref()), (10, Some("ten")));
    let events: Vec<_> = newest.examples.iter().map(|e| (e.event.as_str(), e.reasons.len())).collect();
    assert_eq!(events, [("[1,  2]", 1), ("{}", 0)]);
    let old = registry.version("x", name, 9).unwrap();
    assert_eq!((old.description.as_deref(), old.examples.len()), (Some("nine"), 0));
    assert_eq!(registry.newest().filter(|t| t.category == "x").count(), 1);
    assert!(registry.get("page interaction", "pageview").is_some(), "the built-in ones are there too");
    assert!(registry.get("x", "old").is_none());
    let alone = Registry::load_only(&[folder.path()]).unwrap();
    assert_eq!(alone.iter().len(), 2);
}

#[test]
fn order_is_by_category_name_version() {
    let registry = Registry::builtin().unwrap();
    let keys: Vec<_> = registry.iter().map(|t| (&t.category, &t.name, t.version)).collect();
    assert!(keys.is_sorted());
}

#[test]
fn the_fingerprint_names_the_content_not_the_place() {
    let one = schema("x", "y", 1, json!({"required": ["a"]}));
    let print = |text: &str, path: &str| load(&folder(&[(path, text)])).unwrap().fingerprint();
    let compact = print(&one.to_string(), "a.schema.json");
    assert_eq!(compact, print(&format!("{one:#}\n"), "deep/er/b.schema.json"));
    assert_ne!(compact, print(&schema("x", "y", 1, json!({"required": ["b"]})).to_string(), "a.schema.json"));
    assert_ne!(compact, print(&schema("x", "y", 2, json!({"required": ["a"]})).to_string(), "a.schema.json"));
    assert_ne!(compact, Registry::builtin().unwrap().fingerprint());
}

#[test]
fn two_files_for_one_version_are_refused() {
    let text = schema("x", "y", 1, json!({})).to_string();
    let error = load(&folder(&[("a.schema.json", &text), ("b.schema.json", &text)])).unwrap_err().to_string();
    assert!(error.contains("a.schema.json and ") && error.contains("b.schema.json both claim"), "{error}");
    assert!(error.contains(r#"version 1 of "x" / "y""#), "{error}");

    let builtin = schema("page interaction", "pageview", 1, json!({})).to_string();
    let error = load(&folder(&[("mine.schema.json", &builtin)])).unwrap_err().to_string();
    assert!(error.contains("pageview/v1.schema.json") && error.contains("mine.schema.json"), "{error}");
}

#[test]
fn a_fault_is_told_with_its_path() {
    let with = |more| schema("x", "y", 1, more).to_string();
    for (path, text, problem) in [
        ("a.schema.json", "{".to_owned(), "EOF"),
        ("a.schema.json", "[]".to_owned(), "is a JSON object"),
        ("a.schema.json", json!({"x-category": "x", "x-version": 1}).to_string(), "x-name"),
        ("a.schema.json", json!({"x-category": "x", "x-name": "y"}).to_string(), "x-version"),
        (
            "a.schema.json",
            schema("", "y", 1, json!({})).to_string(),
            "x-category must have 1 to 255 characters",
        ),
        (
            "a.schema.json",
            schema("x", &"é".repeat(256), 1, json!({})).to_string(),
            "x-name must have 1 to 255",
        ),
        ("a.schema.json", schema("x", "y", 0, json!({})).to_string(), "x-version must be 1 or more"),
        ("a.schema.json", with(json!({"$schema": "http://json-schema.org/draft-07/schema#"})), "2020-12"),
        ("a.schema.json", with(json!({"requried": ["a"]})), "/requried: no keyword"),
        (
            "a.schema.json",
            with(json!({"properties": {"a": {"items": {"typ": 1}}}})),
            "/properties/a/items/typ: no",
        ),
        ("a.schema.json", with(json!({"anyOf": [{}, {"typ": 1}]})), "/anyOf/1/typ: no keyword"),
        ("a.schema.json", with(json!({"properties": {"a": {"minLength": "1"}}})), "/properties/a/minLength"),
        ("a.schema.json", with(json!({"$ref": "https://example.com/"})), "https://example.com/"),
        ("examples/invalid/a.json", "{}".to_owned(), "missing field `reasons`"),
        ("examples/invalid/a.json", r#"{"reasons": []}"#.to_owned(), "either"),
        ("examples/invalid/a.json", r#"{"text": "", "reasons": []}"#.to_owned(), "at least one reason"),
        ("examples/invalid/a.json", r#"{"text": "", "reasons": [{"code": "bad"}]}"#.to_owned(), "bad"),
    ] {
        let error = load(&folder(&[(path, &text)])).unwrap_err().to_string();
        assert!(error.contains(problem), "{error:?} should contain {problem:?}");
        assert!(error.contains(path), "{error:?} should name {path}");
    }
    let error = Registry::load(&["/no/such/folder"]).unwrap_err().to_string();
    assert_eq!(error, "/no/such/folder: can't be read");
}

#[test]
fn changed_schemas_take_the_place_of_the_old_ones() {
    let base = folder(&[("y.schema.json", &schema("x", "y", 1, json!({"title": "old"})).to_string())]);
    let changes = folder(&[
        ("y.schema.json", &schema("x", "y", 1, json!({"title": "new"})).to_string()),
        (
            "pageview.schema.json",
            &schema("page interaction", "pageview", 2, json!({"title": "two"})).to_string(),
        ),
    ]);
    let changed = Registry::load_changed(&[base.path()], changes.path()).unwrap();
    let title = |category, name| changed.get(category, name).unwrap().description.clone().unwrap();
    assert_eq!((title("x", "y").as_str(), title("page interaction", "pageview").as_str()), ("new", "two"));
    assert_eq!(changed.iter().len(), load(&base).unwrap().iter().len() + 1);
}

#[cfg(unix)]
#[test]
fn a_link_to_itself_ends() {
    let folder = folder(&[("a.schema.json", &schema("x", "y", 1, json!({})).to_string())]);
    std::os::unix::fs::symlink(folder.path(), folder.path().join("again")).unwrap();
    let error = load(&folder).unwrap_err().to_string();
    assert!(error.contains("nested deeper"), "{error}");
}

#[test]
fn personal_properties_are_found() {
    let registry = Registry::builtin().unwrap();
    assert_eq!(registry.get("form interaction", "submit").unwrap().personal(), ["/form"]);
    let more = json!({"properties": {
        "a/b": {"properties": {"c": {"x-personal": true}, "d": {"x-personal": false}}}, "e": {}
    }});
    let folder = folder(&[("a.schema.json", &schema("x", "y", 1, more).to_string())]);
    assert_eq!(load(&folder).unwrap().get("x", "y").unwrap().personal(), ["/a~1b/c"]);
}
