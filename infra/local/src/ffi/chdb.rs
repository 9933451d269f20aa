//! libchdb, the ClickHouse engine as a library: its C ABI (as of 26.7.3; no header is shipped) made safe.
//!
//! The library is opened at run time, so that nothing needs it to build. One process owns a data path;
//! several connections to it run in parallel, one connection runs one thing at a time (hence `&mut`).
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;

use anyhow::{Context, ensure};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::server::exception::Exception;

type Ptr = *mut c_void;
type Query = unsafe extern "C" fn(
    Ptr,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> Ptr;

/// The functions that are used, looked up once. The library is never unloaded: the engine has threads.
#[derive(Debug)]
pub(crate) struct Chdb {
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut Ptr,
    close: unsafe extern "C" fn(*mut Ptr),
    query: Query,
    stream: Query,
    stream_fetch: unsafe extern "C" fn(Ptr, Ptr) -> Ptr,
    stream_cancel: unsafe extern "C" fn(Ptr, Ptr),
    insert: Query,
    insert_append: unsafe extern "C" fn(Ptr, *const c_char, usize) -> c_int,
    insert_done: unsafe extern "C" fn(Ptr) -> Ptr,
    insert_error: unsafe extern "C" fn(Ptr) -> *const c_char,
    insert_cancel: unsafe extern "C" fn(Ptr),
    insert_destroy: unsafe extern "C" fn(Ptr),
    result_buffer: unsafe extern "C" fn(Ptr) -> *const c_char,
    result_length: unsafe extern "C" fn(Ptr) -> usize,
    result_error: unsafe extern "C" fn(Ptr) -> *const c_char,
    rows_read: unsafe extern "C" fn(Ptr) -> u64,
    bytes_read: unsafe extern "C" fn(Ptr) -> u64,
    rows_written: unsafe extern "C" fn(Ptr) -> u64,
    bytes_written: unsafe extern "C" fn(Ptr) -> u64,
    result_destroy: unsafe extern "C" fn(Ptr),
}

impl Chdb {
    /// Opens the library for the rest of the process.
    ///
    /// # Errors
    /// No such file, or not a libchdb of the expected ABI.
    pub(crate) fn load(path: &Path) -> anyhow::Result<&'static Self> {
        // SAFETY: libchdb's initialisers are ordinary C++ statics. RTLD_LOCAL keeps its symbols (its own
        // malloc among them) from ours.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }
            .with_context(|| format!("cannot load the ClickHouse engine {}", path.display()))?;
        let library: &'static Library = Box::leak(Box::new(library));
        macro_rules! symbol {
            ($name:literal) => {
                // SAFETY: the type of the field it goes to is the signature of that function in 26.7.3,
                // whose version is pinned; the library lives as long as the process.
                *unsafe { library.get(concat!($name, "\0").as_bytes()) }
                    .with_context(|| concat!("this libchdb lacks ", $name))?
            };
        }
        let signal_handlers: unsafe extern "C" fn(c_int) = symbol!("chdb_set_signal_handlers_enabled");
        // SAFETY: called before the first connection, as it must be. Signals stay ours.
        unsafe { signal_handlers(0) };
        Ok(Box::leak(Box::new(Self {
            connect: symbol!("chdb_connect"),
            close: symbol!("chdb_close_conn"),
            query: symbol!("chdb_query_with_params_n"),
            stream: symbol!("chdb_stream_query_with_params_n"),
            stream_fetch: symbol!("chdb_stream_fetch_result"),
            stream_cancel: symbol!("chdb_stream_cancel_query"),
            insert: symbol!("chdb_stream_insert_with_params_n"),
            insert_append: symbol!("chdb_stream_append"),
            insert_done: symbol!("chdb_stream_done"),
            insert_error: symbol!("chdb_stream_insert_error"),
            insert_cancel: symbol!("chdb_stream_cancel_insert"),
            insert_destroy: symbol!("chdb_destroy_insert_stream"),
            result_buffer: symbol!("chdb_result_buffer"),
            result_length: symbol!("chdb_result_length"),
            result_error: symbol!("chdb_result_error"),
            rows_read: symbol!("chdb_result_rows_read"),
            bytes_read: symbol!("chdb_result_bytes_read"),
            rows_written: symbol!("chdb_result_rows_written"),
            bytes_written: symbol!("chdb_result_bytes_written"),
            result_destroy: symbol!("chdb_destroy_query_result"),
        })))
    }

    /// A connection to the data in `path`; the first one starts the engine there.
    ///
    /// # Errors
    /// Another process owns the path, or its data can't be opened (the engine says why on standard error).
    pub(crate) fn connect(&'static self, path: &Path, config: &Path) -> anyhow::Result<Connection> {
        let arguments = [
            "clickhouse".to_owned(),
            format!("--path={}", path.display()),
            format!("--config-file={}", config.display()),
        ];
        let arguments: Vec<CString> = arguments.into_iter().map(CString::new).collect::<Result<_, _>>()?;
        let mut pointers: Vec<*mut c_char> = arguments.iter().map(|text| text.as_ptr().cast_mut()).collect();
        // SAFETY: argc and argv as in main(); the engine copies them.
        let handle = unsafe { (self.connect)(pointers.len() as c_int, pointers.as_mut_ptr()) };
        ensure!(!handle.is_null(), "the engine cannot open {}", path.display());
        Ok(Connection { chdb: self, handle })
    }

    fn error_of(&self, result: Ptr) -> Option<Exception> {
        // SAFETY: `result` is a live result; the text belongs to it and is copied here.
        let text = unsafe { text((self.result_error)(result)) }?;
        Some(Exception::parse(&text))
    }

    fn answer(&'static self, result: Ptr) -> Result<Answer, Exception> {
        if result.is_null() {
            return Err(Exception::new(1001, "the engine gave no answer"));
        }
        let answer = Answer { chdb: self, result };
        self.error_of(result).map_or(Ok(answer), Err)
    }
}

