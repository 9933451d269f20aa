//! ClickHouse's tokens, as far as they matter here: what is quoted, and what is a comment.

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Token<'a> {
    /// A keyword or a bare identifier.
    Word(&'a str),
    /// An identifier in ` or ", without them.
    Quoted(&'a str),
    /// A string with its quotes, or a number.
    Text(&'a str),
    Punctuation(u8),
}

impl Token<'_> {
    /// Whether it is this keyword.
    pub(crate) fn is(self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// Whether it is an identifier of this name, quoted or not.
    pub(crate) fn names(self, name: &str) -> bool {
        matches!(self, Self::Word(word) | Self::Quoted(word) if word.eq_ignore_ascii_case(name))
    }
}

pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Just after the last token.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next token and where it begins; white space and comments are skipped.
    pub(crate) fn next(&mut self) -> Option<(usize, Token<'a>)> {
        self.skip_blanks();
        let start = self.at;
        let bytes = self.text.as_bytes();
        let first = *bytes.get(start)?;
        let token = match first {
            b'\'' => {
                self.at = quoted_end(bytes, start, first);
                Token::Text(&self.text[start..self.at])
            }
            b'"' | b'`' => {
                self.at = quoted_end(bytes, start, first);
                Token::Quoted(self.text.get(start + 1..self.at - 1).unwrap_or_default())
            }
            b'$' if self.heredoc() => Token::Text(&self.text[start..self.at]),
            b'0'..=b'9' => {
                self.advance_while(|byte| is_word(byte) || byte == b'.');
                Token::Text(&self.text[start..self.at])
            }
            _ if is_word(first) => {
                self.advance_while(is_word);
                Token::Word(&self.text[start..self.at])
            }
            _ => {
                self.at += 1;
                Token::Punctuation(first)
            }
        };
        Some((start, token))
    }

    fn skip_blanks(&mut self) {
        let bytes = self.text.as_bytes();
        loop {
            match &bytes[self.at..] {
                [blank, ..] if blank.is_ascii_whitespace() || *blank == 0x0b => self.at += 1,
                [b'-', b'-', ..] | [b'#', b' ' | b'!', ..] => self.advance_while(|byte| byte != b'\n'),
                [b'/', b'*', comment @ ..] => {
                    let end = comment.windows(2).position(|pair| pair == b"*/");
                    self.at = end.map_or(bytes.len(), |end| self.at + 2 + end + 2);
                }
                _ => return,
            }
        }
    }

    fn advance_while(&mut self, accept: impl Fn(u8) -> bool) {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(|byte| accept(*byte)) {
            self.at += 1;
        }
    }

    /// `$tag$ ... $tag$`
    fn heredoc(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let Some(close) = rest[1..].find('$') else { return false };
        let tag = &rest[..close + 2];
        if !tag[1..tag.len() - 1].bytes().all(is_word) {
            return false;
        }
        let Some(end) = rest[tag.len()..].find(tag) else { return false };
        self.at += tag.len() + end + tag.len();
        true
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Just after the closing quote: a backslash escapes, and the quote doubled is itself.
fn quoted_end(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        at += match *byte {
            // At most to the end; a character of several bytes is skipped with the rest of its bytes.
            b'\\' => 2,
            byte if byte == quote && bytes.get(at + 1) == Some(&quote) => 2,
            byte if byte == quote => return at + 1,
            _ => 1,
        };
    }
    bytes.len()
}
