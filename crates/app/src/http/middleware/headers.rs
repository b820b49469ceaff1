//! Headers of every response.

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::http::middleware::request_id::REQUEST_ID;
use crate::http::respond::problem::Occurrence;

/// Adds the request id and secure defaults. A draining server closes the connection.
pub fn complete(headers: &mut HeaderMap, occurrence: &Occurrence, is_draining: bool) {
    if let Ok(id) = HeaderValue::from_str(&occurrence.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    let mut set_default = |name: HeaderName, value: &'static str| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    set_default(header::CACHE_CONTROL, "no-store");
    set_default(
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    set_default(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set_default(header::X_FRAME_OPTIONS, "DENY");
    set_default(header::REFERRER_POLICY, "no-referrer");
    set_default(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if is_draining {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}
