//! Embeds the console as `npm run build` left it in `console/dist`; without that, a page that says so.

use std::path::Path;

const PLACEHOLDER: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>The Eye</title>
<p>The console is not part of this build. Run <code>make run</code>, or <code>npm ci && npm run build</code> in
<code>query-api/console</code> and build query-api again. The API is here: <a href=\"/docs\">/docs</a>.
</html>
";

fn main() -> std::io::Result<()> {
    println!("cargo:rerun-if-changed=console/dist");
    let built = Path::new("console/dist/index.html").exists();
    let folder = if built {
        Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("console/dist")
    } else {
        let folder = Path::new(&std::env::var("OUT_DIR").unwrap_or_default()).join("console");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("index.html"), PLACEHOLDER)?;
        folder
    };
    println!("cargo:rustc-env=CONSOLE={}", folder.display());
    Ok(())
}
