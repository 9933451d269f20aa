//! The frame of every answer: how much of the log it includes, and whether the asker has it already.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use clickhouse::Row;
use infra::database::{SMALL, within};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::database::Database;
use crate::error::Error;
use crate::service::{App, Room};
use crate::values::Time;

/// What part of the log an answer includes, at least.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AsOf {
    /// Partition to position: all offsets below it are included.
    pub positions: BTreeMap<u16, u64>,
    /// The broker's time of the newest record that is included; null for an empty log.
    pub time: Option<Time>,
}

/// Which tables an answer rests on.
#[derive(Debug, Clone)]
pub enum Basis {
    /// The row tables, written with the log.
    Log,
    /// `sequences`, a few seconds behind.
    Sequences,
    /// An epoch of `usage_days`: what it says itself, and its runs, which no other count has.
    Days(AsOf, Vec<u64>),
}

impl AsOf {
    pub(crate) async fn read(database: &Database, basis: &Basis) -> Result<Self, Error> {
        #[derive(Row, Deserialize)]
        struct Position {
            partition: u16,
            position: u64,
            /// Milliseconds.
            log_time: i64,
        }
        let sql = match basis {
            Basis::Log => include_str!("answer/log.sql"),
            Basis::Sequences => include_str!("answer/sequences.sql"),
            Basis::Days(as_of, _) => return Ok(as_of.clone()),
        };
        let rows = database.small(sql);
        let rows: Vec<Position> = within(SMALL, rows.fetch_all()).await?;
        Ok(Self {
            time: rows.iter().map(|row| Time::from_micros(row.log_time * 1000)).max(),
            positions: rows.into_iter().map(|row| (row.partition, row.position)).collect(),
        })
    }
}

/// Changes whenever answers may change though the log does not.
#[derive(Debug, Clone, Copy, Row, Deserialize)]
pub(crate) struct Revision {
    rows: u64,
    changed: u64,
}

impl Revision {
    pub(crate) async fn read(database: &Database) -> Result<Self, Error> {
        let revision = database.small(&database.spread(include_str!("answer/revision.sql")));
        Ok(within(SMALL, revision.fetch_one()).await?)
    }
}

/// An answer with its place in time.
#[derive(Serialize)]
struct Answer<'a, T> {
    #[serde(flatten)]
    body: T,
    as_of: &'a AsOf,
}

/// A question as it was asked: what it takes to answer it, and to recognise it.
#[derive(Debug)]
pub struct Ask {
    pub app: App,
    pub database: Database,
    /// If it was read already.
    pub(crate) revision: Option<Revision>,
    /// Held until the answer is there; by what streams it, until its end.
    pub(crate) room: Option<Room>,
    /// Everything that tells this question from another one.
    key: Vec<u8>,
    seen: Option<HeaderValue>,
}

impl FromRequestParts<App> for Ask {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let State(app): State<App> = State(app.clone());
        let mut key = parts.uri.to_string().into_bytes();
        if let Some(accept) = parts.headers.get(header::ACCEPT) {
            key.extend_from_slice(accept.as_bytes());
        }
        Ok(Self {
            database: app.database()?,
            app,
            revision: None,
            room: parts.extensions.remove::<Room>(),
            key,
            seen: parts.headers.get(header::IF_NONE_MATCH).cloned(),
        })
    }
}

/// An answer before its body is known: the asker has not seen it yet.
pub struct Fresh {
    pub database: Database,
    pub as_of: AsOf,
    etag: HeaderValue,
}

impl Ask {
    /// Adds what the URL does not say, such as a body.
    pub fn about(mut self, more: &[u8]) -> Self {
        self.key.extend_from_slice(more);
        self
    }

    /// Runs `question` and frames its answer; or says 304 without running it.
    ///
    /// `as_of` is read before the question runs, so that the answer includes at least that much.
    pub async fn answer<T: Serialize>(
        self,
        basis: Basis,
        question: impl AsyncFnOnce(&Database, &AsOf) -> Result<T, Error>,
    ) -> Result<Response, Error> {
        self.answer_with(basis, async |_| Ok(()), async |database, as_of, ()| question(database, as_of).await)
            .await
    }

