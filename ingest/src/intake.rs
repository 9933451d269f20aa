//! `POST /events`: from a request to receipts.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;
use schemas::personal::Masking;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tracing::Span;
use uuid::Uuid;

use crate::admit::Sender;
use crate::append::{Common, Event, Failure, Outcome};
use crate::config::Undeclared;
use crate::error::Error;
use crate::gateway::Gateway;
use crate::receipts::{Fault, Receipt, Receipts};
use crate::slice::{Item, slice};
use crate::{body, docs, json, personal};

const RFC3339: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// Bytes of a record's key. A key that is no session's need not be whole: it takes memory, and the room that the
/// brokers have for a record.
const MAX_KEY: usize = 256;

/// The address that a request comes from.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub IpAddr);

/// Append events
///
/// One event, an array of events, or one in each line (`application/x-ndjson`); `text/plain` is read as JSON. The
/// answer has a receipt for each, in input order. An event that can't be appended has an `error` instead and does not
/// harm its neighbours. 202 says that all brokers that must acknowledge have the events with a place.
#[utoipa::path(
    post,
    path = "/events",
    tag = "events",
    params(("key" = Option<String>, Query, description = "a browser key, where a header can't be set (sendBeacon)")),
    request_body(content(
        (docs::Events = "application/json"),
        (docs::Event = "application/x-ndjson"),
        (docs::Events = "text/plain"),
    )),
    responses(
        (status = 202, description = "at least one event is in the log", body = docs::Receipts),
        (status = 400, description = "no event could be appended (receipts say why), or the body is not readable (a problem)",
            content((docs::Receipts = "application/json"), (docs::ProblemBody = "application/problem+json"))),
        (status = 401, description = "no key, or an unknown one", body = docs::ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "not from this network or page", body = docs::ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "the body came too slowly", body = docs::ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too many bytes or events", body = docs::ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "an unknown type or encoding", body = docs::ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "over the application's rate; see Retry-After", body = docs::ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "no room, or the brokers are slow; see Retry-After", body = docs::ProblemBody, content_type = "application/problem+json"),
    ),
    security(("application key" = []))
)]
pub(crate) async fn post_events(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let began = Instant::now();
    let (parts, mut body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0);
    let taken = take(&gateway, peer, &parts, &mut body).await;
    let is_unread = taken.is_err() && !body.is_end_stream();
    let mut response = taken.unwrap_or_else(IntoResponse::into_response);
    if is_unread && parts.version < Version::HTTP_2 {
        // The rest of the body stands in the way of a next request, so the connection ends with the answer. A sender
        // that doesn't hear of it would send that request, and lose it.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let metrics = &gateway.metrics;
    metrics.request_seconds.observe(began.elapsed().as_secs_f64());
    metrics.requests.with_label_values(&[response.status().as_str()]).inc();
    response
}

/// Takes the events of a request.
///
/// # Errors
/// Why the whole request is refused.
async fn take(gateway: &Gateway, peer: IpAddr, parts: &Parts, body: &mut Body) -> Result<Response, Error> {
    only_a_key(parts.uri.query())?;
    let sender = gateway.admission.admit(&parts.headers, parts.uri.query(), peer)?;
    sender.may_send()?;
    let form = body::form(&parts.headers)?;
    let (body, _room) = gateway.bodies.read(&parts.headers, body).await?;
    // From here on: the time that the sender took for the body is not the brokers'.
    let deadline = Instant::now() + gateway.config.log.wait;
    gateway.metrics.body_bytes.inc_by(body.len() as u64);

    let limits = &gateway.config.limits;
    // An item takes much more memory than the shortest event: slice as many as are allowed, and one more to see it.
    let items = slice(&body, form, limits.max_events + 1);
    if items.is_empty() {
        return Err(Error::NoEvents);
    }
    if items.len() > limits.max_events {
        return Err(Error::TooManyEvents(limits.max_events));
    }
    // One pass for all events. Only if the body is not UTF-8, each event is checked.
    let is_utf8 = std::str::from_utf8(&body).is_ok();
    let masking = gateway.personal.masking();
    let undeclared = gateway.config.personal.undeclared_types;
    let mut prepared = Vec::with_capacity(items.len());
    // Events whose personal values are replaced are in memory twice, and may have grown.
    let mut copied = 0;
    for item in items {
        let event = prepare(item, is_utf8, limits.max_event_bytes, &masking, undeclared);
        copied += event.as_ref().map_or(0, Prepared::copied_bytes);
        if copied > limits.max_body_bytes {
            return Err(Error::BodyTooLarge(limits.max_body_bytes));
        }
        prepared.push(event);
    }
    drop(masking);
    let _room_for_copies = gateway.bodies.room_for(copied)?;
    let events: Vec<Event<'_>> = prepared.iter().flatten().map(Prepared::event).collect();
    let refused = prepared.len() - events.len();
    sender.metrics.refused.inc_by(refused as u64);
    if events.is_empty() {
        let faults = prepared.into_iter().filter_map(|prepared| prepared.err().map(Receipt::Fault));
        return Ok(answer(StatusCode::BAD_REQUEST, faults));
    }
    let bytes = events.iter().map(|event| event.value.len()).sum();
    if !gateway.log.fits(events.len(), bytes) {
        return Err(Error::BodyTooLarge(gateway.config.log.queue_bytes));
    }
    sender.take(events.len()).inspect_err(|_| sender.metrics.limited.inc_by(events.len() as u64))?;

    let received_at = OffsetDateTime::now_utc().format(RFC3339).unwrap_or_default();
    let given = parts.headers.get("traceparent").and_then(|header| schemas::traceparent(header.as_bytes()));
    let ours = if given.is_none() { infra::traces::traceparent(&Span::current()) } else { None };
    let traceparent = given.or(ours.as_deref());
    let common = Common { app: &sender.name, received_at: &received_at, traceparent };
    let outcomes = gateway.log.append(&common, &events, deadline).await;
    count(&sender, &outcomes);
    let is_too_large = |outcome: &Outcome| *outcome == Err(Failure::TooLarge);
    if outcomes.iter().all(Result::is_err) && !outcomes.iter().all(is_too_large) {
        return Err(failure(&outcomes, gateway.log.retry_after()));
    }
    let status =
        if outcomes.iter().any(Result::is_ok) { StatusCode::ACCEPTED } else { StatusCode::BAD_REQUEST };
    let mut outcomes = outcomes.into_iter();
    let receipts = prepared.into_iter().map(|prepared| match prepared {
        Err(fault) => Receipt::Fault(fault),
        Ok(prepared) => match outcomes.next() {
            Some(Ok(place)) => Receipt::Appended(prepared.event_id, place),
            Some(Err(failure)) => Receipt::Fault(Fault::failed(failure, prepared.event_id)),
            None => Receipt::Fault(Fault::failed(Failure::Slow, prepared.event_id)),
        },
    });
    Ok(answer(status, receipts))
}

/// The query string may have `key` only.
fn only_a_key(query: Option<&str>) -> Result<(), Error> {
    let names = query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty());
    let unknown = names.map(|pair| pair.split('=').next().unwrap_or_default()).find(|name| *name != "key");
    unknown.map_or(Ok(()), |name| Err(Error::UnknownParameter(name.chars().take(100).collect())))
}

