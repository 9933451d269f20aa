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
#[derive(Debug, Default)]
pub(crate) struct Readers {
    apps: Apps,
    open: bool,
    /// By a reader's place in the registry.
    buckets: Vec<Arc<Bucket>>,
}

/// Lives on when the registry is read again, unless the reader's rate changes: reading it again refills no bucket.
#[derive(Debug)]
struct Bucket {
    name: String,
    rate: u32,
    limiter: DefaultDirectRateLimiter,
}

/// A reader may save up the requests of so many seconds.
const BURST_SECONDS: u32 = 10;

impl Readers {
    /// Reading is open if told so, or if no reader is registered. `before`: who was registered until now.
    pub(crate) fn new(apps: Apps, open: bool, before: &Self) -> Self {
        let open = open || apps.readers().is_empty();
        let buckets = apps.readers().iter().map(|reader| {
            let same = |bucket: &&Arc<Bucket>| bucket.name == reader.name && bucket.rate == reader.rate;
            before.buckets.iter().find(same).cloned().unwrap_or_else(|| Arc::new(Bucket::full(reader)))
        });
        Self { open, buckets: buckets.collect(), apps }
    }

    /// Takes one request of the reader whose key this is.
    ///
    /// # Errors
    /// No key or an unknown one; or the reader asked more often than its rate allows.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<(), Error> {
        if self.open {
            return Ok(());
        }
        let key = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")))
            .ok_or(Error::Unauthorized)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
        let (index, _) = self.apps.reader_of_key(key.trim().as_bytes(), now).ok_or(Error::Unauthorized)?;
        let Some(bucket) = self.buckets.get(index) else { return Ok(()) };
        bucket.limiter.check().map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Error::TooMany(wait.as_secs_f64().ceil().max(1.0) as u64)
        })
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
        let readers = Readers::new(registry(), false, &Readers::default());
        assert!(matches!(readers.admit(&HeaderMap::new()), Err(Error::Unauthorized)));
        assert!(matches!(readers.admit(&headers("Bearer guess")), Err(Error::Unauthorized)));
        for _ in 0..10 {
            readers.admit(&headers("Bearer secret")).unwrap();
        }
        assert!(matches!(readers.admit(&headers("Bearer secret")), Err(Error::TooMany(1))));
        let again = Readers::new(registry(), false, &readers);
        assert!(
            matches!(again.admit(&headers("Bearer secret")), Err(Error::TooMany(1))),
            "no bucket is refilled"
        );
        assert!(Readers::new(registry(), true, &readers).admit(&HeaderMap::new()).is_ok());
        assert!(Readers::new(Apps::default(), false, &readers).admit(&HeaderMap::new()).is_ok());
    }
}
