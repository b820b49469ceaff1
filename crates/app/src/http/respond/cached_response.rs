//! Responses that are equal for all callers: serialized once, compressed once, and revalidated by `ETag`.

use actix_web::http::header::{self, EntityTag, Header, HeaderMap, HeaderValue, IfNoneMatch};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::http::headers::is_present;
use crate::http::respond::compression;
use crate::idempotency::digest;

/// The cache policy for browsers and shared caches.
#[derive(Clone, Copy)]
pub enum CacheControl {
    /// Fresh for one second.
    Briefly,
    /// Stored, and revalidated on every use.
    Revalidate,
    /// As [`Revalidate`](Self::Revalidate), by the caller alone.
    Private,
    /// Stored for a year: the path has a hash of the content.
    Immutable,
}

impl CacheControl {
    fn cache_control(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Briefly => "public, max-age=1",
            Self::Revalidate => "public, no-cache",
            Self::Private => "private, no-cache",
            Self::Immutable => "public, max-age=31536000, immutable",
        })
    }
}

/// A response that does not depend on the caller.
pub struct CachedResponse {
    bytes: Bytes,
    media_type: HeaderValue,
    /// Weak, as the compressed bytes share it.
    tag: EntityTag,
    written_tag: HeaderValue,
    /// Compressed on first use; `None` where compression failed.
    compressed: OnceCell<Option<Bytes>>,
}

impl CachedResponse {
    pub fn of(body: &impl Serialize) -> Self {
        Self::of_json(serde_json::to_vec(body).expect("responses serialize as JSON").into())
    }

    /// A response of serialized JSON.
    pub fn of_json(json: Bytes) -> Self {
        Self::of_file(json, HeaderValue::from_static("application/json"))
    }

    /// A response of any media type.
    pub fn of_file(bytes: Bytes, media_type: HeaderValue) -> Self {
        let version = bytes.clone();
        Self::of_version(bytes, media_type, &version)
    }

    /// A response of JSON that is the same for the caller as long as its version is: members that change with the time
    /// alone are not in the version.
    pub fn of_json_version(body: &impl Serialize, version: &impl Serialize) -> Self {
        let [body, version] = [serde_json::to_vec(body), serde_json::to_vec(version)]
            .map(|json| json.expect("responses serialize as JSON"));
        Self::of_version(body.into(), HeaderValue::from_static("application/json"), &version)
    }

    fn of_version(bytes: Bytes, media_type: HeaderValue, version: &[u8]) -> Self {
        let tag = EntityTag::new_weak(URL_SAFE_NO_PAD.encode(digest(&[version])));
        let written_tag = HeaderValue::from_str(&tag.to_string()).expect("base64");
        Self { bytes, media_type, tag, written_tag, compressed: OnceCell::new() }
    }

    /// The maximum size in memory, in bytes, compressed bytes included.
    pub fn weight(&self) -> usize {
        2 * self.bytes.len() + size_of::<Self>()
    }

    /// The response to the request: 304 where the caller has it, compressed where the caller accepts that.
    pub async fn respond(&self, request: &HttpRequest, cache_control: CacheControl) -> HttpResponse {
        let ok = |body| HttpResponse::Ok().content_type(self.media_type.clone()).body(body);
        let mut response = if self.is_known_to(request) {
            HttpResponse::NotModified().finish()
        } else {
            match self.compressed_for(request).await {
                Some(compressed) => {
                    let mut response = ok(compressed);
                    compression::set_encoding(response.headers_mut());
                    response
                }
                None => ok(self.bytes.clone()),
            }
        };
        self.describe(response.headers_mut(), cache_control);
        response
    }

    /// Whether `If-None-Match` contains the tag (RFC 9110, 13.1.2).
    fn is_known_to(&self, request: &HttpRequest) -> bool {
        if !is_present(request.headers(), header::IF_NONE_MATCH) {
            return false;
        }
        match IfNoneMatch::parse(request) {
            Ok(IfNoneMatch::Any) => true,
            Ok(IfNoneMatch::Items(known)) => known.iter().any(|tag| tag.weak_eq(&self.tag)),
            Err(_) => false,
        }
    }

    async fn compressed_for(&self, request: &HttpRequest) -> Option<Bytes> {
        if self.bytes.len() < compression::LENGTH_MIN || !compression::is_requested(request) {
            return None;
        }
        self.compressed.get_or_init(|| compression::compressed(self.bytes.clone())).await.clone()
    }

    fn describe(&self, headers: &mut HeaderMap, cache_control: CacheControl) {
        headers.insert(header::ETAG, self.written_tag.clone());
        headers.insert(header::CACHE_CONTROL, cache_control.cache_control());
        compression::set_vary(headers);
    }
}
