//! The registry of applications and readers: who may send events, who may ask, and with which keys.
//!
//! ```toml
//! [[app]]
//! name = "shop"                            # what the log's header `app` says
//! rate = 500                               # events a second on average (default 1000)
//! burst = 5000                             # events at once (default ten seconds of `rate`)
//! networks = ["10.0.0.0/8"]                # if given, requests must come from there, too
//! origins = ["https://shop.example.com"]   # pages that may send from a browser
//! keys = [
//!     { sha256 = "...", expires = 2027-01-01T00:00:00Z },   # `ingest keys new shop` prints such a line
//!     { sha256 = "...", browser = true },                   # may be seen by anyone: can only write
//! ]
//!
//! [[reader]]
//! name = "analytics"                       # may use the query API
//! rate = 20                                # requests a second on average (default 100)
//! keys = [{ sha256 = "..." }]
//! ```
//!
//! A key is 256 random bits, so its plain SHA-256 can be stored: there is nothing to guess. Looking up
//! the hash in a map also means that the time of a look-up says nothing about how close a guess was.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// Everybody who is known. The default knows nobody.
#[derive(Debug, Clone, Default)]
pub struct Apps {
    apps: Vec<App>,
    readers: Vec<Reader>,
    by_name: HashMap<String, usize>,
    by_hash: HashMap<[u8; 32], (Owner, Key)>,
}

/// An application that may send events.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    pub name: String,
    /// Events a second on average.
    #[serde(default = "App::default_rate")]
    pub rate: u32,
    /// Events at once; ten seconds of `rate` if not given.
    #[serde(default)]
    pub burst: Option<u32>,
    #[serde(default)]
    pub networks: Vec<IpNet>,
    /// Origins of pages, as browsers write them: `https://shop.example.com`. `*` is all of them.
    #[serde(default)]
    pub origins: Vec<String>,
    #[serde(default)]
    keys: Vec<KeyEntry>,
}

/// Somebody who may ask questions.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reader {
    pub name: String,
    /// Requests a second on average.
    #[serde(default = "Reader::default_rate")]
    pub rate: u32,
    #[serde(default)]
    keys: Vec<KeyEntry>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    sha256: String,
    #[serde(default)]
    expires: Option<toml::value::Datetime>,
    #[serde(default)]
    browser: bool,
}

#[derive(Debug, Clone, Copy)]
struct Key {
    /// Seconds since 1970.
    expires: Option<i64>,
    browser: bool,
}

#[derive(Debug, Clone, Copy)]
enum Owner {
    App(usize),
    Reader(usize),
}

/// Why a registry was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AppsError {
    #[error("cannot read {path}")]
    Read { path: String, source: std::io::Error },
    #[error("not a registry of applications: {0}")]
    Syntax(String),
    #[error("{0}")]
    Content(String),
}

/// What a valid key of an application allows.
#[derive(Debug, Clone, Copy)]
pub struct AppKey<'a> {
    pub app: &'a App,
    /// The application's place in the registry, for counters beside it.
    pub index: usize,
    /// The key may be in the hands of anybody.
    pub browser: bool,
}