/// # Safety
/// `pointer` is null or a C string.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: by the contract above.
    let text = unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned();
    (!text.is_empty()).then_some(text)
}

/// One session of the engine: settings, role and current database stick to it.
#[derive(Debug)]
pub(crate) struct Connection {
    chdb: &'static Chdb,
    handle: *mut Ptr,
}

// SAFETY: the engine lets any thread use a connection, one at a time, which `&mut self` ensures.
unsafe impl Send for Connection {}

/// Values of `{name:Type}`.
pub(crate) type Params = [(String, String)];

impl Connection {
    /// Runs one statement and returns its whole answer.
    pub(crate) fn query(&mut self, sql: &str, format: &str, params: &Params) -> Result<Answer, Exception> {
        let result = self.call(self.chdb.query, sql, format, params);
        self.chdb.answer(result)
    }

    /// Runs a SELECT whose answer comes in chunks, each a complete document of the format.
    pub(crate) fn stream(
        &mut self,
        sql: &str,
        format: &str,
        params: &Params,
    ) -> Result<Stream<'_>, Exception> {
        let handle = self.call(self.chdb.stream, sql, format, params);
        let handle = self.chdb.answer(handle)?;
        Ok(Stream { connection: self, handle, ended: false })
    }

    /// Begins an INSERT; `sql` is its text *without* a FORMAT clause, the data is appended.
    pub(crate) fn insert(
        &mut self,
        sql: &str,
        format: &str,
        params: &Params,
    ) -> Result<Insert<'_>, Exception> {
        let handle = self.call(self.chdb.insert, sql, format, params);
        if handle.is_null() {
            return Err(Exception::new(1001, "the engine gave no insert stream"));
        }
        let insert = Insert { connection: self, handle, done: false };
        insert.error().map_or(Ok(insert), Err)
    }

    fn call(&mut self, function: Query, sql: &str, format: &str, params: &Params) -> Ptr {
        let pointers = |which: fn(&(String, String)) -> &String| -> (Vec<*const c_char>, Vec<usize>) {
            params.iter().map(which).map(|text| (text.as_ptr().cast(), text.len())).unzip()
        };
        let (names, name_lengths) = pointers(|(name, _)| name);
        let (values, value_lengths) = pointers(|(_, value)| value);
        // SAFETY: `handle` is open; every text is passed with its length and outlives the call.
        unsafe {
            function(
                *self.handle,
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                names.as_ptr(),
                name_lengths.as_ptr(),
                values.as_ptr(),
                value_lengths.as_ptr(),
                params.len(),
            )
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: open, closed once; nothing borrows it any more.
        unsafe { (self.chdb.close)(self.handle) };
    }
}

