//! Lists the files of `event-types/` for `registry.rs`, which embeds them.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=event-types");
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("event-types");
    let mut list = String::from("&[\n");
    embed(&root, &root, &mut list)?;
    list.push(']');
    let out = env::var("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("event_types.rs"), list)
}

fn embed(root: &Path, directory: &Path, list: &mut String) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", directory.display());
    let mut entries: Vec<_> = fs::read_dir(directory)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            embed(root, &path, list)?;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            let relative = path.strip_prefix(root).expect("below the root");
            writeln!(list, "({relative:?}, include_str!({path:?})),").expect("a String takes all");
        }
    }
    Ok(())
}
