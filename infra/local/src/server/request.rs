//! A request of ClickHouse's HTTP protocol: what is asked, by whom, and how to answer.

use std::time::Duration;

use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};

use super::encoding::Encoding;
use super::exception::{Exception, code};

/// Everything but the body.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) user: String,
    pub(crate) password: String,
    /// The beginning of the statement, or all of it; the body goes on.
    pub(crate) query: Option<String>,
    pub(crate) query_id: Option<String>,
    pub(crate) database: Option<String>,
    /// When the statement names none.
    pub(crate) default_format: Option<String>,
    /// Values of `{name:Type}`.
    pub(crate) params: Vec<(String, String)>,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) session: Option<SessionKey>,
    pub(crate) content_encoding: String,
    /// The body is in ClickHouse's blocks.
    pub(crate) decompress: bool,
    pub(crate) encoding: Encoding,
    /// Nothing is sent before the statement has succeeded.
    pub(crate) wait_end_of_query: bool,
    /// The revision of ClickHouse's native protocol that the client speaks; 0 if it does not say.
    pub(crate) protocol_revision: u64,
    /// GET may only read.
    pub(crate) only_reads: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionKey {
    pub(crate) id: String,
    pub(crate) timeout: Duration,
    /// It must exist already.
    pub(crate) check: bool,
}

impl Request {
    /// # Errors
    /// Malformed credentials or session options.
    pub(crate) fn read(parts: &Parts) -> Result<Self, Exception> {
        let mut request = Self {
            user: String::new(),
            password: String::new(),
            query: None,
            query_id: None,
            database: None,
            default_format: None,
            params: Vec::new(),
            settings: Vec::new(),
            session: None,
            content_encoding: header(&parts.headers, CONTENT_ENCODING.as_str()).unwrap_or_default(),
            decompress: false,
            encoding: Encoding::Identity,
            wait_end_of_query: false,
            protocol_revision: 0,
            only_reads: parts.method == Method::GET || parts.method == Method::HEAD,
        };
        let mut http_compression = true;
        let mut blocks = false;
        let (mut session, mut timeout, mut check) = (None, Duration::from_secs(60), false);
        let (mut user, mut password) = (None, None);
        for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            let (name, value) = (name.into_owned(), value.into_owned());
            match name.as_str() {
                "query" => request.query = Some(value),
                "query_id" => request.query_id = Some(value).filter(|id| !id.is_empty()),
                "database" => request.database = Some(value).filter(|name| !name.is_empty()),
                "default_format" => request.default_format = Some(value),
                "user" => user = Some(value),
                "password" => password = Some(value),
                "session_id" => session = Some(value).filter(|id| !id.is_empty()),
                "session_timeout" => {
                    let seconds = value.parse().map_err(|_| bad("session_timeout", "seconds", &value))?;
                    timeout = Duration::from_secs(u64::min(seconds, 3600));
                }
                "session_check" => check = flag(&value),
                "compress" => blocks = flag(&value),
                "decompress" => request.decompress = flag(&value),
                "enable_http_compression" => http_compression = flag(&value),
                "client_protocol_version" => request.protocol_revision = value.parse().unwrap_or(0),
                "wait_end_of_query" => request.wait_end_of_query = flag(&value),
                // Said by clients, of no consequence here.
                "buffer_size"
                | "stacktrace"
                | "quota_key"
                | "close_session"
                | "http_zlib_compression_level"
                | "send_progress_in_http_headers"
                | "http_headers_progress_interval_ms"
                | "cancel_http_readonly_queries_on_client_close"
                | "async_insert_deduplicate" => {}
                "role" | "profile" | "readonly" | "allow_ddl" => {
                    let message =
                        format!("{name} cannot be chosen on the local server: it follows from the user");
                    return Err(Exception::new(code::ACCESS_DENIED, message));
                }
                _ => match name.strip_prefix("param_") {
                    Some(param) => request.params.push((param.to_owned(), value)),
                    None => request.settings.push((name, value)),
                },
            }
        }
        request.session = session.map(|id| SessionKey { id, timeout, check });
        let accepted = header(&parts.headers, ACCEPT_ENCODING.as_str()).unwrap_or_default();
        request.encoding = match (blocks, http_compression) {
            (true, _) => Encoding::Blocks,
            (false, true) => Encoding::accepted(&accepted),
            (false, false) => Encoding::Identity,
        };
        let named = |name| header(&parts.headers, name).filter(|value| !value.is_empty());
        request.default_format = request.default_format.or_else(|| named("x-clickhouse-format"));
        request.database = request.database.or_else(|| named("x-clickhouse-database"));
        request.query_id = request.query_id.or_else(|| named("x-clickhouse-query-id"));
        (request.user, request.password) = match basic(&parts.headers)? {
            Some(pair) => pair,
            None => (
                named("x-clickhouse-user").or(user).unwrap_or_else(|| "default".to_owned()),
                named("x-clickhouse-key").or(password).unwrap_or_default(),
            ),
        };
        Ok(request)
    }
}

fn flag(value: &str) -> bool {
    matches!(value, "1" | "true" | "yes" | "on")
}

fn bad(name: &str, wanted: &str, value: &str) -> Exception {
    Exception::new(code::BAD_ARGUMENTS, format!("{name} must be {wanted}, not {value:?}"))
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// `Authorization: Basic`.
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, Exception> {
    use base64::Engine as _;
    let Some(value) = header(headers, AUTHORIZATION.as_str()) else { return Ok(None) };
    let malformed =
        || Exception::new(code::AUTHENTICATION_FAILED, "Invalid authentication: Basic is understood");
    let (scheme, encoded) = value.split_once(' ').ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let decoded =
        base64::engine::general_purpose::STANDARD.decode(encoded.trim()).map_err(|_| malformed())?;
    let decoded = String::from_utf8(decoded).map_err(|_| malformed())?;
    let (user, password) = decoded.split_once(':').ok_or_else(malformed)?;
    Ok(Some((user.to_owned(), password.to_owned())))
}
