//! What questions add to the tables of the passes.

use std::collections::BTreeMap;

use clickhouse::query::Query;

/// A stretch of the log that the row tables include, and that no pass has seen yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(super) partitions: Vec<u16>,
    pub(super) starts: Vec<u64>,
    pub(super) ends: Vec<u64>,
}

impl Stretch {
    pub(super) fn between(kept: &BTreeMap<u16, u64>, log: &BTreeMap<u16, u64>) -> Self {
        let mut stretch = Self::default();
        for (partition, end) in log {
            let start = kept.get(partition).copied().unwrap_or(0);
            // If rows were lost, the log's rows may end before it.
            if start < *end {
                stretch.partitions.push(*partition);
                stretch.starts.push(start);
                stretch.ends.push(*end);
            }
        }
        stretch
    }

    /// Where it ends, by partition.
    pub(super) fn ends(&self) -> impl Iterator<Item = (u16, u64)> {
        self.partitions.iter().copied().zip(self.ends.iter().copied())
    }

    /// Offsets.
    pub(super) fn len(&self) -> u64 {
        self.ends.iter().zip(&self.starts).map(|(end, start)| end - start).sum()
    }

    /// The values of the statements in [`tables::derived`].
    pub(crate) fn bind(&self, query: Query) -> Query {
        query
            .param("partitions", &self.partitions)
            .param("starts", &self.starts)
            .param("ends", &self.ends)
            .param("everything", false)
    }
}
