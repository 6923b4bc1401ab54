//! The server's own web pages: files inside the binary, which load nothing from elsewhere.

use actix_web::HttpResponse;
use actix_web::http::header;
use rust_embed::RustEmbed;

use super::error::ApiError;

/// Nothing from elsewhere, and nothing inline: what a page shows may be made of data. `ws:` is for browsers to whom a
/// socket of the same host is not `'self'`.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws:; object-src 'none'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// The file called `name` among those of the page at `page`.
pub fn serve<Files: RustEmbed>(page: &str, name: &str) -> Result<HttpResponse, ApiError> {
    let kind = match name.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let file = Files::get(name).ok_or_else(|| {
        ApiError::missing("resource_missing", format!("{page} has no file `{name}`; the page itself is {page}"))
    })?;
    Ok(HttpResponse::Ok()
        .content_type(kind)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        // Another version of the binary may be started on the same port.
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(file.data))
}
