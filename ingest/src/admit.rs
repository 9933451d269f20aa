//! The applications that may send, and how much: the registry with a rate limiter for each.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, header};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use infra::follow::Files;
use schemas::apps::{App, Apps};
use tokio::sync::Mutex;

use crate::error::Error;
use crate::metrics::{AppMetrics, Metrics};

/// For how long the gateway refuses an application over its rate without reading what it sends: reading and slicing
/// bodies only to refuse them would take time from the others.
const UNREAD: Duration = Duration::from_secs(1);

/// The registry in force.
pub(crate) struct Admission {
    current: ArcSwap<Admitted>,
    path: Option<PathBuf>,
    files: Mutex<Files>,
    metrics: Arc<Metrics>,
}

/// A registry, with a [`Sender`] for each of its applications.
struct Admitted {
    apps: Apps,
    senders: Vec<Arc<Sender>>,
}

/// An application's rate limiter and counters. It outlives a reload that doesn't change the rate: a reload refills no
/// bucket.
pub(crate) struct Sender {
    pub name: String,
    pub metrics: AppMetrics,
    rate: u32,
    burst: u32,
    limiter: DefaultDirectRateLimiter,
    since: Instant,
    /// Until then requests are refused unread: milliseconds after `since`.
    unread_until: AtomicU64,
}

impl Admission {
    /// # Errors
    /// The file can't be read or is no registry.
    pub(crate) fn load(path: Option<PathBuf>, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let files = Files::new(path.iter().cloned().collect())?;
        let apps = match &path {
            Some(path) => Apps::load(path)?,
            None => {
                tracing::warn!("no registry of applications: every request is refused; give --apps FILE");
                Apps::default()
            }
        };
        metrics.apps.loaded(files.version());
        let admitted = Admitted::new(apps, &[], &metrics);
        Ok(Self { current: ArcSwap::from_pointee(admitted), path, files: Mutex::new(files), metrics })
    }

    /// Reads the file again when it changes and on SIGHUP, for ever. A file that can't be used changes nothing.
    pub(crate) async fn watch(&self) {
        let mut files = self.files.lock().await;
        loop {
            files.changed().await;
            self.reload(files.version());
        }
    }

    fn reload(&self, version: Option<&str>) {
        let Some(path) = &self.path else { return };
        let read = Apps::load(path).map(|apps| {
            let admitted = Admitted::new(apps, &self.current.load().senders, &self.metrics);
            self.current.store(Arc::new(admitted));
        });
        self.metrics.apps.read_again("applications", version, read.map_err(Into::into));
    }

    /// The application that sends a request.
    ///
    /// # Errors
    /// No valid key, or a network or origin from which the application may not send.
    pub(crate) fn admit(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        address: IpAddr,
    ) -> Result<Arc<Sender>, Error> {
        let admitted = self.current.load();
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let (key, in_url) = key(headers, query)?;
        let found = admitted.apps.app_of_key(key.as_bytes(), now).ok_or(Error::UnknownKey)?;
        if in_url && !found.browser {
            return Err(Error::KeyInUrl);
        }
        if !found.app.allows_address(address) {
            return Err(Error::Network);
        }
        if let Some(origin) = headers.get(header::ORIGIN)
            && !origin.to_str().is_ok_and(|origin| found.app.allows_origin(origin))
        {
            return Err(Error::Origin);
        }
        admitted.senders.get(found.index).cloned().ok_or(Error::UnknownKey)
    }

    /// Whether a browser may be told that pages of this origin can send. The key decides later.
    pub(crate) fn allows_origin(&self, origin: &str) -> bool {
        self.current.load().apps.allows_origin(origin)
    }
}

impl Admitted {
    fn new(apps: Apps, before: &[Arc<Sender>], metrics: &Metrics) -> Self {
        let senders = apps.apps().iter().map(|app| {
            let same = before.iter().find(|sender| sender.is_for(app));
            same.cloned().unwrap_or_else(|| Arc::new(Sender::new(app, metrics)))
        });
        let senders = senders.collect();
        Self { apps, senders }
    }
}

impl Sender {
    fn new(app: &App, metrics: &Metrics) -> Self {
        let (rate, burst) = (app.rate, app.burst());
        let nonzero = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(nonzero(rate)).allow_burst(nonzero(burst));
        let limiter = RateLimiter::direct(quota);
        Self {
            name: app.name.clone(),
            metrics: metrics.of_app(&app.name),
            rate,
            burst,
            limiter,
            since: Instant::now(),
            unread_until: AtomicU64::new(0),
        }
    }

    fn is_for(&self, app: &App) -> bool {
        self.name == app.name && self.rate == app.rate && self.burst == app.burst()
    }

    fn milliseconds(&self, after: Duration) -> u64 {
        (self.since.elapsed() + after).as_millis() as u64
    }

    /// Whether to read a body at all.
    ///
    /// # Errors
    /// The application has just been told that it is over its rate.
    pub(crate) fn may_send(&self) -> Result<(), Error> {
        match self.milliseconds(Duration::ZERO) < self.unread_until.load(Ordering::Relaxed) {
            true => Err(Error::Rate(UNREAD.as_secs())),
            false => Ok(()),
        }
    }

