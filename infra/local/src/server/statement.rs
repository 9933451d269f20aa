//! Reads just enough of a statement's text: what kind it is, where an INSERT's data begins, which
//! output format it asks for, and what must not be run. The engine parses the rest, and enforces grants.

use super::exception::{Exception, code};
use super::lexer::{Lexer, Token};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Answers rows and can be streamed.
    Select,
    /// Answers rows in one piece: SHOW, DESCRIBE, EXPLAIN, EXISTS, CHECK.
    Describe,
    /// Takes the data that follows the text.
    Insert,
    /// INSERT ... SELECT, DDL and the like.
    Change,
    /// SET and USE: of use within a session only.
    Session,
}

/// What was found out about a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) kind: Kind,
    /// The FORMAT clause: of the answer, or of an INSERT's data.
    pub(crate) format: Option<String>,
    /// Where the statement itself ends: before a trailing `;`, and for an INSERT before FORMAT or VALUES.
    pub(crate) end: usize,
    /// Where the data of an INSERT begins.
    pub(crate) data: usize,
    /// Names a system table that shows what others do, or everything's settings.
    pub(crate) reads_system: bool,
}

/// System tables that tell nothing about other users or the machine.
const HARMLESS: &[&str] = &[
    "one",
    "numbers",
    "numbers_mt",
    "zeros",
    "zeros_mt",
    "tables",
    "columns",
    "databases",
    "functions",
    "formats",
    "data_type_families",
    "settings",
    "table_functions",
    "keywords",
    "time_zones",
    "aggregate_function_combinators",
    "collations",
    "completions",
];

/// Engines of tables and databases that keep their data here and read nothing from elsewhere; and all
/// that end in MergeTree.
const ENGINES: &[&str] = &[
    "Memory",
    "Null",
    "Log",
    "TinyLog",
    "StripeLog",
    "Join",
    "Set",
    "Buffer",
    "Atomic",
    "View",
    "MaterializedView",
];

/// Statements that are known and not run here.
#[rustfmt::skip]
const REFUSED: &[&str] = &[
    "SYSTEM", "KILL", "GRANT", "REVOKE", "BACKUP", "RESTORE", "EXECUTE", "MOVE", "BEGIN", "START", "COMMIT",
    "ROLLBACK", "WATCH", "COPY",
];

/// Settings by which a user would lift its own limits.
const LIMITS: &[&str] = &["profile", "readonly", "role", "allow_ddl"];

