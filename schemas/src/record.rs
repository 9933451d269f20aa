//! A log record, as the judge reads it.

use uuid::Uuid;

/// Names of the record headers that the gateway writes and the judge reads.
pub mod header {
    /// The application that sent the event: a name in the registry of applications, UTF-8.
    pub const APP: &str = "app";
    /// The gateway's id for an event whose sender gave none: UUID text.
    pub const EVENT_ID: &str = "event_id";
    /// When the gateway received the event: RFC 3339.
    pub const RECEIVED_AT: &str = "received_at";
    /// W3C trace context of the request that brought the event.
    pub const TRACEPARENT: &str = "traceparent";
    /// A request to erase: what its key names. The gateway never writes it.
    pub const ERASE: &str = "erase";
    /// The key is a session.
    pub const ERASE_SESSION: &str = "session";
    /// The key is the SHA-256 of a text that is the `session_id` of records.
    pub const ERASE_TEXT: &str = "text";
    /// The key is the place of a record.
    pub const ERASE_PLACE: &str = "place";
    /// Of a request to erase: hexadecimal digits.
    pub const SIGNATURE: &str = "signature";
}

/// A `traceparent` as text, if it has the form of W3C trace context, version 00. Any other text is nobody's trace, and
/// may be of any length: neither the gateway nor the judge keeps it.
pub fn traceparent(header: &[u8]) -> Option<&str> {
    let is_well_formed = header.len() == 55
        && header.iter().enumerate().all(|(place, byte)| match place {
            2 | 35 | 52 => *byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
    is_well_formed.then(|| str::from_utf8(header).ok())?
}

/// A log record as a consumer got it; everything is borrowed from the consumer's buffer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Record<'a> {
    pub partition: i32,
    pub offset: i64,
    /// Should be the session id (it chose the partition). The judge looks at it only where the value names none.
    pub key: Option<&'a [u8]>,
    /// The event's JSON as its sender wrote it; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
    /// The broker's time of the record, milliseconds since 1970.
    pub log_time_ms: i64,
}

/// The headers that mean something to the judge, as raw bytes. Others are ignored; of a repeated
/// header the first counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    pub app: Option<&'a [u8]>,
    pub event_id: Option<&'a [u8]>,
    pub received_at: Option<&'a [u8]>,
    pub traceparent: Option<&'a [u8]>,
    pub erase: Option<&'a [u8]>,
    pub signature: Option<&'a [u8]>,
}

impl Record<'_> {
    /// The session that the key names.
    pub(crate) fn keyed_session(&self) -> Option<Uuid> {
        Uuid::try_parse_ascii(self.key?).ok()
    }
}

impl<'a> FromIterator<(&'a str, Option<&'a [u8]>)> for Headers<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, Option<&'a [u8]>)>>(headers: I) -> Self {
        let mut known = Headers::default();
        for (name, value) in headers {
            let slot = match name {
                header::APP => &mut known.app,
                header::EVENT_ID => &mut known.event_id,
                header::RECEIVED_AT => &mut known.received_at,
                header::TRACEPARENT => &mut known.traceparent,
                header::ERASE => &mut known.erase,
                header::SIGNATURE => &mut known.signature,
                _ => continue,
            };
            *slot = slot.or(value);
        }
        known
    }
}
