//! Embedded files of pages, hashed and compressed on their first use.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::http::header::HeaderValue;
use actix_web::web::Bytes;

use crate::http::respond::cached_response::CachedResponse;

/// Responses by the name of their file. Bounded, as only existing files are stored.
pub struct CachedFiles(Mutex<BTreeMap<String, Arc<CachedResponse>>>);

impl CachedFiles {
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// The file of that name; `read` returns its bytes and media type, or `None` where there is none.
    pub fn find(&self, name: &str, read: impl FnOnce() -> Option<(Bytes, HeaderValue)>) -> Option<Arc<CachedResponse>> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(name) {
            return Some(Arc::clone(file));
        }
        let (bytes, media_type) = read()?;
        let file = Arc::new(CachedResponse::of_file(bytes, media_type));
        files.insert(name.to_owned(), Arc::clone(&file));
        Some(file)
    }
}
