//! Where a page ended. A cursor is opaque to readers, and checked when it comes back.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::error::Error;
use crate::values::Time;

/// A place in a list ordered by (time, partition, offset). Unlike a page number it stays right while rows arrive: the
/// next page starts after this row, whatever rows were added before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub time: Time,
    pub partition: u16,
    pub offset: u64,
}

impl Cursor {
    /// Before every row of a list in ascending order.
    pub const FIRST: Self = Self { time: Time::MIN, partition: 0, offset: 0 };
    /// Before every row of a list in descending order.
    pub const LAST: Self = Self { time: Time::MAX, partition: u16::MAX, offset: u64::MAX };

    /// Writes the cursor for the list named by `list` (its filters and order).
    pub fn encode(self, list: &impl Hash) -> String {
        format!(
            "{:08x}{:016x}{:04x}{:016x}",
            fingerprint(list),
            self.time.micros().cast_unsigned(),
            self.partition,
            self.offset
        )
    }

    /// Reads a cursor of the list named by `list`.
    ///
    /// # Errors
    /// A text that is no cursor, or one of a list with other filters.
    pub fn decode(text: &str, list: &impl Hash) -> Result<Self, Error> {
        let number = |range: std::ops::Range<usize>| u64::from_str_radix(text.get(range)?, 16).ok();
        let parsed = || {
            let of_list = u32::try_from(number(0..8)?).ok()?;
            let time = Time::from_micros(number(8..24)?.cast_signed());
            let partition = u16::try_from(number(24..28)?).ok()?;
            Some((of_list, Self { time, partition, offset: number(28..44)? }))
        };
        match parsed().filter(|_| text.len() == 44 && text.bytes().all(|b| b.is_ascii_hexdigit())) {
            Some((_, Self { time, .. })) if !(Time::MIN..=Time::MAX).contains(&time) => Err(
                Error::parameter("cursor", "`cursor` is damaged: pass on `next_cursor` as it was answered"),
            ),
            Some((of_list, cursor)) if of_list == fingerprint(list) => Ok(cursor),
            Some(_) => Err(Error::parameter(
                "cursor",
                "`cursor` belongs to a list with other filters: keep the other parameters as they were, or leave it out",
            )),
            None => Err(Error::parameter(
                "cursor",
                "`cursor` is not one of ours: pass on `next_cursor` as it was answered, or start without it",
            )),
        }
    }
}

/// TRICKY: this has to tell lists apart only between two requests of one reader. A new release may not know old
/// cursors.
fn fingerprint(list: &impl Hash) -> u32 {
    let mut hasher = DefaultHasher::new();
    list.hash(&mut hasher);
    (hasher.finish() >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_went_and_not_otherwise() {
        let cursor = Cursor { time: Time::from_micros(-5), partition: 15, offset: 1 << 40 };
        let text = cursor.encode(&"list");
        assert_eq!(Cursor::decode(&text, &"list").unwrap(), cursor);
        for (text, list) in
            [(text.as_str(), "other"), ("", "list"), ("é".repeat(22).as_str(), "list"), (&text[1..], "list")]
        {
            assert!(Cursor::decode(text, &list).is_err(), "{text:?}");
        }
    }
}
