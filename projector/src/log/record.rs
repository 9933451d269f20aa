//! Turns a message of librdkafka into a record without copies.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use rdkafka::message::{BorrowedMessage, Headers as _, Message};
use schemas::{Headers, Record};

/// The record borrows from librdkafka's buffer.
pub(crate) fn record<'a>(message: &'a BorrowedMessage<'_>) -> Record<'a> {
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key(),
        value: message.payload(),
        headers: headers(message),
        log_time_ms: message.timestamp().to_millis().unwrap_or(0),
    }
}

fn headers<'a>(message: &'a BorrowedMessage<'_>) -> Headers<'a> {
    let Some(headers) = message.headers() else { return Headers::default() };
    (0..headers.count())
        .filter_map(|index| {
            // TRICKY: rdkafka 0.39 panics on a header name that is not UTF-8, which any producer may write. No header
            // that the judge reads has such a name, so it is skipped.
            let header = catch_unwind(AssertUnwindSafe(|| quietly(|| headers.try_get(index)))).ok()??;
            Some((header.key, header.value))
        })
        .collect()
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `read` with the panic message of this thread suppressed.
fn quietly<T>(read: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                previous(panic);
            }
        }));
    });
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            QUIET.set(false);
        }
    }
    QUIET.set(true);
    let _loud = Loud;
    read()
}
