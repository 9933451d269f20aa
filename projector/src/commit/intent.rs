//! What is about to be inserted, announced in the metadata of a committed offset.
//!
//! Offset `a` with metadata `2:b:round` says: everything below `a` is in the tables, and `[a, b)` is being inserted by
//! that round. Offset `a` without metadata: nothing is under way. The earlier form `1:b` announced an insert of this
//! partition alone.

use std::ops::Range;
use std::sync::Arc;

use uuid::Uuid;

/// An announced chunk, and the round that inserts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Intent {
    pub range: Range<u64>,
    pub round: String,
}

/// The name of a new round: nobody can guess it and take its deduplication token first.
pub(crate) fn new_round() -> Arc<str> {
    Uuid::new_v4().simple().to_string().into()
}

pub(crate) fn metadata(end: u64, round: &str) -> String {
    format!("2:{end}:{round}")
}

/// The announced chunk of a commit, if there is one. Other tools reset offsets with empty or foreign metadata: what is not
/// ours announces nothing.
pub(crate) fn announced(partition: i32, committed: u64, metadata: &str) -> Option<Intent> {
    let mut parts = metadata.splitn(3, ':');
    let (version, end) = (parts.next()?, parts.next()?.parse().ok()?);
    let round = match (version, parts.next()) {
        ("1", None) => format!("{partition}:{committed}-{end}"),
        ("2", Some(round)) if !round.is_empty() => round.to_owned(),
        _ => return None,
    };
    (end > committed).then_some(Intent { range: committed..end, round })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_reads_as_it_was_written() {
        let read = |metadata: &str| announced(3, 5, metadata).map(|intent| (intent.range, intent.round));
        assert_eq!(read(&metadata(9, "name")), Some((5..9, "name".into())));
        assert_eq!(read("1:9"), Some((5..9, "3:5-9".into())), "of an earlier release");
        for none in ["", "1:5", "2:9", "2:9:", "2:5:name", "3:9:name", "a commit by hand"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