/// What the engine answered; derefs to the bytes without copying them.
#[derive(Debug)]
pub(crate) struct Answer {
    chdb: &'static Chdb,
    result: Ptr,
}

// SAFETY: a result is plain memory that nothing else refers to.
unsafe impl Send for Answer {}

/// Counts of a statement.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) rows_read: u64,
    pub(crate) bytes_read: u64,
    pub(crate) rows_written: u64,
    pub(crate) bytes_written: u64,
}

impl Answer {
    pub(crate) fn counts(&self) -> Counts {
        let Self { chdb, result } = *self;
        // SAFETY: `result` is live.
        unsafe {
            Counts {
                rows_read: (chdb.rows_read)(result),
                bytes_read: (chdb.bytes_read)(result),
                rows_written: (chdb.rows_written)(result),
                bytes_written: (chdb.bytes_written)(result),
            }
        }
    }
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `result` is live, and its buffer with it, for as long as `self` is borrowed.
        unsafe {
            let buffer = (self.chdb.result_buffer)(self.result);
            match (self.chdb.result_length)(self.result) {
                0 => &[],
                _ if buffer.is_null() => &[],
                length => std::slice::from_raw_parts(buffer.cast(), length),
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: live, destroyed once.
        unsafe { (self.chdb.result_destroy)(self.result) };
    }
}

/// A running SELECT. Dropped before its end, it is cancelled.
pub(crate) struct Stream<'a> {
    connection: &'a mut Connection,
    handle: Answer,
    ended: bool,
}

impl Stream<'_> {
    /// The next chunk, `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Answer>, Exception> {
        if self.ended {
            return Ok(None);
        }
        let Self { connection, handle, .. } = self;
        // SAFETY: connection and stream are live and belong together.
        let chunk = unsafe { (connection.chdb.stream_fetch)(*connection.handle, handle.result) };
        if chunk.is_null() {
            self.ended = true;
            return Ok(None);
        }
        match connection.chdb.answer(chunk) {
            Ok(chunk) if !chunk.as_ref().is_empty() => Ok(Some(chunk)),
            Ok(_) => {
                self.ended = true;
                Ok(None)
            }
            Err(error) => {
                self.ended = true;
                Err(error)
            }
        }
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // SAFETY: connection and stream are live and belong together.
            unsafe { (self.connection.chdb.stream_cancel)(*self.connection.handle, self.handle.result) };
        }
    }
}

/// A running INSERT. Dropped before [`Insert::finish`], it leaves nothing in the table.
pub(crate) struct Insert<'a> {
    connection: &'a mut Connection,
    handle: Ptr,
    done: bool,
}

impl Insert<'_> {
    pub(crate) fn append(&mut self, data: &[u8]) -> Result<(), Exception> {
        // SAFETY: the stream is live; the bytes are passed with their length and copied.
        let failed =
            unsafe { (self.connection.chdb.insert_append)(self.handle, data.as_ptr().cast(), data.len()) };
        if failed == 0 {
            return Ok(());
        }
        Err(self.error().unwrap_or_else(|| Exception::new(1001, "the engine refused the data of an INSERT")))
    }

    /// Commits what was appended.
    pub(crate) fn finish(mut self) -> Result<Answer, Exception> {
        self.done = true;
        // SAFETY: the stream is live and not finished.
        let result = unsafe { (self.connection.chdb.insert_done)(self.handle) };
        if result.is_null() {
            return Err(self
                .error()
                .unwrap_or_else(|| Exception::new(1001, "the engine did not confirm an INSERT")));
        }
        self.connection.chdb.answer(result)
    }

    fn error(&self) -> Option<Exception> {
        // SAFETY: the stream is live; the text belongs to it and is copied.
        let text = unsafe { text((self.connection.chdb.insert_error)(self.handle)) }?;
        Some(Exception::parse(&text))
    }
}

impl Drop for Insert<'_> {
    fn drop(&mut self) {
        // SAFETY: live; cancelled only while it runs, destroyed once.
        unsafe {
            if !self.done {
                (self.connection.chdb.insert_cancel)(self.handle);
            }
            (self.connection.chdb.insert_destroy)(self.handle);
        }
        self.handle = ptr::null_mut();
    }
}
