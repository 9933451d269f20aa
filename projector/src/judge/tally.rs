//! Counts verdicts and reasons for the metrics.

use std::collections::BTreeMap;

use schemas::{Judge, Judgement, Reason, ReasonCode};
use tables::Verdict;

/// The counts since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    verdicts: [u64; Verdict::ALL.len()],
    reasons: [u64; ReasonCode::ALL.len()],
    /// By category and name of declared event types. All other types are counted under empty strings.
    types: BTreeMap<String, BTreeMap<String, TypeTally>>,
    /// By registered application.
    apps: BTreeMap<String, [u64; Verdict::ALL.len()]>,
}

#[derive(Debug, Default)]
struct TypeTally {
    accepted: u64,
    duplicate: u64,
    /// By the first reason, so that each record counts once.
    rejected: [u64; ReasonCode::ALL.len()],
}

impl Tally {
    pub(crate) fn count_sender(&mut self, judge: &Judge, judgement: &Judgement<'_>, is_duplicate: bool) {
        let (category, name) = (&*judgement.category, &*judgement.name);
        // A record that no schema judged may still be of a declared type: its data may be missing.
        let is_declared = judgement.schema_version > 0 || judge.registry().get(category, name).is_some();
        let (category, name) = if is_declared { (category, name) } else { ("", "") };
        let known = self.types.get_mut(category).and_then(|names| names.get_mut(name));
        let tally = match known {
            Some(tally) => tally,
            None => self.types.entry(category.into()).or_default().entry(name.into()).or_default(),
        };
        let verdict = match judgement.reasons.first() {
            _ if is_duplicate => {
                tally.duplicate += 1;
                Verdict::Duplicate
            }
            Some(reason) => {
                tally.rejected[reason.code as usize] += 1;
                Verdict::Rejected
            }
            None => {
                tally.accepted += 1;
                Verdict::Accepted
            }
        };
        if judgement.reasons.iter().all(|reason| reason.code != ReasonCode::UnknownApplication) {
            let app = &*judgement.app;
            let tally = match self.apps.get_mut(app) {
                Some(tally) => tally,
                None => self.apps.entry(app.into()).or_default(),
            };
            tally[verdict as usize - 1] += 1;
        }
    }

    /// Application, verdict.
    pub(crate) fn apps(&self) -> impl Iterator<Item = ([&str; 2], u64)> {
        self.apps.iter().flat_map(|(app, verdicts)| {
            let counts = Verdict::ALL.into_iter().zip(*verdicts).filter(|(_, count)| *count > 0);
            counts.map(move |(verdict, count)| ([app.as_str(), verdict.as_str()], count))
        })
    }

    /// Category and name of the types that have accepted records.
    pub(crate) fn accepted_types(&self) -> impl Iterator<Item = (&str, &str)> {
        self.types.iter().flat_map(|(category, names)| {
            let accepted = names.iter().filter(|(_, tally)| tally.accepted > 0);
            accepted.map(move |(name, _)| (category.as_str(), name.as_str()))
        })
    }

    /// Category, name, verdict, reason of a rejection.
    pub(crate) fn types(&self) -> impl Iterator<Item = ([&str; 4], u64)> {
        let types = self.types.iter().flat_map(|(category, names)| {
            names.iter().map(move |(name, tally)| (category.as_str(), name.as_str(), tally))
        });
        let counts = types.flat_map(|(category, name, tally)| {
            let count =
                move |verdict: Verdict, reason, count| ([category, name, verdict.as_str(), reason], count);
            let rejected = ReasonCode::ALL.into_iter().zip(tally.rejected);
            let rejected =
                rejected.map(move |(reason, records)| count(Verdict::Rejected, reason.as_str(), records));
            [count(Verdict::Accepted, "", tally.accepted), count(Verdict::Duplicate, "", tally.duplicate)]
                .into_iter()
                .chain(rejected)
        });
        counts.filter(|(_, count)| *count > 0)
    }

    pub(crate) fn count_verdict(&mut self, verdict: Verdict) -> Verdict {
        self.verdicts[verdict as usize - 1] += 1;
        verdict
    }

    pub(crate) fn count_reasons(&mut self, reasons: &[Reason]) {
        for reason in reasons {
            self.reasons[reason.code as usize] += 1;
        }
    }

    pub(crate) fn verdicts(&self) -> impl Iterator<Item = (Verdict, u64)> {
        Verdict::ALL.into_iter().zip(self.verdicts).filter(|(_, count)| *count > 0)
    }

    pub(crate) fn reasons(&self) -> impl Iterator<Item = (ReasonCode, u64)> {
        ReasonCode::ALL.into_iter().zip(self.reasons).filter(|(_, count)| *count > 0)
    }
}
