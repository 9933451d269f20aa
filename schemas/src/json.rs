//! One pass over the text of a record: whether it is JSON, and where its values are.
//!
//! The result is a flat list of the values in document order, each with its place in the text;
//! nothing is copied or converted. The envelope is read from it, the schema is checked against it,
//! and `data` is a slice of the sender's own bytes.
//!
//! It takes RFC 8259 within the limits by which every reader of the log reads the same: nesting to [`MAX_DEPTH`],
//! numbers that a double can approach, no lone surrogates. Repeated keys pass here; [`Value::repeated_keys`] finds
//! them.

mod parse;
#[cfg(test)]
pub(crate) mod tests;
mod text;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

pub use self::parse::MAX_DEPTH;
pub(crate) use self::parse::SyntaxError;
pub use self::text::plain_length;

/// A JSON text with the places of its values.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    text: &'a str,
    /// In document order. The members of an object are a key and a value in turn.
    values: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: Kind,
    /// Where it is in the text: a string without its quotes, all else as a whole.
    start: u32,
    end: u32,
    /// The entry after it and all that is in it.
    next: u32,
    /// Elements of an array, members of an object.
    len: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    True,
    False,
    Number,
    /// A string that reads as it is written.
    Plain,
    /// A string with at least one escape.
    Escaped,
    Array,
    Object,
}

/// A value in a document. `'a` is the text, `'d` the document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'a, 'd> {
    document: &'d Document<'a>,
    index: u32,
    entry: Entry,
}

impl<'a> Document<'a> {
    /// Reads one JSON text that fills `text`.
    pub(crate) fn parse(text: &'a str) -> Result<Self, SyntaxError> {
        Ok(Self { text, values: parse::parse(text)? })
    }

    /// A document of one string, given without quotes and escapes.
    pub(crate) fn of_string(text: &'a str) -> Self {
        let end = u32::try_from(text.len()).unwrap_or(u32::MAX);
        Self { text, values: vec![Entry { kind: Kind::Plain, start: 0, end, next: 1, len: 0 }] }
    }

    pub(crate) fn root(&self) -> Value<'a, '_> {
        self.value(0)
    }

    #[inline]
    fn value(&self, index: u32) -> Value<'a, '_> {
        const NOTHING: Entry = Entry { kind: Kind::Null, start: 0, end: 0, next: u32::MAX, len: 0 };
        Value { document: self, index, entry: self.values.get(index as usize).copied().unwrap_or(NOTHING) }
    }
}

