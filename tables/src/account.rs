//! When the ledger of a partition adds up.

/// Whether `rows` rows, whose offsets add up to `sum` modulo 2^64, are each offset from `first` to `last` once: as many
/// rows as offsets, and the sum of an arithmetic series. A missing or doubled offset changes one of the two, unless two
/// faults cancel out exactly; the audit's exact check of a range finds those.
pub fn is_contiguous(rows: u64, first: u64, last: u64, sum: u64) -> bool {
    rows > 0 && first <= last && off(rows, first, last, sum) == (0, 0)
}

/// How far the ledger is off: rows, sum of offsets modulo 2^64. Further rows that add up change neither.
pub fn off(rows: u64, first: u64, last: u64, sum: u64) -> (i64, i64) {
    let (first, last) = (u128::from(first), u128::from(last));
    let offsets = (last + 1).saturating_sub(first);
    let expected = ((first + last) * offsets / 2) as u64;
    ((offsets as u64).wrapping_sub(rows) as i64, expected.wrapping_sub(sum) as i64)
}

#[cfg(test)]
mod tests {
    use super::{is_contiguous, off};

    #[test]
    fn only_if_nothing_is_missing_or_doubled() {
        assert!(is_contiguous(4, 3, 6, 18));
        assert!(!is_contiguous(3, 3, 6, 13), "5 is missing");
        assert!(!is_contiguous(4, 3, 6, 17), "4 twice, 5 missing");
        let end = u64::MAX / 2;
        assert!(is_contiguous(2, end - 1, end, (end - 1).wrapping_add(end)), "far up");
        assert!(!is_contiguous(0, 0, 0, 0));
        assert_eq!(off(3, 3, 6, 13), off(5, 3, 8, 28), "7 and 8 add up");
    }
}
