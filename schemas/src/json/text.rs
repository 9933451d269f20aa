//! Strings: finding their end, checking and reading their escapes.

/// How many bytes from the start stand for themselves in a JSON string: no quote, no backslash, no control character.
/// Eight at a time, as in "Determine if a word has a byte less than n" of Bit Twiddling Hacks.
#[inline]
pub fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut length = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let quote = has_zero(word ^ (ONES * u64::from(b'"')));
        let backslash = has_zero(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let special = quote | backslash | control;
        if special != 0 {
            // Borrows can only set bits above the lowest true one.
            return length + (special.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    length + rest.iter().position(special).unwrap_or(rest.len())
}

/// The length of the escape sequence at the start of `bytes`, a pair of surrogates being one.
pub(super) fn escape_len(bytes: &[u8]) -> Result<usize, &'static str> {
    match bytes {
        [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Ok(2),
        [b'\\', b'u', rest @ ..] => match (code_unit(rest), rest.get(4..)) {
            (Some(0xD800..=0xDBFF), Some([b'\\', b'u', low @ ..])) => match code_unit(low) {
                Some(0xDC00..=0xDFFF) => Ok(12),
                _ => Err("a surrogate without its other half"),
            },
            (Some(0xD800..=0xDFFF), _) => Err("a surrogate without its other half"),
            (Some(_), _) => Ok(6),
            (None, _) => Err("\\u needs four hexadecimal digits"),
        },
        _ => Err("no such escape"),
    }
}

/// The text of a string's content. Invalid escapes are left out.
pub(super) fn unescape(content: &str) -> String {
    let mut said = String::with_capacity(content.len());
    let mut rest = content;
    while let Some(at) = rest.find('\\') {
        let (plain, escaped) = rest.split_at(at);
        said.push_str(plain);
        let bytes = escaped.as_bytes();
        let len = escape_len(bytes).unwrap_or(1);
        match bytes {
            [_, b'b', ..] => said.push('\u{8}'),
            [_, b'f', ..] => said.push('\u{c}'),
            [_, b'n', ..] => said.push('\n'),
            [_, b'r', ..] => said.push('\r'),
            [_, b't', ..] => said.push('\t'),
            [_, b'u', digits @ ..] => {
                let high = code_unit(digits).unwrap_or_default();
                let low = if len == 12 { code_unit(digits.get(6..).unwrap_or_default()) } else { None };
                said.extend(char::decode_utf16([high].into_iter().chain(low)).flatten());
            }
            [_, other, ..] if other.is_ascii() => said.push(char::from(*other)),
            _ => {}
        }
        rest = escaped.get(len..).unwrap_or_default();
    }
    said.push_str(rest);
    said
}

fn code_unit(digits: &[u8]) -> Option<u16> {
    digits.first_chunk::<4>()?.iter().try_fold(0, |unit, digit| {
        let value = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | value as u16)
    })
}
