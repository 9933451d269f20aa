//! What keeps a record from being accepted that nothing is wrong with: names that the registries do not have.

use schemas::{Judgement, ReasonCode, Record};

/// What the registries do not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Unknown<'a> {
    App(&'a [u8]),
    /// Category, name.
    Type(&'a str, &'a str),
}

/// What keeps a record from being accepted, if that is nothing but what the registries do not name.
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