/// An event as it goes into the log.
struct Prepared<'a> {
    key: Cow<'a, str>,
    value: Cow<'a, [u8]>,
    event_id: Uuid,
}

impl Prepared<'_> {
    fn event(&self) -> Event<'_> {
        Event { key: &self.key, value: &self.value, event_id: self.event_id }
    }

    fn copied_bytes(&self) -> usize {
        match &self.value {
            Cow::Borrowed(_) => 0,
            Cow::Owned(value) => value.len(),
        }
    }
}

/// Reads what routing needs, and nothing else: the projector judges.
fn prepare<'a>(
    item: Item<'a>,
    is_utf8: bool,
    max_bytes: usize,
    masking: &Masking,
    undeclared: Option<Undeclared>,
) -> Result<Prepared<'a>, Fault> {
    let scanned = item.map_err(|fault| Fault::syntax(&fault))?;
    if !scanned.bytes.starts_with(b"{") {
        return Err(Fault::not_an_object());
    }
    let within =
        |bytes: usize| if bytes > max_bytes { Err(Fault::too_large(bytes, max_bytes)) } else { Ok(()) };
    within(scanned.bytes.len())?;
    if !is_utf8 && std::str::from_utf8(scanned.bytes).is_err() {
        return Err(Fault::not_utf8());
    }
    let session = scanned.session_id.ok_or_else(Fault::no_session)?;
    let session = json::text(session).filter(|text| !text.is_empty()).ok_or_else(Fault::no_session)?;
    // The key is the canonical form: a session stays in its partition however its sender writes it. The projector
    // rejects what is no UUID, like anything else that is wrong with an event.
    let key = match Uuid::try_parse(&session) {
        Ok(session) => Cow::Owned(session.hyphenated().to_string()),
        Err(_) if session.len() > MAX_KEY => Cow::Owned(session.chars().take(MAX_KEY / 4).collect()),
        Err(_) => session,
    };
    let given = scanned.event_id.and_then(json::text).and_then(|text| Uuid::try_parse(&text).ok());
    let value = personal::mask(masking, undeclared, &scanned)?;
    within(value.len())?;
    Ok(Prepared { key, value, event_id: given.unwrap_or_else(Uuid::now_v7) })
}

fn count(sender: &Sender, outcomes: &[Outcome]) {
    let acknowledged = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    sender.metrics.acknowledged.inc_by(acknowledged as u64);
    sender.metrics.failed.inc_by((outcomes.len() - acknowledged) as u64);
}

/// The answer if no event of a request is known to be in the log. The worst case: some might be.
fn failure(outcomes: &[Outcome], retry_after: u64) -> Error {
    let failures = || outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    if failures().any(|failure| *failure == Failure::Slow) {
        return Error::Slow(retry_after);
    }
    // An event that is too large says nothing about the others.
    match failures().find(|failure| **failure != Failure::TooLarge) {
        Some(Failure::Refused(code)) => Error::Refused(retry_after, format!("{code:?}")),
        _ => Error::Full(retry_after),
    }
}

fn answer(status: StatusCode, receipts: impl Iterator<Item = Receipt>) -> Response {
    let body = Receipts::write(receipts);
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode;

    use super::{Error, Failure, failure};

    #[test]
    fn what_is_too_large_hides_no_other_failure() {
        let refused = Failure::Refused(RDKafkaErrorCode::TopicAuthorizationFailed);
        let said = |failures: &[Failure]| {
            failure(&failures.iter().map(|failure| Err(*failure)).collect::<Vec<_>>(), 1)
        };
        assert_eq!(said(&[Failure::TooLarge, refused]), Error::Refused(1, "TopicAuthorizationFailed".into()));
        assert_eq!(said(&[Failure::TooLarge, Failure::Slow]), Error::Slow(1));
    }
}