/// Reads a statement.
///
/// # Errors
/// Empty, several statements in one text, or one that this server does not run although the engine's
/// grants would let it: `INTO OUTFILE`, the function `file()`, KILL, a change of one's own limits.
pub(crate) fn read(text: &str) -> Result<Statement, Exception> {
    let mut lexer = Lexer::new(text);
    let mut seen: Vec<(usize, Token<'_>)> = Vec::new();
    let (mut statement, mut selects, mut depth, mut settings) = (None, false, 0_i32, false);
    while let Some((at, token)) = lexer.next() {
        let Some(statement) = statement.as_mut() else {
            statement = Some(Statement::of(classify(token).ok_or_else(|| unknown(&text[at..]))?, text));
            seen.push((at, token));
            continue;
        };
        let back =
            |steps: usize| seen.len().checked_sub(steps).map_or(Token::Punctuation(b' '), |i| seen[i].1);
        let inserts = statement.kind == Kind::Insert && !selects;
        if statement.end < text.len() {
            return Err(Exception::new(code::SYNTAX_ERROR, "Multi-statements are not allowed"));
        }
        match token {
            Token::Punctuation(b';') => statement.end = at,
            Token::Punctuation(b'(') => {
                depth += 1;
                if back(1).names("file") && !back(2).is("INTO") && !back(2).is("TABLE") {
                    return Err(denied("the function file()"));
                }
                statement.reads_system |= back(1).names("merge");
            }
            Token::Punctuation(b')') => depth -= 1,
            Token::Punctuation(b'=') if settings && LIMITS.iter().any(|name| back(1).names(name)) => {
                return Err(denied("changing profile, role or readonly"));
            }
            Token::Word(_) if statement.kind == Kind::Session && token.is("ROLE") => {
                return Err(denied("SET ROLE"));
            }
            Token::Word(name) | Token::Quoted(name)
                if statement.kind == Kind::Change
                    && (back(1).is("ENGINE")
                        || back(1) == Token::Punctuation(b'=') && back(2).is("ENGINE"))
                    && !name.ends_with("MergeTree")
                    && !ENGINES.contains(&name) =>
            {
                return Err(denied(&format!("the engine {name}")));
            }
            Token::Word(_) if back(1).is("INTO") && token.is("OUTFILE") => {
                return Err(denied("INTO OUTFILE"));
            }
            Token::Word(_) if back(1).is("FROM") && token.is("INFILE") => return Err(denied("FROM INFILE")),
            Token::Word(format) if depth == 0 && back(1).is("FORMAT") && !is_column(back(2)) => {
                statement.format = Some(format.to_owned());
                if inserts {
                    statement.end = seen[seen.len() - 1].0;
                    statement.data = data_start(text, lexer.at());
                    return Ok(statement.clone());
                }
            }
            Token::Word(_) if depth == 0 && inserts && token.is("VALUES") => {
                statement.format = Some("Values".to_owned());
                (statement.end, statement.data) = (at, lexer.at());
                return Ok(statement.clone());
            }
            Token::Word(_) if inserts && (token.is("SELECT") || token.is("WITH")) => {
                selects = depth == 0 || back(1) == Token::Punctuation(b'(');
            }
            Token::Text("'system'") if back(1) == Token::Punctuation(b'(') && !back(2).is("IN") => {
                statement.reads_system = true;
            }
            _ => {}
        }
        // USE system, and then a bare name.
        statement.reads_system |= statement.kind == Kind::Session && token.names("system");
        settings |= token.is("SETTINGS") || statement.kind == Kind::Session;
        if back(2).names("system") && back(1) == Token::Punctuation(b'.') || token.is("PROCESSLIST") {
            statement.reads_system |= !HARMLESS.iter().any(|name| token.names(name));
        }
        seen.push((at, token));
    }
    let mut statement = statement.ok_or_else(|| Exception::new(code::SYNTAX_ERROR, "Empty query"))?;
    if selects {
        statement.kind = Kind::Change;
    }
    Ok(statement)
}

impl Statement {
    fn of(kind: Kind, text: &str) -> Self {
        Self { kind, format: None, end: text.len(), data: text.len(), reads_system: false }
    }
}

fn classify(first: Token<'_>) -> Option<Kind> {
    const SELECT: &[&str] = &["SELECT", "WITH", "FROM", "VALUES"];
    const DESCRIBE: &[&str] = &["SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "CHECK"];
    #[rustfmt::skip]
    const CHANGE: &[&str] = &[
        "CREATE", "ALTER", "DROP", "RENAME", "EXCHANGE", "TRUNCATE", "OPTIMIZE", "DETACH", "ATTACH", "UNDROP",
        "DELETE", "UPDATE", "REPLACE",
    ];
    let one_of = |keywords: &[&str]| keywords.iter().any(|keyword| first.is(keyword));
    match first {
        Token::Punctuation(b'(') => Some(Kind::Select),
        _ if one_of(SELECT) => Some(Kind::Select),
        _ if one_of(DESCRIBE) => Some(Kind::Describe),
        _ if first.is("INSERT") => Some(Kind::Insert),
        _ if one_of(CHANGE) => Some(Kind::Change),
        _ if one_of(&["SET", "USE"]) => Some(Kind::Session),
        _ => None,
    }
}

fn unknown(text: &str) -> Exception {
    let verb: String = text.chars().take_while(|letter| letter.is_alphanumeric()).collect();
    let verb = verb.to_uppercase();
    if REFUSED.contains(&verb.as_str()) {
        return denied(&format!("a {verb} statement"));
    }
    Exception::new(code::SYNTAX_ERROR, format!("Syntax error: no statement begins with {verb:?}"))
}

fn denied(what: &str) -> Exception {
    Exception::new(code::ACCESS_DENIED, format!("{what} is not allowed on the local server"))
}

/// After these a FORMAT is a name, not a clause.
fn is_column(before: Token<'_>) -> bool {
    matches!(before, Token::Punctuation(b',' | b'.'))
        || before.is("SELECT")
        || before.is("AS")
        || before.is("BY")
}

/// After the name of an INSERT's format: blanks and one line break are not data.
fn data_start(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    while matches!(bytes.get(at), Some(b' ' | b'\t' | 0x0c)) {
        at += 1;
    }
    if bytes.get(at) == Some(&b'\r') {
        at += 1;
    }
    if bytes.get(at) == Some(&b'\n') {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Kind {
        read(text).unwrap_or_else(|error| panic!("{text}: {}", error.text)).kind
    }

    fn refused(text: &str) -> u32 {
        match read(text) {
            Ok(statement) => panic!("{text}: {statement:?}"),
            Err(error) => error.code,
        }
    }

    #[test]
    fn kinds() {
        assert_eq!(kind("/* a */ -- b\n select 1"), Kind::Select);
        assert_eq!(kind("(SELECT 1) UNION ALL (SELECT 2)"), Kind::Select);
        assert_eq!(kind("WITH 1 AS x SELECT x"), Kind::Select);
        assert_eq!(kind("show tables"), Kind::Describe);
        assert_eq!(kind("INSERT INTO t (a, b) FORMAT CSV\n1,2"), Kind::Insert);
        assert_eq!(kind("INSERT INTO t"), Kind::Insert);
        assert_eq!(kind("INSERT INTO t (a) SELECT 1"), Kind::Change);
        assert_eq!(kind("INSERT INTO t (a) (SELECT 1)"), Kind::Change);
        assert_eq!(kind("INSERT INTO t WITH 1 AS x SELECT x"), Kind::Change);
        assert_eq!(kind("CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a;"), Kind::Change);
        assert_eq!(kind("SET max_threads = 1"), Kind::Session);
        assert_eq!(kind("SELECT engine, total_rows FROM system.tables WHERE engine = engine"), Kind::Select);
    }

    #[test]
    fn the_data_of_an_insert() {
        let check = |text: &str, statement: &str, format: &str, data: &str| {
            let insert = read(text).unwrap();
            assert_eq!(&text[..insert.end], statement);
            assert_eq!(insert.format.as_deref(), Some(format));
            assert_eq!(&text[insert.data..], data);
        };
        check("INSERT INTO t FORMAT CSV\n1;2\n", "INSERT INTO t ", "CSV", "1;2\n");
        check("INSERT INTO t FORMAT CSV \t\r\n\n1", "INSERT INTO t ", "CSV", "\n1");
        let columns = "INSERT INTO t (format, `values`) ";
        check(&format!("{columns}VALUES (1, ';')"), columns, "Values", " (1, ';')");
        let settings = "INSERT INTO t SETTINGS a = 'FORMAT x' ";
        check(&format!("{settings}FORMAT RowBinary"), settings, "RowBinary", "");
    }

    #[test]
    fn the_format_of_an_answer() {
        let format = |text| read(text).unwrap().format;
        assert_eq!(format("SELECT 1 FORMAT JSON"), Some("JSON".into()));
        assert_eq!(format("SELECT 1 FORMAT JSON SETTINGS a = 1;"), Some("JSON".into()));
        assert_eq!(format("SELECT ' FORMAT JSON'"), None);
        assert_eq!(format("SELECT format FROM t"), None);
        assert_eq!(format("SELECT a.format x FROM t"), None);
        assert_eq!(format("SELECT (SELECT 1 FORMAT JSON)"), None);
    }

    #[test]
    fn one_statement_a_text() {
        assert_eq!(refused("SELECT 1; SELECT 2"), code::SYNTAX_ERROR);
        assert_eq!(refused(" -- nothing"), code::SYNTAX_ERROR);
        assert_eq!(kind("SELECT ';' -- ; \n ; /* ; */"), Kind::Select);
        assert_eq!(kind("SELECT $x$ ; $x$"), Kind::Select);
        assert_eq!(kind(r"SELECT 'it\'; SELECT', '''; SELECT'"), Kind::Select);
    }

    #[test]
    fn what_the_grants_of_the_engine_do_not_stop() {
        for text in [
            "SYSTEM SHUTDOWN",
            "KILL QUERY WHERE 1",
            "GRANT ALL ON *.* TO x",
            "BACKUP DATABASE d TO File('x')",
            "EXECUTE AS x SELECT 1",
            "SELECT 1 INTO OUTFILE 'x'",
            "SELECT 1 into/**/outfile 'x' FORMAT CSV",
            "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
            "SELECT file('/etc/passwd')",
            "SELECT * FROM `file` ('/etc/passwd')",
            "SELECT 1 SETTINGS profile = 'default'",
            "SELECT 1 SETTINGS `readonly` = 0",
            "SET role = 'writer'",
            "SET ROLE default",
            "SET DEFAULT ROLE ALL TO x",
            "CREATE TABLE t (a String) ENGINE = URL('http://x')",
            "CREATE TABLE t (a String) ENGINE /**/ `File`(CSV)",
            "CREATE DATABASE d ENGINE = PostgreSQL('x')",
        ] {
            assert_eq!(refused(text), code::ACCESS_DENIED, "{text}");
        }
    }

    #[test]
    fn what_tells_about_others() {
        let reads = |text| read(text).unwrap().reads_system;
        assert!(reads("SELECT * FROM system.processes"));
        assert!(reads("SELECT * FROM \"system\" . `processes`"));
        assert!(reads("SHOW PROCESSLIST"));
        assert!(reads("USE `system`"));
        assert!(reads("SELECT * FROM merge(REGEXP('sys.*'), 'processes')"));
        assert!(reads("SELECT * FROM loop('system', 'processes')"));
        assert!(!reads("SELECT name FROM system.tables WHERE database IN ('system')"));
        assert!(!reads("SELECT system FROM t"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            let _ = read(&text);
        }

        #[test]
        fn no_sql_like_text_makes_it_panic(words in proptest::collection::vec(
            "INSERT|INTO|FORMAT|VALUES|SELECT|\\(|\\)|;|'|\"|`|\\$x\\$|\\$|--|/\\*|\\*/|#!|\\\\|\n|é|CSV|system|\\.|=",
            0..30,
        )) {
            let _ = read(&words.join(" "));
            let _ = read(&words.concat());
        }
    }
}
