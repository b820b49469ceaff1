//! Answers that are the same for everybody: written once, compressed once, and not sent to who has them already.

use actix_web::http::header::{self, EntityTag, Header, HeaderMap, HeaderValue, IfNoneMatch};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::http::respond::compression;
use crate::idempotency::digest;

/// How long browsers, and the caches on the way to them, may keep an answer.
#[derive(Clone, Copy)]
pub enum CacheControl {
    /// For a second.
    Briefly,
    /// As long as they like, but they have to ask each time whether it is still so.
    IfTheyAsk,
}

impl CacheControl {
    fn cache_control(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Briefly => "public, max-age=1",
            Self::IfTheyAsk => "public, no-cache",
        })
    }
}

/// An answer that does not depend on who asks.
pub struct CachedResponse {
    json: Bytes,
    /// Weak, as it is the same for the compressed bytes.
    tag: EntityTag,
    written_tag: HeaderValue,
    /// Compressed when somebody first asks for it; empty where that is not worth it.
    compressed: OnceCell<Option<Bytes>>,
}

impl CachedResponse {
    /// Writes it.
    pub fn of(body: &impl Serialize) -> Self {
        Self::of_json(serde_json::to_vec(body).expect("answers can be written as JSON").into())
    }

    /// An answer that is written already.
    pub fn of_json(json: Bytes) -> Self {
        let tag = EntityTag::new_weak(URL_SAFE_NO_PAD.encode(digest(&[&json])));
        let written_tag = HeaderValue::from_str(&tag.to_string()).expect("base64");
        Self { json, tag, written_tag, compressed: OnceCell::new() }
    }

    /// The most bytes that it takes, compressed ones included.
    pub fn weight(&self) -> usize {
        2 * self.json.len() + size_of::<Self>()
    }

    /// The answer to the request: as short as the caller takes it.
    pub async fn respond(&self, request: &HttpRequest, cache_control: CacheControl) -> HttpResponse {
        let mut response = if self.is_known_to(request) {
            HttpResponse::NotModified().finish()
        } else {
            match self.compressed_for(request).await {
                Some(compressed) => {
                    let mut response = HttpResponse::Ok().content_type(mime()).body(compressed);
                    compression::set_encoding(response.headers_mut());
                    response
                }
                None => HttpResponse::Ok().content_type(mime()).body(self.json.clone()),
            }
        };
        self.describe(response.headers_mut(), cache_control);
        response
    }

    /// Whether the caller has it already (RFC 9110, 13.1.2).
    fn is_known_to(&self, request: &HttpRequest) -> bool {
        if !request.headers().contains_key(header::IF_NONE_MATCH) {
            return false;
        }
        match IfNoneMatch::parse(request) {
            Ok(IfNoneMatch::Any) => true,
            Ok(IfNoneMatch::Items(known)) => known.iter().any(|tag| tag.weak_eq(&self.tag)),
            Err(_) => false,
        }
    }

    async fn compressed_for(&self, request: &HttpRequest) -> Option<Bytes> {
        if self.json.len() < compression::LENGTH_MIN || !compression::is_requested(request) {
            return None;
        }
        self.compressed.get_or_init(|| compression::compressed(self.json.clone())).await.clone()
    }

    fn describe(&self, headers: &mut HeaderMap, cache_control: CacheControl) {
        headers.insert(header::ETAG, self.written_tag.clone());
        headers.insert(header::CACHE_CONTROL, cache_control.cache_control());
        compression::set_vary(headers);
    }
}

fn mime() -> HeaderValue {
    HeaderValue::from_static("application/json")
}
