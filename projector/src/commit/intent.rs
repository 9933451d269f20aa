//! What is about to be inserted, announced in the metadata of a committed offset.
//!
//! Offset `a` with metadata `1:b` says: everything below `a` is in the tables, and `[a, b)` is being
//! inserted. Offset `a` without metadata: nothing is under way.

use std::ops::Range;

/// Version of the text, so that a later form can be told apart.
const PREFIX: &str = "1:";

pub(crate) fn metadata(end: u64) -> String {
    format!("{PREFIX}{end}")
}

/// The announced chunk of a commit, if there is one. Anything that is not ours is no announcement:
/// other tools reset offsets with empty or foreign metadata.
pub(crate) fn announced(committed: u64, metadata: &str) -> Option<Range<u64>> {
    let end = metadata.strip_prefix(PREFIX)?.parse().ok()?;
    (end > committed).then_some(committed..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_reads_as_it_was_written() {
        assert_eq!(announced(5, &metadata(9)), Some(5..9));
        assert_eq!(announced(5, ""), None);
        assert_eq!(announced(5, "1:5"), None);
        assert_eq!(announced(5, "a commit by hand"), None);
    }
}
