//! Tries event types on their own examples: do they mean what their authors think?

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::apps::Apps;
use crate::registry::{self, EventType, Example, ExpectedReason};
use crate::{Headers, Judge, Record, Registry, RegistryError, Settings};

/// A fault of a file that its author should know before the file judges events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub path: PathBuf,
    pub problem: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.problem)
    }
}

/// Checks the event types of `folder` as they stand in `registry`, which includes them. `now_ms`: an example may be as
/// young as this, in milliseconds since 1970.
///
/// Each example must be judged as it promises. With `all_have_examples` a type needs a valid and an invalid one: the
/// first proves that its schema can be satisfied, the second that it refuses something.
///
/// # Errors
/// The folder can't be read.
pub fn check(
    registry: &Arc<Registry>,
    folder: &Path,
    now_ms: i64,
    all_have_examples: bool,
) -> Result<Vec<Problem>, RegistryError> {
    let mut problems = Vec::new();
    let files = registry::files(folder)?;
    let mut report = |path: &Path, problem: String| problems.push(Problem { path: path.to_owned(), problem });
    if !files.iter().any(|file| file.is_schema()) {
        report(folder, "no event type is in this folder: schemas are called NAME.schema.json".into());
    }
    for file in files.iter().filter(|file| !file.is_schema() && file.example_of().is_none()) {
        let problem =
            "neither a schema (NAME.schema.json) nor an example (examples/valid/ or examples/invalid/)";
        report(file.path(), problem.into());
    }
    let taken: BTreeSet<&Path> =
        registry.newest().flat_map(|newest| &newest.examples).map(|example| &*example.path).collect();
    for file in files.iter().filter(|file| file.example_of().is_some() && !taken.contains(file.path())) {
        report(
            file.path(),
            "an example of no event type: no newest version is in the folder of examples/".into(),
        );
    }
    let apps = Arc::new(Apps::from_iter(["example"]));
    let judge = Judge::new(Arc::clone(registry), apps, Settings::default());
    for event_type in registry.newest().filter(|event_type| event_type.path.starts_with(folder)) {
        let is_valid = |example: &&Example| example.reasons.is_empty();
        if all_have_examples && !event_type.examples.iter().any(|example| is_valid(&example)) {
            report(&event_type.path, "no valid example: nothing shows that an event can satisfy it".into());
        }
        if all_have_examples && event_type.examples.iter().all(|example| is_valid(&example)) {
            report(&event_type.path, "no invalid example: nothing shows that it refuses anything".into());
        }
        for example in &event_type.examples {
            if let Err(problem) = replay(&judge, event_type, example, now_ms) {
                report(&example.path, problem);
            }
        }
    }
    Ok(problems)
}

/// Judges an example and compares what it promises.
///
/// # Errors
/// It is judged otherwise, in a sentence.
pub fn replay(judge: &Judge, event_type: &EventType, example: &Example, now_ms: i64) -> Result<(), String> {
    let headers = Headers { app: Some(b"example"), ..Headers::default() };
    let value = Some(example.event.as_bytes());
    let judgement = judge.judge(&Record { value, headers, log_time_ms: now_ms, ..Record::default() });
    let reasons = judgement.reasons.iter().map(|reason| ExpectedReason {
        code: reason.code,
        pointer: reason.pointer.to_string(),
        keyword: reason.keyword.to_string(),
    });
    let (mut found, mut promised) = (reasons.collect::<Vec<_>>(), example.reasons.clone());
    found.sort();
    promised.sort();
    if found != promised {
        let said = |reasons: &[ExpectedReason]| match reasons {
            [] => "accepted".to_owned(),
            reasons => reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        return Err(format!("promises: {}; is judged: {}", said(&promised), said(&found)));
    }
    if judgement.is_accepted()
        && (&*judgement.category, &*judgement.name) != (&*event_type.category, &*event_type.name)
    {
        return Err(format!(
            "is an event of {:?} / {:?}, and lies with the examples of {:?} / {:?}",
            judgement.category, judgement.name, event_type.category, event_type.name
        ));
    }
    Ok(())
}
