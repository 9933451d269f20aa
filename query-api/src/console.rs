//! The console's files, which are part of the binary.

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use infra::http::Problem;
use rust_embed::Embed;

#[derive(Embed)]
#[folder = "$CONSOLE"]
#[allow_missing = true]
struct Files;

/// A file of the console. A path without a file and without a dot is a page of the console itself.
pub(crate) async fn file(uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    let page = path.is_empty() || !(path.contains('.') || path.starts_with("v1/"));
    let name = if page { "index.html" } else { path };
    let Some(file) = Files::get(name) else {
        let detail = format!("there is nothing at {}: /docs lists the API", uri.path());
        return Problem::new(StatusCode::NOT_FOUND, "not_found", detail).into_response();
    };
    // Built files carry a hash of their content in their names.
    let cache = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, file.metadata.mimetype().to_owned()),
        (header::CACHE_CONTROL, cache.to_owned()),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'".to_owned(),
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    (headers, file.data).into_response()
}
