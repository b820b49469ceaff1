//! Requests of pages from other origins (CORS). Without allowed origins no response has a header of this file.

use actix_web::HttpResponse;
use actix_web::dev::RequestHead;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static("Authorization, Content-Type, Idempotency-Key, If-Match");
const RESPONSE_HEADERS: HeaderValue =
    HeaderValue::from_static("ETag, Idempotent-Replayed, Location, Retry-After, X-Request-Id");
/// In seconds. Browsers have maxima of 10 minutes and more.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The origins whose pages may call the API.
pub struct Cors {
    pub origins: Vec<HeaderValue>,
}

impl Cors {
    /// The origin of the request, if it is allowed.
    pub fn origin(&self, request: &RequestHead) -> Option<HeaderValue> {
        request.headers.get(header::ORIGIN).filter(|origin| self.origins.contains(origin)).cloned()
    }
}

/// Whether a browser requests the permission for a later request. A preflight has no token.
pub fn is_preflight(request: &RequestHead) -> bool {
    request.method == Method::OPTIONS && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The response to a preflight: the permission for every request of an allowed origin.
pub fn preflight() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, METHODS))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE))
        .finish()
}

/// Lets pages of the origin read the response.
pub fn allow(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
    }
}
