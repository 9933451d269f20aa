//! Records that would be accepted if the registries knew their application and event type.

use schemas::{Judgement, ReasonCode, Record};

/// A name that the registries do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Unknown<'a> {
    App(&'a [u8]),
    /// Category, name.
    Type(&'a str, &'a str),
}

/// The unknown names of a record, if it is rejected for nothing else.
pub(crate) fn unknown<'a>(record: &Record<'a>, judgement: &'a Judgement<'_>) -> Option<Vec<Unknown<'a>>> {
    if judgement.is_accepted() || usize::from(judgement.reasons_total) > judgement.reasons.len() {
        return None;
    }
    let unknown = judgement.reasons.iter().map(|reason| match reason.code {
        ReasonCode::UnknownApplication => record.headers.app.map(Unknown::App),
        ReasonCode::UnknownEventType => Some(Unknown::Type(&judgement.category, &judgement.name)),
        _ => None,
    });
    unknown.collect()
}
