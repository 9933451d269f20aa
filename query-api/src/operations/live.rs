//! Verdicts as they come in, as server-sent events.

use std::convert::Infallible;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use tokio::sync::broadcast::error::RecvError;

use crate::app::App;
use crate::error::Error;
use crate::feed::{LiveVerdict, Message};
use crate::params::{NoParams, Params};
use crate::values::word;

/// Verdicts as they come in, as server-sent events. `accepted`, `rejected` and `duplicate` carry a verdict; `as_of`
/// says that the tables moved on; `skipped` (`{"verdicts": n}`) says that verdicts were left out, because the log is
/// busy or the reader slow.
#[utoipa::path(get, path = "/v1/live", tag = "Operations",
    responses((status = 200, body = LiveVerdict, content_type = "text/event-stream")))]
pub async fn live(
    State(app): State<App>,
    Params(_): Params<NoParams>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    // The head of the answer is sent after this: a reader that has it misses nothing from then on.
    let receiver = app.feed.listen().await?;
    let stopping = app.stopping.subscribe();
    let readers = app.readers.subscribe();
    let events = stream::unfold(
        (receiver, stopping, readers, headers, Vec::<Event>::new()),
        async |(mut receiver, mut stopping, mut readers, headers, mut ready)| {
            loop {
                if let Some(event) = ready.pop() {
                    return Some((Ok::<_, Infallible>(event), (receiver, stopping, readers, headers, ready)));
                }
                let message = tokio::select! {
                    message = receiver.recv() => message,
                    _ = stopping.wait_for(|stopping| *stopping) => return None,
                    // The reader's key was withdrawn.
                    _ = readers.wait_for(|readers| !readers.allows(&headers)) => return None,
                };
                let skipped = |verdicts: u64| {
                    Event::default().event("skipped").data(format!("{{\"verdicts\":{verdicts}}}"))
                };
                match message {
                    Ok(Message::Verdict(verdict)) => {
                        let event = Event::default().event(word(verdict.verdict));
                        let id = format!("{}-{}", verdict.partition, verdict.offset);
                        ready.extend(event.id(id).json_data(verdict.as_ref()).ok());
                    }
                    Ok(Message::Now(as_of, left_out)) => {
                        ready.extend(Event::default().event("as_of").json_data(as_of.as_ref()).ok());
                        ready.extend((left_out > 0).then(|| skipped(left_out)));
                    }
                    Err(RecvError::Lagged(missed)) => ready.push(skipped(missed)),
                    Err(RecvError::Closed) => return None,
                }
            }
        },
    );
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}
