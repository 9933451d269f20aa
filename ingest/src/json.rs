//! One look at an event: where it ends, whether it is JSON, its two ids and its type.
//!
//! The bytes go into the log as they came, so nothing is built from them: the scanner walks over one
//! JSON value (RFC 8259) and remembers where the top-level `session_id`, `event_id`, `category` and `name` stood.
//! It needs no stack and no memory, whatever it is fed.

/// What the judge reads as well; deeper is no JSON for either.
pub const MAX_DEPTH: u32 = 127;

/// One value of a body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scanned<'a> {
    /// The value, without the white space around it.
    pub bytes: &'a [u8],
    /// The token of the top-level `session_id`, with its quotes if it is a string. The last one if it is repeated.
    pub session_id: Option<&'a [u8]>,
    /// As `session_id`.
    pub event_id: Option<&'a [u8]>,
    /// As `session_id`.
    pub category: Option<&'a [u8]>,
    /// As `session_id`.
    pub name: Option<&'a [u8]>,
    /// `category` or `name` is repeated: readers would differ on what the type is.
    pub is_ambiguous: bool,
}

/// Where and why a value stopped being JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Bytes from the start of what was scanned.
    pub at: usize,
    pub why: &'static str,
}

const TOO_DEEP: &str = "nested more than 127 deep";

impl Fault {
    /// Whether it may be JSON, but is too deep for us.
    pub fn is_depth(&self) -> bool {
        self.why == TOO_DEEP
    }
}

/// Where the object or array at `at` ends, however deep it is: by its brackets alone.
pub fn past(bytes: &[u8], at: usize) -> Option<usize> {
    let mut scanner = Scanner { bytes, at };
    let mut depth = 0_u64;
    loop {
        match bytes.get(scanner.at)? {
            b'"' => {
                scanner.string().ok()?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        scanner.at += 1;
        if depth == 0 {
            return Some(scanner.at);
        }
    }
}

/// What stands where: enough to know what may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    /// After `[`.
    ValueOrEnd,
    /// After `{`.
    KeyOrEnd,
    Key,
    /// After a value inside an object or array.
    CommaOrEnd,
}

/// Scans the value that begins at `at` (white space before it is skipped) and returns it with the
/// position after it.
///
/// # Errors
/// No JSON, or nested too deeply.
pub fn scan(bytes: &[u8], at: usize) -> Result<(Scanned<'_>, usize), Fault> {
    let mut scanner = Scanner { bytes, at };
    scanner.white_space();
    let start = scanner.at;
    let mut scanned = Scanned::default();
    // Bit n: the container at depth n + 1 is an object.
    let mut objects: u128 = 0;
    let mut depth = 0u32;
    let mut expect = Expect::Value;
    // The last key of the outermost object, while its value is being scanned.
    let mut key: &[u8] = b"";
    loop {
        let token = scanner.at;
        let byte = scanner.peek("the value ends too early")?;
        match (expect, byte) {
            (Expect::Value | Expect::ValueOrEnd, b'{' | b'[') => {
                if depth == MAX_DEPTH {
                    return Err(scanner.fault(TOO_DEEP));
                }
                let is_object = byte == b'{';
                objects = objects & !(1 << depth) | u128::from(is_object) << depth;
                depth += 1;
                scanner.at += 1;
                expect = if is_object { Expect::KeyOrEnd } else { Expect::ValueOrEnd };
                scanner.white_space();
                continue;
            }
            (Expect::ValueOrEnd | Expect::CommaOrEnd, b']') if objects >> (depth - 1) & 1 == 0 => {
                scanner.at += 1;
                depth -= 1;
            }
            (Expect::KeyOrEnd | Expect::CommaOrEnd, b'}') if objects >> (depth - 1) & 1 == 1 => {
                scanner.at += 1;
                depth -= 1;
            }
            (Expect::Value | Expect::ValueOrEnd, _) => {
                scanner.scalar(byte)?;
                if depth == 1 && objects & 1 == 1 {
                    scanned.remember(key, &bytes[token..scanner.at]);
                }
            }
            (Expect::KeyOrEnd | Expect::Key, b'"') => {
                scanner.string()?;
                if depth == 1 {
                    key = &bytes[token..scanner.at];
                }
                scanner.white_space();
                scanner.expect(b':', "a colon is missing after a key")?;
                scanner.white_space();
                expect = Expect::Value;
                continue;
            }
            (Expect::KeyOrEnd | Expect::Key, _) => return Err(scanner.fault("a key in quotes is missing")),
            (Expect::CommaOrEnd, b',') => {
                scanner.at += 1;
                scanner.white_space();
                expect = if objects >> (depth - 1) & 1 == 1 { Expect::Key } else { Expect::Value };
                continue;
            }
            (Expect::CommaOrEnd, _) => return Err(scanner.fault("a comma or a closing bracket is missing")),
        }
        // A value is complete.
        if depth == 0 {
            break;
        }
        // A nested value that is no scalar forgets an id as well: `{"session_id": "a", "session_id": {}}`.
        if depth == 1 && matches!(byte, b']' | b'}') && objects & 1 == 1 {
            scanned.remember(key, b"{}");
        }
        scanner.white_space();
        expect = Expect::CommaOrEnd;
    }
    let end = scanner.at;
    Ok((Scanned { bytes: &bytes[start..end], ..scanned }, end))
}

/// The position of the next byte that is no white space.
pub fn skip_white_space(bytes: &[u8], at: usize) -> usize {
    let mut scanner = Scanner { bytes, at };
    scanner.white_space();
    scanner.at
}

/// What a string token says; `None` for any other token or for escapes that say nothing.
pub fn text(token: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
    let inner = token.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inner).is_none() {
        return std::str::from_utf8(inner).ok().map(Into::into);
    }
    serde_json::from_slice::<String>(token).ok().map(Into::into)
}

