//! What is wrong with a log that is not the one that the tables were made from.

use std::fmt;

/// The place where the log contradicts the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    pub partition: i32,
    /// The first offset of which this is known.
    pub offset: u64,
    pub why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The log ends here, and the ledger or the group's commit lies further.
    Shorter { known_end: u64 },
    /// The log holds another record, or none, where one was judged.
    Other,
    /// The partition has no judged record to compare. So this one was compared for it: at the offset it holds another
    /// record, or it ends there.
    Elsewhere { partition: i32 },
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, offset, why } = self;
        match why {
            Why::Shorter { known_end } => write!(
                f,
                "partition {partition} was judged up to offset {known_end}, and the log ends at {offset}"
            )?,
            Why::Other => write!(
                f,
                "the record of partition {partition} at offset {offset} is not the one that was judged"
            )?,
            Why::Elsewhere { partition: other } => write!(
                f,
                "partition {partition} has nothing to compare, and partition {other} is not the one that was judged (at offset {offset})"
            )?,
        }
        write!(
            f,
            ": the topic was made anew, restored, or has lost records. `projector accept-loss` says what can be done"
        )
    }
}
