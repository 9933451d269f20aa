//! The registry of the applications that may send events, of the readers that may ask, and of their keys.
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
//! The registry stores the hashes of keys, see `keys.rs`.

mod keys;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use serde::Deserialize;

pub use self::keys::sha256_hex;
use self::keys::{KeyEntry, Keys, Owner};

/// All applications and readers. The default has none.
#[derive(Debug, Clone, Default)]
pub struct Apps {
    apps: Vec<App>,
    readers: Vec<Reader>,
    by_name: HashMap<String, usize>,
    keys: Keys,
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

/// A person or program that may ask questions.
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

/// Why a registry was refused.
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
    /// The file can't be read, is no TOML of the form above, contradicts itself, or names nobody. A file that is being
    /// written is empty for a moment, and an empty registry would refuse every sender.
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
            apps.keys.add(Owner::App(index), &app.name, &app.keys)?;
        }
        for (index, reader) in apps.readers.iter().enumerate() {
            check_name(&reader.name)?;
            if reader.rate == 0 {
                return content(format!("{}: rate must be at least 1", reader.name));
            }
            apps.keys.add(Owner::Reader(index), &reader.name, &reader.keys)?;
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
        let (Owner::App(index), key) = self.keys.find(key, now)? else { return None };
        Some(AppKey { app: self.apps.get(index)?, index, browser: key.browser })
    }

    /// The reader whose key this is, and its place in the registry. `now`: seconds since 1970.
    pub fn reader_of_key(&self, key: &[u8], now: i64) -> Option<(usize, &Reader)> {
        let (Owner::Reader(index), _) = self.keys.find(key, now)? else { return None };
        Some((index, self.readers.get(index)?))
    }

    /// Whether any application may send from pages of this origin.
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.apps.iter().any(|app| app.allows_origin(origin))
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

fn check_name(name: &str) -> Result<(), AppsError> {
    match name.chars().count() {
        1..=255 if !name.chars().any(char::is_control) => Ok(()),
        _ => content(format!("{name:?} is no name: 1 to 255 characters, none of them a control character")),
    }
}

/// Whether a browser can send this as `Origin`. No other text would ever equal what browsers send. Pages without an
/// origin of their own send `null`; `*` means all origins.
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

fn content<T>(message: String) -> Result<T, AppsError> {
    Err(AppsError::Content(message))
}
