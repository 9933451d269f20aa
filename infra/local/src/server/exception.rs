//! ClickHouse's errors: a code, a text that begins `Code: N. `, and the HTTP status that goes with it.

use std::fmt;

/// What a client is told when a statement fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exception {
    pub(crate) code: u32,
    /// The whole text, `Code: 62. DB::Exception: ... (SYNTAX_ERROR)`.
    pub(crate) text: String,
}

/// Codes that the server itself raises, as ClickHouse names them.
pub(crate) mod code {
    pub(crate) const BAD_ARGUMENTS: u32 = 36;
    pub(crate) const SYNTAX_ERROR: u32 = 62;
    pub(crate) const UNKNOWN_SETTING: u32 = 115;
    pub(crate) const READONLY: u32 = 164;
    pub(crate) const TOO_MANY_SIMULTANEOUS_QUERIES: u32 = 202;
    pub(crate) const QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING: u32 = 216;
    pub(crate) const CANNOT_DECOMPRESS: u32 = 271;
    pub(crate) const SESSION_NOT_FOUND: u32 = 372;
    pub(crate) const SESSION_IS_LOCKED: u32 = 373;
    pub(crate) const TOO_MANY_BYTES: u32 = 307;
    pub(crate) const ACCESS_DENIED: u32 = 497;
    pub(crate) const AUTHENTICATION_FAILED: u32 = 516;
    pub(crate) const ABORTED: u32 = 236;
}

fn name(code: u32) -> &'static str {
    match code {
        code::BAD_ARGUMENTS => "BAD_ARGUMENTS",
        code::SYNTAX_ERROR => "SYNTAX_ERROR",
        code::UNKNOWN_SETTING => "UNKNOWN_SETTING",
        code::READONLY => "READONLY",
        code::TOO_MANY_SIMULTANEOUS_QUERIES => "TOO_MANY_SIMULTANEOUS_QUERIES",
        code::QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING => "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
        code::CANNOT_DECOMPRESS => "CANNOT_DECOMPRESS",
        code::SESSION_NOT_FOUND => "SESSION_NOT_FOUND",
        code::SESSION_IS_LOCKED => "SESSION_IS_LOCKED",
        code::TOO_MANY_BYTES => "TOO_MANY_BYTES",
        code::ACCESS_DENIED => "ACCESS_DENIED",
        code::AUTHENTICATION_FAILED => "AUTHENTICATION_FAILED",
        code::ABORTED => "ABORTED",
        _ => "STD_EXCEPTION",
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Exception {}

impl Exception {
    pub(crate) fn new(code: u32, message: impl fmt::Display) -> Self {
        Self { code, text: format!("Code: {code}. DB::Exception: {message}. ({})", name(code)) }
    }

    /// From the engine's text.
    pub(crate) fn parse(text: &str) -> Self {
        let digits = text.strip_prefix("Code: ").and_then(|rest| rest.split('.').next());
        match digits.and_then(|digits| digits.trim().parse().ok()) {
            Some(code) => Self { code, text: text.trim_end().to_owned() },
            None => Self::new(1001, text.trim_end()),
        }
    }

    /// The status that ClickHouse answers for this code.
    pub(crate) fn status(&self) -> u16 {
        match self.code {
            code::AUTHENTICATION_FAILED | 192 | 193 | code::ACCESS_DENIED => 403,
            // Parsing, types, unknown identifiers, functions, settings.
            6 | 20 | 26 | 27 | 36 | 38 | 41 | 42 | 43 | 44 | 46 | 47 | 53 | 62 | 69 | 70 | 72 | 115 | 117
            | 131 | 271 | 344 | 372 | 373 | 452 | 456 => 400,
            // Unknown table, database, format and the like; the crate's users test for 404.
            16 | 60 | 73 | 81 => 404,
            159 => 408,
            164 => 400,
            code::TOO_MANY_SIMULTANEOUS_QUERIES => 503,
            _ => 500,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_read_from_the_engines_text() {
        let text = "Code: 47. DB::Exception: Unknown expression identifier `bad`. (UNKNOWN_IDENTIFIER)";
        assert_eq!(Exception::parse(text), Exception { code: 47, text: text.into() });
        assert_eq!(Exception::parse("no code").text, "Code: 1001. DB::Exception: no code. (STD_EXCEPTION)");
    }
}
