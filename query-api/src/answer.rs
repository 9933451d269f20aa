//! The frame of every answer: how much of the log it includes, and whether the asker has it already.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use infra::database::within;
use serde::Serialize;
use uuid::Uuid;

use crate::app::{App, Room};
use crate::as_of::{AsOf, Basis, Moment};
use crate::database::Database;
use crate::error::Error;

/// A question as it was asked: what it takes to answer it, and to recognise it.
#[derive(Debug)]
pub struct Ask {
    pub app: App,
    pub database: Database,
    /// Held until the answer is there. An answer that is streamed holds it until its end.
    pub(crate) room: Option<Room>,
    /// Everything that tells this question from another one.
    key: Vec<u8>,
    /// The ETags of the answers that the asker has.
    seen: Option<HeaderValue>,
}

impl FromRequestParts<App> for Ask {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let mut key = parts.uri.to_string().into_bytes();
        if let Some(accept) = parts.headers.get(header::ACCEPT) {
            key.extend_from_slice(accept.as_bytes());
        }
        Ok(Self {
            database: app.database()?,
            app: app.clone(),
            room: parts.extensions.remove::<Room>(),
            key,
            seen: parts.headers.get(header::IF_NONE_MATCH).cloned(),
        })
    }
}

/// What a look at the tables says of an answer.
pub enum Look {
    /// The asker has this answer: the 304 to send.
    Unchanged(Response),
    /// The asker does not have it yet.
    Fresh(Fresh),
}

/// The frame of an answer before its body is known.
pub struct Fresh {
    moment: Moment,
    etag: HeaderValue,
}

/// An answer with its place in time.
#[derive(Serialize)]
struct Answer<'a, T> {
    #[serde(flatten)]
    body: T,
    as_of: &'a AsOf,
}

impl Ask {
    /// Adds what the URL does not say, such as a body.
    pub fn about(mut self, more: &[u8]) -> Self {
        self.key.extend_from_slice(more);
        self
    }

    /// Runs `question` and frames its answer; or says 304 without running it.
    pub async fn answer<T: Serialize>(
        self,
        basis: Basis,
        question: impl AsyncFnOnce(&Database, &AsOf) -> Result<T, Error> + Clone,
    ) -> Result<Response, Error> {
        self.answer_with(basis, async |_| Ok(()), async |database, as_of, ()| question(database, as_of).await)
            .await
    }

    /// The same for a question that a hint makes quicker. The hint is read while the tables are looked at, so it may
    /// know less than `as_of` says: no answer may rest on it.
    pub async fn answer_with<H: Clone, T: Serialize>(
        self,
        basis: Basis,
        hint: impl AsyncFnOnce(&Database) -> Result<H, Error>,
        question: impl AsyncFnOnce(&Database, &AsOf, H) -> Result<T, Error> + Clone,
    ) -> Result<Response, Error> {
        let patience = self.app.config.limits.patience();
        let hint = within(patience, hint(&self.database));
        let (look, hint) = match self.seen {
            None => tokio::try_join!(self.look(basis), hint)?,
            // Mostly the answer is unchanged: then no hint is needed.
            Some(_) => match self.look(basis).await? {
                Look::Unchanged(response) => return Ok(response),
                fresh => (fresh, hint.await?),
            },
        };
        let fresh = match look {
            Look::Unchanged(response) => return Ok(response),
            Look::Fresh(fresh) => fresh,
        };
        let database = self.database.adding(fresh.moment.added());
        let again = (question.clone(), hint.clone());
        match within(patience, question(&database, fresh.moment.as_of(), hint)).await {
            // Until the next pass has given the feature a number, the answer is that of the last pass.
            Err(Error::Unnumbered) => {
                let kept = self.frame(fresh.moment.kept())?;
                let (question, hint) = again;
                let body = within(patience, question(&self.database, kept.moment.as_of(), hint)).await?;
                Ok(kept.answer(body))
            }
            body => Ok(fresh.answer(body?)),
        }
    }

    /// Runs `question` in any case: its answer rests on more than the tables. `question` bounds its own time.
    pub async fn always<T: Serialize>(
        self,
        question: impl AsyncFnOnce(&Database, &AsOf) -> Result<T, Error>,
    ) -> Result<Response, Error> {
        let as_of = AsOf::of_log(&self.database).await?;
        let body = question(&self.database, &as_of).await?;
        let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        Ok((headers, Json(Answer { body, as_of: &as_of })).into_response())
    }

    /// Looks at the tables that the answer rests on.
    pub(crate) async fn look(&self, basis: Basis) -> Result<Look, Error> {
        let fresh = self.frame(basis.look(&self.database).await?)?;
        let seen = self.seen.as_ref().and_then(|seen| seen.to_str().ok()).unwrap_or_default();
        let is_seen = seen.split(',').any(|tag| tag.trim().trim_start_matches("W/") == fresh.etag);
        Ok(match is_seen {
            true => Look::Unchanged((StatusCode::NOT_MODIFIED, caching(&fresh.etag)).into_response()),
            false => Look::Fresh(fresh),
        })
    }

    fn frame(&self, moment: Moment) -> Result<Fresh, Error> {
        let registry = self.app.registry.load();
        let key = [
            self.key.as_slice(),
            // Another version may answer otherwise.
            env!("CARGO_PKG_VERSION").as_bytes(),
            self.database.name().as_bytes(),
            registry.fingerprint().as_bytes(),
            &moment.bytes(),
        ]
        .concat();
        let etag = format!("\"{}\"", Uuid::new_v5(&Uuid::NAMESPACE_URL, &key).simple());
        let etag = HeaderValue::try_from(etag).map_err(|error| Error::parameter("url", error.to_string()))?;
        Ok(Fresh { moment, etag })
    }
}

impl Fresh {
    fn answer<T: Serialize>(self, body: T) -> Response {
        (caching(&self.etag), Json(Answer { body, as_of: self.moment.as_of() })).into_response()
    }

    /// The headers of a streamed answer; `X-Eye-As-Of` carries what JSON answers have as a field.
    pub(crate) fn headers(&self) -> [(HeaderName, HeaderValue); 4] {
        let [etag, cache, vary] = caching(&self.etag);
        let as_of = serde_json::to_string(self.moment.as_of()).unwrap_or_default();
        let as_of = HeaderValue::try_from(as_of).unwrap_or(HeaderValue::from_static("{}"));
        [etag, cache, vary, (HeaderName::from_static("x-eye-as-of"), as_of)]
    }
}

/// The reader alone may keep the answer, and must ask for it again each time, which costs a 304.
fn caching(etag: &HeaderValue) -> [(HeaderName, HeaderValue); 3] {
    [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
        (header::VARY, HeaderValue::from_static("authorization, accept")),
    ]
}