impl Apps {
    /// Reads and parses a registry file.
    ///
    /// # Errors
    /// The file can't be read, is no TOML of the form above, contradicts itself, or names nobody: a file that is
    /// being written is empty for a moment, and by it every sender would be refused.
    pub fn load(path: &Path) -> Result<Self, AppsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| AppsError::Read { path: path.display().to_string(), source })?;
        let apps = Self::parse(&text)?;
        if apps.apps.is_empty() && apps.readers.is_empty() {
            return content(format!("{} names no application and no reader", path.display()));
        }
        Ok(apps)
    }

    /// # Errors
    /// The text is no TOML of the form above, or contradicts itself.
    pub fn parse(text: &str) -> Result<Self, AppsError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(default)]
            app: Vec<App>,
            #[serde(default)]
            reader: Vec<Reader>,
        }
        let file: File = toml::from_str(text).map_err(|error| AppsError::Syntax(error.to_string()))?;
        let mut apps = Self { apps: file.app, readers: file.reader, ..Self::default() };
        for (index, app) in apps.apps.iter().enumerate() {
            check_name(&app.name)?;
            if app.rate == 0 || app.burst == Some(0) {
                return content(format!("{}: rate and burst must be at least 1", app.name));
            }
            if apps.by_name.insert(app.name.clone(), index).is_some() {
                return content(format!("two applications are called {:?}", app.name));
            }
            if let Some(wrong) = app.origins.iter().find(|origin| !is_origin(origin)) {
                return content(format!(
                    "{}: {wrong:?} is no origin: write it as browsers do, in lower case and without a path or a slash at \
                     its end, such as \"https://shop.example.com\"",
                    app.name
                ));
            }
            add_keys(&mut apps.by_hash, Owner::App(index), &app.name, &app.keys)?;
        }
        for (index, reader) in apps.readers.iter().enumerate() {
            check_name(&reader.name)?;
            if reader.rate == 0 {
                return content(format!("{}: rate must be at least 1", reader.name));
            }
            add_keys(&mut apps.by_hash, Owner::Reader(index), &reader.name, &reader.keys)?;
        }
        Ok(apps)
    }

    /// Whether an application of this name is registered.
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub fn apps(&self) -> &[App] {
        &self.apps
    }

    pub fn readers(&self) -> &[Reader] {
        &self.readers
    }

    /// The application whose key this is. `now`: seconds since 1970.
    pub fn app_of_key(&self, key: &[u8], now: i64) -> Option<AppKey<'_>> {
        let (Owner::App(index), key) = self.find(key, now)? else { return None };
        Some(AppKey { app: self.apps.get(index)?, index, browser: key.browser })
    }

    /// The reader whose key this is, and its place in the registry. `now`: seconds since 1970.
    pub fn reader_of_key(&self, key: &[u8], now: i64) -> Option<(usize, &Reader)> {
        let (Owner::Reader(index), _) = self.find(key, now)? else { return None };
        Some((index, self.readers.get(index)?))
    }

    /// Whether any application may send from pages of this origin.
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.apps.iter().any(|app| app.allows_origin(origin))
    }

    fn find(&self, key: &[u8], now: i64) -> Option<(Owner, Key)> {
        let (owner, key) = *self.by_hash.get(&hash(key))?;
        key.expires.is_none_or(|expires| now < expires).then_some((owner, key))
    }
}

impl App {
    fn default_rate() -> u32 {
        1000
    }

    pub fn burst(&self) -> u32 {
        self.burst.unwrap_or_else(|| self.rate.saturating_mul(10))
    }

    pub fn allows_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed == origin || allowed == "*")
    }

    /// Whether a request from this address is taken: from anywhere, unless networks are given.
    pub fn allows_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(&address))
    }
}

impl Reader {
    fn default_rate() -> u32 {
        100
    }
}

/// Applications without keys, as direct producers need them.
impl<S: Into<String>> FromIterator<S> for Apps {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let mut apps = Self::default();
        for name in names {
            let name = name.into();
            apps.by_name.insert(name.clone(), apps.apps.len());
            let (rate, burst) = (App::default_rate(), None);
            apps.apps.push(App { name, rate, burst, networks: vec![], origins: vec![], keys: vec![] });
        }
        apps
    }
}

