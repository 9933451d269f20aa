//! Writes the JSON Schemas that are derived from Rust types: `make schemas`.

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
    fs::create_dir_all(&folder)?;
    for (name, schema) in schemas::generated() {
        fs::write(folder.join(name), schema)?;
    }
    Ok(())
}