    /// The same for a question that a hint makes quicker. The hint is read beside `as_of`, so it may know less: no
    /// answer may rest on it.
    pub async fn answer_with<H, T: Serialize>(
        mut self,
        basis: Basis,
        hint: impl AsyncFnOnce(&Database) -> Result<H, Error>,
        question: impl AsyncFnOnce(&Database, &AsOf, H) -> Result<T, Error>,
    ) -> Result<Response, Error> {
        let _room = self.room.take();
        let patience = self.app.config.limits.patience();
        let database = self.database.clone();
        let hint = within(patience, hint(&database));
        // Who has seen an answer is mostly told that it is unchanged.
        let (fresh, hint) = match self.seen {
            Some(_) => match self.fresh(basis).await? {
                Ok(fresh) => (fresh, hint.await?),
                Err(unchanged) => return Ok(unchanged),
            },
            None => match tokio::try_join!(self.fresh(basis), hint)? {
                (Ok(fresh), hint) => (fresh, hint),
                (Err(unchanged), _) => return Ok(unchanged),
            },
        };
        let body = within(patience, question(&fresh.database, &fresh.as_of, hint)).await?;
        Ok(fresh.frame(body))
    }

    /// Runs `question` in any case: its answer rests on more than the tables. How long it takes is its own care.
    pub async fn always<T: Serialize>(
        self,
        basis: Basis,
        question: impl AsyncFnOnce(&Database, &AsOf) -> Result<T, Error>,
    ) -> Result<Response, Error> {
        let as_of = AsOf::read(&self.database, &basis).await?;
        let body = question(&self.database, &as_of).await?;
        let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        Ok((headers, Json(Answer { body, as_of: &as_of })).into_response())
    }

    /// The frame alone, for answers that are streamed; or the 304 to send instead.
    pub async fn fresh(self, basis: Basis) -> Result<Result<Fresh, Response>, Error> {
        let revision = async {
            match self.revision {
                Some(revision) => Ok(revision),
                None => Revision::read(&self.database).await,
            }
        };
        let (as_of, revision) = tokio::try_join!(AsOf::read(&self.database, &basis), revision)?;
        let mut key = self.key;
        // Another version may answer otherwise.
        key.extend_from_slice(env!("CARGO_PKG_VERSION").as_bytes());
        key.extend_from_slice(self.database.name().as_bytes());
        key.extend_from_slice(self.app.registry.load().fingerprint().as_bytes());
        key.extend_from_slice(&revision.rows.to_le_bytes());
        key.extend_from_slice(&revision.changed.to_le_bytes());
        for (partition, position) in &as_of.positions {
            key.extend_from_slice(&partition.to_le_bytes());
            key.extend_from_slice(&position.to_le_bytes());
        }
        if let Basis::Days(_, runs) = basis {
            key.extend(runs.into_iter().flat_map(u64::to_le_bytes));
        }
        let etag = format!("\"{}\"", Uuid::new_v5(&Uuid::NAMESPACE_URL, &key).simple());
        let known = self.seen.as_ref().and_then(|seen| seen.to_str().ok());
        let etag = HeaderValue::try_from(etag).map_err(|error| Error::parameter("url", error.to_string()))?;
        if known.is_some_and(|known| known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag))
        {
            return Ok(Err((StatusCode::NOT_MODIFIED, caching(&etag)).into_response()));
        }
        Ok(Ok(Fresh { database: self.database, as_of, etag }))
    }
}

impl Fresh {
    pub fn frame<T: Serialize>(self, body: T) -> Response {
        (caching(&self.etag), Json(Answer { body, as_of: &self.as_of })).into_response()
    }

    /// The headers of a streamed answer; `X-Eye-As-Of` carries what JSON answers have as a field.
    pub fn headers(&self) -> [(header::HeaderName, HeaderValue); 4] {
        let [etag, cache, vary] = caching(&self.etag);
        let as_of = serde_json::to_string(&self.as_of).unwrap_or_default();
        let as_of = HeaderValue::try_from(as_of).unwrap_or(HeaderValue::from_static("{}"));
        [etag, cache, vary, (header::HeaderName::from_static("x-eye-as-of"), as_of)]
    }
}

/// May be kept, by the reader alone, and must be asked for again each time, which costs a 304.
fn caching(etag: &HeaderValue) -> [(header::HeaderName, HeaderValue); 3] {
    [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
        (header::VARY, HeaderValue::from_static("authorization, accept")),
    ]
}