    /// Takes `events` from the application's allowance.
    ///
    /// # Errors
    /// Over the rate, with the seconds to wait; or more events than the burst.
    pub(crate) fn take(&self, events: usize) -> Result<(), Error> {
        let Some(wanted) = u32::try_from(events).ok().and_then(NonZeroU32::new) else { return Ok(()) };
        match self.limiter.check_n(wanted) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => {
                let wait = until.wait_time_from(DefaultClock::default().now());
                self.unread_until.store(self.milliseconds(wait.min(UNREAD)), Ordering::Relaxed);
                Err(Error::Rate(wait.as_secs_f64().ceil().max(1.0) as u64))
            }
            Err(_) => Err(Error::Burst(events, self.burst)),
        }
    }
}

/// The key of a request, and whether the URL has it.
fn key<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Result<(&'a str, bool), Error> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let value = value.to_str().map_err(|_| Error::UnknownKey)?;
        let (scheme, key) = value.split_once(' ').ok_or(Error::NoKey)?;
        return match scheme.eq_ignore_ascii_case("bearer") {
            true => Ok((key.trim(), false)),
            false => Err(Error::NoKey),
        };
    }
    let in_url = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("key=")));
    in_url.map(|key| (key, true)).ok_or(Error::NoKey)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use schemas::apps::sha256_hex;

    fn admission(networks: &str) -> (Admission, tempfile::NamedTempFile) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (server, browser) = (sha256_hex(b"server"), sha256_hex(b"browser"));
        let text = format!(
            "[[app]]\nname = \"shop\"\nrate = 10\nburst = 20\nnetworks = [{networks}]\norigins = [\"https://shop\"]\n\
             keys = [{{ sha256 = \"{server}\" }}, {{ sha256 = \"{browser}\", browser = true }}]\n"
        );
        std::fs::write(&file, text).unwrap();
        (Admission::load(Some(file.path().into()), Arc::new(Metrics::new().unwrap())).unwrap(), file)
    }

    fn try_with(
        admission: &Admission,
        headers: &[(&str, &str)],
        query: Option<&str>,
    ) -> Result<String, Error> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        admission.admit(&map, query, [127, 0, 0, 1].into()).map(|sender| sender.name.clone())
    }

    #[tokio::test]
    async fn keys_come_in_the_header_or_for_browsers_in_the_url() {
        let (admission, _file) = admission("");
        assert_eq!(try_with(&admission, &[("authorization", "Bearer server")], None).unwrap(), "shop");
        assert_eq!(try_with(&admission, &[("authorization", "bearer  browser ")], None).unwrap(), "shop");
        assert_eq!(try_with(&admission, &[], Some("a=b&key=browser")).unwrap(), "shop");
        assert_eq!(try_with(&admission, &[], Some("key=server")), Err(Error::KeyInUrl));
        assert_eq!(try_with(&admission, &[], None), Err(Error::NoKey));
        assert_eq!(try_with(&admission, &[("authorization", "Basic server")], None), Err(Error::NoKey));
        assert_eq!(try_with(&admission, &[("authorization", "Bearer guess")], None), Err(Error::UnknownKey));
    }

    #[tokio::test]
    async fn networks_and_origins_are_further_conditions() {
        let (elsewhere, _file) = admission("\"10.0.0.0/8\"");
        assert_eq!(try_with(&elsewhere, &[("authorization", "Bearer server")], None), Err(Error::Network));
        let (admission, _file) = admission("\"127.0.0.0/8\"");
        let from =
            |origin| try_with(&admission, &[("authorization", "Bearer browser"), ("origin", origin)], None);
        assert_eq!(from("https://shop").unwrap(), "shop");
        assert_eq!(from("https://elsewhere"), Err(Error::Origin));
    }

    #[tokio::test]
    async fn a_change_before_the_first_check_is_seen() {
        let (admission, file) = admission("");
        let registry = std::fs::read_to_string(&file).unwrap();
        let key = sha256_hex(b"later");
        std::fs::write(
            &file,
            format!("{registry}[[app]]\nname = \"later\"\nkeys = [{{ sha256 = \"{key}\" }}]\n"),
        )
        .unwrap();
        let taken = async {
            while try_with(&admission, &[("authorization", "Bearer later")], None).is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let patience = tokio::time::sleep(Duration::from_secs(60));
        tokio::select! {
            () = admission.watch() => unreachable!(),
            () = taken => {}
            () = patience => panic!("the change is never seen"),
        }
    }

    #[tokio::test]
    async fn a_broken_file_keeps_the_registry_and_a_reload_refills_no_bucket() {
        let (admission, file) = admission("");
        let shop = admission.admit(
            &HeaderMap::from_iter([(header::AUTHORIZATION, "Bearer server".parse().unwrap())]),
            None,
            [127, 0, 0, 1].into(),
        );
        shop.unwrap().take(20).unwrap();
        let good = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, "[[app]]").unwrap();
        admission.reload(None);
        assert!(!admission.metrics.apps.is_loaded());
        assert_eq!(try_with(&admission, &[("authorization", "Bearer server")], None).unwrap(), "shop");
        std::fs::write(&file, format!("{good}\n[[app]]\nname = \"new\"\n")).unwrap();
        admission.reload(None);
        assert!(admission.metrics.apps.is_loaded());
        let sender = Arc::clone(&admission.current.load().senders[0]);
        assert!(matches!(sender.take(20), Err(Error::Rate(1..=2))));
        assert!(matches!(sender.take(21), Err(Error::Burst(21, 20))));
    }
}
