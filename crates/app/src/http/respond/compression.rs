//! Compression of responses with gzip, where `Accept-Encoding` prefers it.

use std::io::Write;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{
    self, AcceptEncoding, ContentEncoding, Encoding, Header, HeaderMap, HeaderValue, TryIntoHeaderValue,
};
use actix_web::{HttpMessage, web};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::http::headers::is_present;

/// The minimum length of a compressed body, in bytes. A shorter one fits into one packet.
pub const LENGTH_MIN: usize = 1_024;

/// Whether `Accept-Encoding` prefers gzip.
pub fn is_requested(request: &impl HttpMessage) -> bool {
    // Few clients send the header, and parsing it is the most expensive step.
    if !is_present(request.headers(), header::ACCEPT_ENCODING) {
        return false;
    }
    let known = [Encoding::gzip(), Encoding::identity()];
    AcceptEncoding::parse(request).is_ok_and(|accepted| accepted.negotiate(known.iter()) == Some(Encoding::gzip()))
}

/// Compresses in a thread for blocking work; `None` while the server shuts down.
pub async fn compressed(bytes: web::Bytes) -> Option<web::Bytes> {
    let compress = move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&bytes).and_then(|()| encoder.finish()).map(web::Bytes::from)
    };
    web::block(compress).await.ok()?.ok()
}

pub fn set_encoding(headers: &mut HeaderMap) {
    let gzip = ContentEncoding::Gzip.try_into_value().unwrap_or(HeaderValue::from_static("gzip"));
    headers.insert(header::CONTENT_ENCODING, gzip);
}

pub fn set_vary(headers: &mut HeaderMap) {
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
}

/// Compresses a successful response of sufficient length, unless it is compressed already.
pub async fn compress(response: ServiceResponse<impl MessageBody + 'static>) -> ServiceResponse<BoxBody> {
    let (request, response) = response.map_into_boxed_body().into_parts();
    if !response.status().is_success() || response.headers().contains_key(header::CONTENT_ENCODING) {
        return ServiceResponse::new(request, response);
    }
    let (mut response, body) = response.into_parts();
    let body = match body.try_into_bytes() {
        Ok(bytes) if bytes.len() >= LENGTH_MIN => {
            set_vary(response.headers_mut());
            match compressed(bytes.clone()).await {
                Some(compressed) => {
                    set_encoding(response.headers_mut());
                    BoxBody::new(compressed)
                }
                None => BoxBody::new(bytes),
            }
        }
        Ok(bytes) => BoxBody::new(bytes),
        Err(stream) => stream,
    };
    ServiceResponse::new(request, response.set_body(body))
}
