//! Who may ask, and how often.

use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, header};
use schemas::apps::Apps;

use crate::error::Error;

/// The readers' keys with a bucket of tokens each.
#[derive(Debug)]
pub(crate) struct Readers {
    apps: Apps,
    open: bool,
    /// By a reader's place in the registry.
    buckets: Vec<Mutex<Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// A reader may save up the requests of so many seconds.
const BURST_SECONDS: f64 = 10.0;

impl Readers {
    /// Reading is open if told so, or if no reader is registered.
    pub(crate) fn new(apps: Apps, open: bool) -> Self {
        let open = open || apps.readers().is_empty();
        let full =
            |rate: u32| Mutex::new(Bucket { tokens: f64::from(rate) * BURST_SECONDS, at: Instant::now() });
        let buckets = apps.readers().iter().map(|reader| full(reader.rate)).collect();
        Self { apps, open, buckets }
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
        let (index, reader) =
            self.apps.reader_of_key(key.trim().as_bytes(), now).ok_or(Error::Unauthorized)?;
        let Some(Ok(mut bucket)) = self.buckets.get(index).map(Mutex::lock) else { return Ok(()) };
        let rate = f64::from(reader.rate);
        let saved = bucket.tokens + bucket.at.elapsed().as_secs_f64() * rate;
        (bucket.tokens, bucket.at) = (saved.min(rate * BURST_SECONDS), Instant::now());
        if bucket.tokens < 1.0 {
            return Err(Error::TooMany(((1.0 - bucket.tokens) / rate).ceil().max(1.0) as u64));
        }
        bucket.tokens -= 1.0;
        Ok(())
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
        let readers = Readers::new(Apps::parse(&file).unwrap(), false);
        assert!(matches!(readers.admit(&HeaderMap::new()), Err(Error::Unauthorized)));
        assert!(matches!(readers.admit(&headers("Bearer guess")), Err(Error::Unauthorized)));
        for _ in 0..10 {
            readers.admit(&headers("Bearer secret")).unwrap();
        }
        assert!(matches!(readers.admit(&headers("Bearer secret")), Err(Error::TooMany(1))));
        assert!(Readers::new(Apps::parse(&file).unwrap(), true).admit(&HeaderMap::new()).is_ok());
        assert!(Readers::new(Apps::default(), false).admit(&HeaderMap::new()).is_ok());
    }
}
