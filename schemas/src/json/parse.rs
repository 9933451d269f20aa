//! The parser: from text to the list of values.

use std::fmt;

use super::{Entry, Kind, text};

/// Levels of objects and arrays: as many as serde_json reads, so that every reader of `data` can.
pub const MAX_DEPTH: u32 = 127;

/// Why a text is not JSON (or not within our limits), and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    problem: &'static str,
    /// Offset in bytes.
    at: usize,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.problem, self.at)
    }
}

/// No parent: the value is the document.
const NONE: u32 = u32::MAX;

/// Without recursion: hostile nesting can't exhaust the stack. While a container is open, `next`
/// of its entry holds its parent.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, SyntaxError> {
    let mut parser = Parser {
        bytes: text.as_bytes(),
        at: 0,
        // Events have a value to every ten bytes or so.
        values: Vec::with_capacity((text.len() / 10 + 8).min(1024)),
    };
    if text.len() >= NONE as usize {
        return Err(parser.error("more than 4 GiB of text"));
    }
    let mut parent = NONE;
    let mut in_object = false;
    let mut depth = 0;
    loop {
        parser.skip_space();
        let opened = parser.value(parent)?;
        if let Some(container) = opened {
            depth += 1;
            if depth > MAX_DEPTH {
                return Err(parser.error("nested deeper than 127 levels"));
            }
            parent = container;
            in_object = parser.kind(parent) == Kind::Object;
            parser.skip_space();
            let closing = if in_object { b'}' } else { b']' };
            if parser.peek() != Some(closing) {
                if in_object {
                    parser.key()?;
                }
                parser.count(parent);
                continue;
            }
        }
        // A value has ended, or a container has just been found empty.
        loop {
            if parent == NONE {
                parser.skip_space();
                return match parser.peek() {
                    None => Ok(parser.values),
                    Some(_) => Err(parser.error("more text after the end of the JSON value")),
                };
            }
            parser.skip_space();
            match (parser.peek(), in_object) {
                (Some(b','), _) => {
                    parser.at += 1;
                    if in_object {
                        parser.skip_space();
                        parser.key()?;
                    }
                    parser.count(parent);
                    break;
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    parser.at += 1;
                    depth -= 1;
                    parent = parser.close(parent);
                    in_object = parent != NONE && parser.kind(parent) == Kind::Object;
                }
                (_, true) => return Err(parser.error("expected , or }")),
                (_, false) => return Err(parser.error("expected , or ]")),
            }
        }
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Entry>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn error(&self, problem: &'static str) -> SyntaxError {
        SyntaxError { problem, at: self.at }
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Reads a value, of a container only its opening. The container's index if it is one.
    fn value(&mut self, parent: u32) -> Result<Option<u32>, SyntaxError> {
        match self.peek() {
            Some(b'"') => self.string()?,
            Some(b'{') => return Ok(Some(self.open(Kind::Object, parent))),
            Some(b'[') => return Ok(Some(self.open(Kind::Array, parent))),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.literal("true", Kind::True)?,
            Some(b'f') => self.literal("false", Kind::False)?,
            Some(b'n') => self.literal("null", Kind::Null)?,
            Some(_) => return Err(self.error("expected a JSON value")),
            None => return Err(self.error("the JSON text ends too early")),
        }
        Ok(None)
    }

    /// Reads a member's name and the colon after it.
    fn key(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            Some(b'"') => self.string()?,
            Some(_) => return Err(self.error("expected a key in quotes")),
            None => return Err(self.error("the JSON text ends too early")),
        }
        self.skip_space();
        match self.peek() {
            Some(b':') => self.at += 1,
            _ => return Err(self.error("expected :")),
        }
        Ok(())
    }

    fn open(&mut self, kind: Kind, parent: u32) -> u32 {
        let index = self.values.len() as u32;
        self.values.push(Entry { kind, start: self.at as u32, end: 0, next: parent, len: 0 });
        self.at += 1;
        index
    }

    /// Closes a container whose closing bracket was the last byte read; its parent.
    fn close(&mut self, container: u32) -> u32 {
        let next = self.values.len() as u32;
        let Some(entry) = self.values.get_mut(container as usize) else { return NONE };
        entry.end = self.at as u32;
        std::mem::replace(&mut entry.next, next)
    }

    fn count(&mut self, container: u32) {
        if let Some(entry) = self.values.get_mut(container as usize) {
            entry.len += 1;
        }
    }

    fn kind(&self, container: u32) -> Kind {
        self.values.get(container as usize).map_or(Kind::Null, |entry| entry.kind)
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        let next = self.values.len() as u32 + 1;
        self.values.push(Entry { kind, start: start as u32, end: end as u32, next, len: 0 });
    }

    fn literal(&mut self, word: &'static str, kind: Kind) -> Result<(), SyntaxError> {
        if !self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return Err(self.error("expected a JSON value"));
        }
        let start = self.at;
        self.at += word.len();
        self.push(kind, start, self.at);
        Ok(())
    }

    fn string(&mut self) -> Result<(), SyntaxError> {
        self.at += 1;
        let start = self.at;
        let mut kind = Kind::Plain;
        loop {
            self.at += text::plain_length(self.bytes.get(self.at..).unwrap_or_default());
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    kind = Kind::Escaped;
                    let escape = self.bytes.get(self.at..).unwrap_or_default();
                    self.at += text::escape_len(escape).map_err(|problem| self.error(problem))?;
                }
                Some(_) => return Err(self.error("a control character in a string must be escaped")),
                None => return Err(self.error("the JSON text ends in a string")),
            }
        }
        self.push(kind, start, self.at);
        self.at += 1;
        Ok(())
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        let integer_digits = self.at - start;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let has_exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if has_exponent {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        /// The largest double has 309 digits.
        const SURELY_IN_RANGE: usize = 300;
        if has_exponent || integer_digits > SURELY_IN_RANGE {
            let number = self.bytes.get(start..self.at).and_then(|digits| str::from_utf8(digits).ok());
            let number = number.and_then(|digits| digits.parse::<f64>().ok());
            if !number.is_some_and(f64::is_finite) {
                return Err(SyntaxError { problem: "a number beyond the range of a double", at: start });
            }
        }
        self.push(Kind::Number, start, self.at);
        Ok(())
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.error("expected a digit")) } else { Ok(()) }
    }
}
