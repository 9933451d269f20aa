//! The reference answers of the demo data (`tests/data/ecom/definitions.md` says what each figure means).

use serde_json::Value;

/// `answers-ecom.json`, whole.
pub fn answers() -> Value {
    serde_json::from_str(include_str!("../data/ecom/answers-ecom.json"))
        .expect("the reference answers are JSON")
}
