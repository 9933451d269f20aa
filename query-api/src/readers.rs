//! Who may ask, and how often.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, header};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use schemas::apps::{Apps, Reader};

use crate::error::Error;

/// The readers' keys with a bucket of requests each.
#[derive(Debug)]
pub(crate) struct Readers {
    apps: Apps,
    open: bool,
    /// In the order of the readers in the registry.
    buckets: Vec<Arc<Bucket>>,
}

/// Outlives a new reading of the registry, so that it is not refilled by that, unless the reader's rate changes.
#[derive(Debug)]
struct Bucket {
    name: String,
    rate: u32,
    limiter: DefaultDirectRateLimiter,
}

/// A full bucket has the requests of this many seconds.
const BURST_SECONDS: u32 = 10;

impl Readers {
    /// Reading is open if `open` says so, or if no reader is registered. `before` has the readers until now. Once
    /// reading was closed it stays closed: an operator who removes the last reader does not want everybody to read.
    pub(crate) fn new(apps: Apps, open: bool, before: Option<&Self>) -> Self {
        let nobody = apps.readers().is_empty();
        let was_closed = before.is_some_and(|before| !before.open);
        if nobody && was_closed && !open {
            tracing::error!(
                "the file of applications names no reader any more: nobody may ask until it does, or until a restart"
            );
        }
        let before = before.map_or(&[][..], |before| &before.buckets);
        let buckets = apps.readers().iter().map(|reader| {
            let same = |bucket: &&Arc<Bucket>| bucket.name == reader.name && bucket.rate == reader.rate;
            before.iter().find(same).cloned().unwrap_or_else(|| Arc::new(Bucket::full(reader)))
        });
        Self { open: open || (nobody && !was_closed), buckets: buckets.collect(), apps }
    }

    /// Takes one request out of the bucket of the reader whose key the headers have.
    ///
    /// # Errors
    /// No key or an unknown one; or the reader asked more often than its rate allows.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<(), Error> {
        if self.open {
            return Ok(());
        }
        let index = self.reader(headers).ok_or(Error::Unauthorized)?;
        let Some(bucket) = self.buckets.get(index) else { return Ok(()) };
        bucket.limiter.check().map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Error::TooMany(wait.as_secs_f64().ceil().max(1.0) as u64)
        })
    }

    /// Whether the key is still one of a reader. Takes no request.
    pub(crate) fn allows(&self, headers: &HeaderMap) -> bool {
        self.open || self.reader(headers).is_some()
    }

    /// The place in the registry of the reader whose key the headers have.
    fn reader(&self, headers: &HeaderMap) -> Option<usize> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let key = value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer "))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
        self.apps.reader_of_key(key.trim().as_bytes(), now).map(|(index, _)| index)
    }
}

impl Bucket {
    fn full(reader: &Reader) -> Self {
        let requests = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(requests(reader.rate))
            .allow_burst(requests(reader.rate.saturating_mul(BURST_SECONDS)));
        Self { name: reader.name.clone(), rate: reader.rate, limiter: RateLimiter::direct(quota) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(key: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, key.parse().unwrap())])
    }

    #[test]
    fn a_key_opens_until_its_rate_is_used_up() {
        let hash = schemas::apps::sha256_hex(b"secret");
        let file =
            format!("[[reader]]\nname = \"analytics\"\nrate = 1\nkeys = [{{ sha256 = \"{hash}\" }}]\n");
        let registry = || Apps::parse(&file).unwrap();
        let readers = Readers::new(registry(), false, None);
        assert!(matches!(readers.admit(&HeaderMap::new()), Err(Error::Unauthorized)));
        assert!(matches!(readers.admit(&headers("Bearer guess")), Err(Error::Unauthorized)));
        for _ in 0..10 {
            readers.admit(&headers("Bearer secret")).unwrap();
        }
        assert!(matches!(readers.admit(&headers("Bearer secret")), Err(Error::TooMany(1))));
        let again = Readers::new(registry(), false, Some(&readers));
        assert!(
            matches!(again.admit(&headers("Bearer secret")), Err(Error::TooMany(1))),
            "no bucket is refilled"
        );
        assert!(Readers::new(registry(), true, Some(&readers)).admit(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn reading_is_open_until_there_is_a_reader_and_never_again() {
        let hash = schemas::apps::sha256_hex(b"secret");
        let file = format!("[[reader]]\nname = \"analytics\"\nkeys = [{{ sha256 = \"{hash}\" }}]\n");
        fn nobody(before: Option<&Readers>) -> Readers {
            Readers::new(Apps::default(), false, before)
        }
        let open = nobody(Some(&nobody(None)));
        assert!(open.admit(&HeaderMap::new()).is_ok());
        let closed = Readers::new(Apps::parse(&file).unwrap(), false, Some(&open));
        assert!(closed.allows(&headers("Bearer secret")) && !closed.allows(&HeaderMap::new()));
        let empty = nobody(Some(&nobody(Some(&closed))));
        for key in [HeaderMap::new(), headers("Bearer secret")] {
            assert!(matches!(empty.admit(&key), Err(Error::Unauthorized)));
            assert!(!empty.allows(&key));
        }
        assert!(Readers::new(Apps::default(), true, Some(&closed)).admit(&HeaderMap::new()).is_ok());
    }
}