impl<'a, 'd> Value<'a, 'd> {
    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        self.entry.kind
    }

    /// The text of the value: a string without its quotes, all else as a whole.
    #[inline]
    pub(crate) fn raw(&self) -> &'a str {
        self.document.text.get(self.entry.start as usize..self.entry.end as usize).unwrap_or_default()
    }

    /// Where it stands in the text; a string with its quotes.
    pub(crate) fn span(&self) -> Range<usize> {
        let quote = usize::from(matches!(self.entry.kind, Kind::Plain | Kind::Escaped));
        (self.entry.start as usize).saturating_sub(quote)..self.entry.end as usize + quote
    }

    /// Length of [`raw`](Self::raw) in bytes.
    #[inline]
    pub(crate) fn raw_len(&self) -> usize {
        (self.entry.end - self.entry.start) as usize
    }

    /// The text of a string.
    #[inline]
    pub(crate) fn as_str(&self) -> Option<Cow<'a, str>> {
        match self.entry.kind {
            Kind::Plain => Some(Cow::Borrowed(self.raw())),
            Kind::Escaped => Some(Cow::Owned(text::unescape(self.raw()))),
            _ => None,
        }
    }

    /// Whether it is the string `text`.
    #[inline]
    pub(crate) fn is_str(&self, text: &str) -> bool {
        match self.entry.kind {
            Kind::Plain => self.raw_len() == text.len() && self.raw() == text,
            Kind::Escaped => text::unescape(self.raw()) == text,
            _ => false,
        }
    }

    /// Elements of an array, members of an object.
    pub(crate) fn len(&self) -> usize {
        self.entry.len as usize
    }

    /// An identity: no other value of the document has the same.
    pub(crate) fn identity(&self) -> (usize, u32) {
        (std::ptr::from_ref(self.document) as usize, self.index)
    }

    pub(crate) fn elements(&self) -> Elements<'a, 'd> {
        let left = if self.entry.kind == Kind::Array { self.entry.len } else { 0 };
        Elements { document: self.document, next: self.index + 1, left }
    }

    pub(crate) fn members(&self) -> Members<'a, 'd> {
        let left = if self.entry.kind == Kind::Object { self.entry.len } else { 0 };
        Members { document: self.document, next: self.index + 1, left }
    }

    /// The value of the first member of that name.
    pub(crate) fn get(&self, name: &str) -> Option<Value<'a, 'd>> {
        self.members().find(|(key, _)| key.is_str(name)).map(|(_, value)| value)
    }

    /// The keys that repeat an earlier key of their object, anywhere in this value, in document
    /// order of their objects.
    pub(crate) fn repeated_keys(&self) -> Vec<Value<'a, 'd>> {
        let mut repeated = Vec::new();
        for index in self.index..self.entry.next {
            let value = self.document.value(index);
            if value.entry.kind == Kind::Object && value.entry.len > 1 {
                value.own_repeated_keys(&mut repeated);
            }
        }
        repeated
    }

    fn own_repeated_keys(&self, repeated: &mut Vec<Value<'a, 'd>>) {
        /// Up to here comparing all pairs costs less than hashing.
        const FEW: usize = 16;
        if self.len() <= FEW {
            let mut others = self.members();
            let mut has_repeated = false;
            while let Some((key, _)) = others.next() {
                has_repeated |= others.clone().any(|(other, _)| key.same_str(&other));
            }
            if !has_repeated {
                return;
            }
        }
        let mut seen = HashSet::with_capacity(self.len());
        repeated.extend(self.members().map(|(key, _)| key).filter(|key| !seen.insert(key.as_str())));
    }

    fn same_str(&self, other: &Self) -> bool {
        match (self.entry.kind, other.entry.kind) {
            (Kind::Plain, Kind::Plain) => self.raw_len() == other.raw_len() && self.raw() == other.raw(),
            _ => self.as_str() == other.as_str(),
        }
    }

    /// JSON pointer from this value to one inside it; for a key, to its member. Found when it is
    /// displayed, in time that grows with the size of this value.
    pub(crate) fn pointer_to(self, inner: Self) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            let holds = |value: &Self| value.index <= inner.index && inner.index < value.entry.next;
            let mut at = self;
            loop {
                if let Some((key, value)) = at.members().find(|(key, value)| holds(key) || holds(value)) {
                    let name = key.as_str().unwrap_or_default();
                    write!(f, "/{}", name.replace('~', "~0").replace('/', "~1"))?;
                    at = value;
                } else if let Some((place, element)) = at.elements().enumerate().find(|(_, e)| holds(e)) {
                    write!(f, "/{place}")?;
                    at = element;
                } else {
                    return Ok(());
                }
            }
        })
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Elements<'a, 'd> {
    document: &'d Document<'a>,
    next: u32,
    left: u32,
}

impl<'a, 'd> Iterator for Elements<'a, 'd> {
    type Item = Value<'a, 'd>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let value = self.document.value(self.next);
        self.next = value.entry.next;
        Some(value)
    }
}

/// Keys and values.
#[derive(Debug, Clone)]
pub(crate) struct Members<'a, 'd> {
    document: &'d Document<'a>,
    next: u32,
    left: u32,
}

impl<'a, 'd> Iterator for Members<'a, 'd> {
    type Item = (Value<'a, 'd>, Value<'a, 'd>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let key = self.document.value(self.next);
        let value = self.document.value(self.next + 1);
        self.next = value.entry.next;
        Some((key, value))
    }
}
