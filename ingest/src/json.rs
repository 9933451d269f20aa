//! The scanner of events: where one ends, whether it is JSON, its two ids and its type.
//!
//! The bytes go into the log as they came, so nothing is built from them. The scanner walks over one JSON value
//! (RFC 8259) and remembers the places of the top-level `session_id`, `event_id`, `category` and `name`. It needs no
//! stack and no memory, whatever the input.

#[cfg(test)]
mod tests;

use schemas::{MAX_DEPTH, plain_length};

/// One value of a body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scanned<'a> {
    /// The value, without the white space around it.
    pub bytes: &'a [u8],
    /// The token of the top-level `session_id`, with its quotes if it is a string. The last one if the key is repeated.
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

/// Where a value stops being JSON, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Bytes from the start of what was scanned.
    pub at: usize,
    pub why: &'static str,
}

const TOO_DEEP: &str = "nested more than 127 deep";

impl Fault {
    /// Whether the value may be JSON, but is too deep for us.
    pub fn is_depth(&self) -> bool {
        self.why == TOO_DEEP
    }
}

/// Where the object or array at `at` ends, however deep it is. Only brackets count.
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

/// Which tokens may come next.
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

/// The text of a string token; `None` for any other token or for escapes without a meaning.
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