/// What the registry stores of a key, as lower-case hex.
pub fn sha256_hex(key: &[u8]) -> String {
    hash(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

fn check_name(name: &str) -> Result<(), AppsError> {
    match name.chars().count() {
        1..=255 if !name.chars().any(char::is_control) => Ok(()),
        _ => content(format!("{name:?} is no name: 1 to 255 characters, none of them a control character")),
    }
}

/// Whether a browser may send this as `Origin`: any other text would be compared with what browsers send, and never be
/// equal. Pages without an origin of their own send `null`; `*` is all.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return matches!(text, "*" | "null") };
    let is_written = |text: &str, marks: &str| {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || marks.contains(c);
        !text.is_empty() && text.chars().all(fits)
    };
    let port = host.rsplit_once(':').map(|(_, port)| port);
    let is_default = matches!((scheme, port), ("https", Some("443")) | ("http", Some("80")));
    is_written(scheme, "+-.") && is_written(host, "-._:[]") && !is_default
}

fn add_keys(
    map: &mut HashMap<[u8; 32], (Owner, Key)>,
    owner: Owner,
    name: &str,
    keys: &[KeyEntry],
) -> Result<(), AppsError> {
    for entry in keys {
        let Some(hash) = parse_hash(&entry.sha256) else {
            return content(format!("{name}: sha256 must be 64 hexadecimal digits"));
        };
        let expires = match &entry.expires {
            None => None,
            Some(datetime) => Some(parse_expiry(datetime).ok_or_else(|| {
                AppsError::Content(format!(
                    "{name}: expires must be a time with a zone, e.g. 2027-01-01T00:00:00Z"
                ))
            })?),
        };
        if map.insert(hash, (owner, Key { expires, browser: entry.browser })).is_some() {
            return content(format!("{name}: the key with sha256 {} is listed twice", entry.sha256));
        }
    }
    Ok(())
}

fn parse_hash(hex: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let digits = hex.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

fn parse_expiry(datetime: &toml::value::Datetime) -> Option<i64> {
    let text = datetime.to_string();
    OffsetDateTime::parse(&text, &time::format_description::well_known::Rfc3339)
        .ok()
        .map(OffsetDateTime::unix_timestamp)
}

fn content<T>(message: String) -> Result<T, AppsError> {
    Err(AppsError::Content(message))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn registry(more: &str) -> String {
        let (old, new, page, reader) =
            (sha256_hex(b"old"), sha256_hex(b"new"), sha256_hex(b"page"), sha256_hex(b"reader"));
        format!(
            r#"
            [[app]]
            name = "shop"
            networks = ["10.0.0.0/8", "::1/128"]
            origins = ["https://shop.example.com"]
            keys = [
                {{ sha256 = "{old}", expires = 2026-01-01T00:00:00Z }},
                {{ sha256 = "{new}" }},
                {{ sha256 = "{page}", browser = true }},
            ]
            [[reader]]
            name = "analytics"
            keys = [{{ sha256 = "{reader}" }}]
            {more}"#
        )
    }

    #[test]
    fn keys_belong_to_their_owners_until_they_expire() {
        let apps = Apps::parse(&registry("")).unwrap();
        let expiry = 1_767_225_600;
        assert_eq!(apps.app_of_key(b"old", expiry - 1).unwrap().app.name, "shop");
        assert!(apps.app_of_key(b"old", expiry).is_none());
        assert!(!apps.app_of_key(b"new", expiry).unwrap().browser);
        assert!(apps.app_of_key(b"page", expiry).unwrap().browser);
        assert!(apps.app_of_key(b"reader", 0).is_none());
        assert_eq!(apps.reader_of_key(b"reader", 0).unwrap().1.name, "analytics");
        assert!(apps.reader_of_key(b"new", 0).is_none());
        assert!(apps.contains("shop") && !apps.contains("analytics"));
    }

    #[test]
    fn networks_and_origins() {
        let apps = Apps::parse(&registry("")).unwrap();
        let shop = &apps.apps()[0];
        assert!(shop.allows_address("10.1.2.3".parse().unwrap()));
        assert!(shop.allows_address("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!shop.allows_address("192.0.2.1".parse().unwrap()));
        assert!(apps.allows_origin("https://shop.example.com") && !apps.allows_origin("https://example.com"));
    }

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        let parse = |origin: &str| Apps::parse(&format!("[[app]]\nname = \"a\"\norigins = [{origin:?}]"));
        for origin in [
            "*",
            "null",
            "https://a.b",
            "http://127.0.0.1:8090",
            "https://[::1]:8080",
            "capacitor://localhost",
        ] {
            assert!(parse(origin).unwrap().allows_origin(origin), "{origin}");
        }
        for origin in [
            "",
            "a.b",
            "localhost:8090",
            "https://",
            "https://a.b/",
            "https://a.b/shop",
            "https://A.b",
            "https://*.a.b",
            "https://a.b:443",
            "http://a.b:80",
            " https://a.b",
            "https://\u{e4}.b",
        ] {
            let error = parse(origin).unwrap_err().to_string();
            assert!(error.contains(&format!("{origin:?} is no origin: write it as browsers do")), "{error}");
        }
    }

    #[test]
    fn contradictions_are_refused_with_a_sentence() {
        for (more, expected) in [
            ("[[app]]\nname = \"shop\"", "two applications are called \"shop\""),
            ("[[app]]\nname = \"\"", "is no name"),
            ("[[app]]\nname = \"a\"\nrate = 0", "at least 1"),
            ("[[app]]\nname = \"a\"\ncolour = 1", "colour"),
            ("[[app]]\nname = \"a\"\nkeys = [{ sha256 = \"12\" }]", "64 hexadecimal digits"),
            (
                "[[app]]\nname = \"a\"\nkeys = [{ sha256 = \"12\", expires = 2026-01-01 }]",
                "64 hexadecimal digits",
            ),
        ] {
            let error = Apps::parse(&registry(more)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
