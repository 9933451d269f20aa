//! The verdict of an offset, and which tables get a row of it.

/// The numbers are those of the `Enum8` in `ddl/ledger.sql` and `ddl/landing.sql`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verdict {
    Accepted = 1,
    Rejected = 2,
    Duplicate = 3,
    /// The log holds no record at this offset: a transaction marker, an aborted record.
    Absent = 4,
    /// The record's session is erased.
    Erased = 5,
    /// The record asks to erase a session.
    Erasure = 6,
    /// The log has lost the record before it was judged: the log begins behind this offset.
    Lost = 7,
}

/// The bits of `landing.targets`.
pub const LEDGER: u8 = 1;
pub const EVENTS: u8 = 2;
pub const REJECTIONS: u8 = 4;
pub const ERASURES: u8 = 8;
pub const ALL: u8 = LEDGER | EVENTS | REJECTIONS | ERASURES;

/// The tables with a row an offset, and their bits.
pub const TARGETS: [(u8, &str); 4] =
    [(LEDGER, "ledger"), (EVENTS, "events"), (REJECTIONS, "rejections"), (ERASURES, "erasures")];

impl Verdict {
    pub const ALL: [Self; 7] = [
        Self::Accepted,
        Self::Rejected,
        Self::Duplicate,
        Self::Absent,
        Self::Erased,
        Self::Erasure,
        Self::Lost,
    ];

    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| *verdict as u8 == number)
    }

    /// The verdict's name in ClickHouse.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Duplicate => "duplicate",
            Self::Absent => "absent",
            Self::Erased => "erased",
            Self::Erasure => "erasure",
            Self::Lost => "lost",
        }
    }

    /// The tables that get a row, as the bits of `targets`.
    pub fn targets(self) -> u8 {
        match self {
            Self::Accepted => LEDGER | EVENTS,
            Self::Rejected => LEDGER | REJECTIONS,
            Self::Duplicate | Self::Absent | Self::Erased | Self::Lost => LEDGER,
            Self::Erasure => LEDGER | ERASURES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ddl;

    #[test]
    fn the_tables_know_the_same_verdicts() {
        let verdicts: Vec<String> = Verdict::ALL
            .iter()
            .map(|verdict| format!("'{}' = {}", verdict.as_str(), *verdict as u8))
            .collect();
        let column = format!("verdict Enum8({}),", verdicts.join(", "));
        for table in ["ledger", "landing"] {
            assert!(ddl::of(table).unwrap().contains(&column), "{table} has another column than {column}");
        }
    }

    #[test]
    fn each_target_has_a_view_of_its_bit() {
        for (bit, table) in TARGETS {
            let condition = format!("WHERE bitTest(targets, {})", bit.trailing_zeros());
            let (_, file) = ddl::TABLES.into_iter().find(|(name, _)| *name == table).unwrap();
            assert!(ddl::statements(file).nth(1).unwrap().ends_with(&format!("{condition}\n")), "{table}");
        }
    }
}
