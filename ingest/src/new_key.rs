//! `ingest keys new APP`: a key, shown once, and what the registry stores of it.

use schemas::apps::sha256_hex;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// A new key of 244 random bits (two UUIDv4 without their hyphens) and its line for the registry.
fn new_key(browser: bool, expires: Option<OffsetDateTime>) -> (String, String) {
    let key = format!("eye_{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let mut line = format!("{{ sha256 = \"{}\"", sha256_hex(key.as_bytes()));
    if let Some(expires) = expires {
        line += &format!(", expires = {}T00:00:00Z", expires.date());
    }
    if browser {
        line += ", browser = true";
    }
    (key, line + " }")
}

/// Prints a new key and what to do with it.
pub fn print(app: &str, browser: bool, expires_in_days: Option<u32>) {
    let expires = expires_in_days.map(|days| OffsetDateTime::now_utc() + Duration::days(i64::from(days) + 1));
    let (key, line) = new_key(browser, expires);
    println!("{key}");
    eprintln!();
    eprintln!(
        "This is the key; it is not shown again. Put this line into the `keys` of the application in the"
    );
    eprintln!("registry (--apps FILE), which is read again by itself:");
    eprintln!();
    eprintln!("[[app]]");
    eprintln!("name = {}", toml::Value::from(app));
    eprintln!("keys = [");
    eprintln!("    {line},");
    eprintln!("]");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use schemas::apps::Apps;

    #[test]
    fn the_line_makes_the_key_valid() {
        let expires = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let (key, line) = new_key(true, Some(expires));
        let apps = Apps::parse(&format!("[[app]]\nname = \"shop\"\nkeys = [{line}]\n")).unwrap();
        let midnight = 1_800_000_000 - 1_800_000_000 % 86_400;
        assert!(apps.app_of_key(key.as_bytes(), midnight - 1).unwrap().browser);
        assert!(apps.app_of_key(key.as_bytes(), midnight).is_none());
        assert_ne!(new_key(false, None).0, key);
    }
}