impl<'a> Scanned<'a> {
    fn remember(&mut self, key: &[u8], value: &'a [u8]) {
        match key {
            br#""session_id""# => self.session_id = Some(value),
            br#""event_id""# => self.event_id = Some(value),
            br#""category""# => self.is_ambiguous |= self.category.replace(value).is_some(),
            br#""name""# => self.is_ambiguous |= self.name.replace(value).is_some(),
            // A key may be written with escapes; the shortest escaped character has six bytes for one.
            _ if key.len() > 10 && memchr::memchr(b'\\', key).is_some() => match text(key).as_deref() {
                Some("session_id") => self.remember(br#""session_id""#, value),
                Some("event_id") => self.remember(br#""event_id""#, value),
                Some("category") => self.remember(br#""category""#, value),
                Some("name") => self.remember(br#""name""#, value),
                _ => {}
            },
            _ => {}
        }
    }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn fault(&self, why: &'static str) -> Fault {
        Fault { at: self.at, why }
    }

    fn peek(&self, why: &'static str) -> Result<u8, Fault> {
        self.bytes.get(self.at).copied().ok_or_else(|| self.fault(why))
    }

    fn expect(&mut self, byte: u8, why: &'static str) -> Result<(), Fault> {
        if self.peek(why)? != byte {
            return Err(self.fault(why));
        }
        self.at += 1;
        Ok(())
    }

    fn white_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn scalar(&mut self, first: u8) -> Result<(), Fault> {
        match first {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => Err(self.fault("a value is missing")),
        }
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<(), Fault> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.fault("true, false or null is misspelt"));
        }
        self.at += word.len();
        Ok(())
    }

    fn string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        loop {
            self.at += plain_length(&self.bytes[self.at..]);
            match self.peek("a string has no end")? {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.escape()?,
                _ => return Err(self.fault("a control character in a string must be escaped")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        self.at += 1;
        match self.peek("a string has no end")? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek("a string has no end")?.is_ascii_hexdigit() {
                        return Err(self.fault("\\u needs four hexadecimal digits"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.fault("no such escape")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        const DIGIT: &str = "a digit is missing in a number";
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        match self.peek(DIGIT)? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        match self.at == start {
            true => Err(self.fault("a digit is missing in a number")),
            false => Ok(()),
        }
    }
}

/// How many bytes from the start are neither a quote, a backslash nor a control character: eight at a
/// time, as in "Determine if a word has a byte less than n" of Bit Twiddling Hacks.
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut length = 0;
    let mut words = bytes.chunks_exact(8);
    for word in words.by_ref() {
        let word =
            u64::from_le_bytes([word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]]);
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
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let rest = words.remainder();
    length + rest.iter().position(special).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    fn ids(json: &str) -> (Option<&str>, Option<&str>) {
        let (scanned, _) = scan(json.as_bytes(), 0).unwrap();
        let utf8 = |token| std::str::from_utf8(token).unwrap();
        (scanned.session_id.map(utf8), scanned.event_id.map(utf8))
    }

    #[test]
    fn finds_the_ids_at_the_top_only() {
        assert_eq!(ids(r#"{"session_id":"a","event_id":7}"#), (Some("\"a\""), Some("7")));
        assert_eq!(ids(r#"{"data":{"session_id":"a"},"x":["event_id"]}"#), (None, None));
        assert_eq!(ids(r#"{"session_id":"a","session_id":"b"}"#), (Some("\"b\""), None));
        assert_eq!(ids(r#"{"session_id":"a","session_id":["b"]}"#), (Some("{}"), None));
        assert_eq!(ids(r#"{"session\u005fid":"a"}"#), (Some("\"a\""), None));
        assert_eq!(ids(r#"[{"session_id":"a"}]"#), (None, None));
    }

    #[test]
    fn finds_the_type_and_whether_it_is_one() {
        let of = |json: &'static str| {
            let (scanned, _) = scan(json.as_bytes(), 0).unwrap();
            let utf8 = |token: &'static [u8]| std::str::from_utf8(token).unwrap();
            (scanned.category.map(utf8), scanned.name.map(utf8), scanned.is_ambiguous)
        };
        assert_eq!(of(r#"{"category":"a","name":"b"}"#), (Some("\"a\""), Some("\"b\""), false));
        assert_eq!(
            of(r#"{"n\u0061me":"b","data":{"name":"c","category":"d"}}"#),
            (None, Some("\"b\""), false)
        );
        assert_eq!(of(r#"{"name":"b","\u006eame":"c"}"#), (None, Some("\"c\""), true));
        assert_eq!(of(r#"{"category":"b","category":[]}"#), (Some("{}"), None, true));
        assert_eq!(of(r#"["category","name"]"#), (None, None, false));
    }

    #[test]
    fn a_value_is_cut_out_exactly() {
        let body = b" [1, {\"a\": [] }]  x";
        let (scanned, end) = scan(body, 0).unwrap();
        assert_eq!((scanned.bytes, end), (&body[1..16], 16));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(scan(nested(127).as_bytes(), 0).is_ok());
        assert_eq!(scan(nested(128).as_bytes(), 0).unwrap_err().why, "nested more than 127 deep");
        assert!(scan("{\"a\":".repeat(1_000_000).as_bytes(), 0).is_err());
    }

    /// Like serde_json, which builds nothing here either; and all of the input, as a body of one event is.
    fn agrees(input: &[u8]) {
        let ours = scan(input, 0).is_ok_and(|(_, end)| skip_white_space(input, end) == input.len());
        let theirs = serde_json::from_slice::<IgnoredAny>(input).is_ok();
        // IgnoredAny does not look at the UTF-8 of strings, and nor does the scanner.
        assert_eq!(ours, theirs, "{:?}", String::from_utf8_lossy(input));
    }

    #[test]
    fn numbers_literals_and_escapes_as_serde_json_takes_them() {
        for input in [
            "0",
            "-0",
            "01",
            "-",
            "1.",
            "1.5",
            ".5",
            "1e",
            "1e+",
            "1E-9",
            "1e400",
            "true",
            "tru",
            "nul",
            "null",
            "\"\\u12g4\"",
            "\"\\ud800\"",
            "\"\\x\"",
            "\"a\nb\"",
            "\"",
            "",
            " ",
            "[1,]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "[}",
            "{]",
            "[1 2]",
            "1 2",
            "\u{feff}1",
            "{1:2}",
            "[[]",
            "{\"a\":{}",
            "\"\u{7f}é\"",
        ] {
            agrees(input.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_bytes(input in prop::collection::vec(any::<u8>(), 0..40)) {
            agrees(&input);
        }

        #[test]
        fn agrees_with_serde_json_on_nearly_json(input in r#"[\[\]{}",:0-9eE.+\-a-u\\ ]{0,30}"#) {
            agrees(input.as_bytes());
        }

        #[test]
        fn plain_length_is_that_of_a_plain_loop(input in prop::collection::vec(any::<u8>(), 0..60)) {
            let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
            prop_assert_eq!(plain_length(&input), input.iter().position(special).unwrap_or(input.len()));
        }
    }
}
