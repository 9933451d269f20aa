//! libchdb holds clickhouse-local whole: one call runs it in this process, as its `main` would.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;

use anyhow::{Context, bail};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

/// Runs clickhouse-local with these arguments to its end. The library is opened at run time, so that nothing
/// needs it to build, and stays open: the engine leaves threads.
///
/// # Errors
/// Not a libchdb, or what the engine says of its failure.
pub(crate) fn clickhouse_local(library: &Path, arguments: &[String]) -> anyhow::Result<()> {
    let mut texts = vec![CString::new("clickhouse-local")?];
    for argument in arguments {
        texts.push(CString::new(argument.as_str())?);
    }
    let mut argv: Vec<*mut c_char> = texts.iter().map(|text| text.as_ptr().cast_mut()).collect();
    let argc = c_int::try_from(argv.len())?;
    let name = library.display();
    // SAFETY: libchdb's initialisers are ordinary C++ statics, and RTLD_LOCAL keeps its symbols (its own malloc
    // among them) from ours. The two functions have these signatures in 26.7.3, whose version is pinned. argc and
    // argv are as in main() and live as long as the call; the error is a C string that nobody frees.
    let said = unsafe {
        let library = Library::open(Some(library), RTLD_NOW | RTLD_LOCAL)
            .with_context(|| format!("cannot load the ClickHouse engine {name}"))?;
        let library: &'static Library = Box::leak(Box::new(library));
        let run: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void =
            *library.get(b"chdb_query_cmdline\0").with_context(|| format!("{name} is no libchdb"))?;
        let error: unsafe extern "C" fn(*mut c_void) -> *const c_char =
            *library.get(b"chdb_result_error\0").with_context(|| format!("{name} is no libchdb"))?;
        let result = run(argc, argv.as_mut_ptr());
        let error = if result.is_null() { std::ptr::null() } else { error(result) };
        if error.is_null() { String::new() } else { CStr::from_ptr(error).to_string_lossy().into_owned() }
    };
    match said.lines().next() {
        None | Some("") => Ok(()),
        Some(line) => bail!("the ClickHouse engine ended: {line}"),
    }
}
