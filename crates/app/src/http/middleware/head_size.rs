//! The size of the head of a request.

use std::rc::Rc;

use actix_web::dev::{RequestHead, ServiceRequest};

use crate::http::connection::{HEAD_BYTES_MAX, Progress};
use crate::http::respond::problem::{Problem, ProblemCode};

/// Rejects a complete head that is too large; the connection rejects an incomplete one.
///
/// # Errors
/// `HEADERS_TOO_LARGE`.
pub fn check(request: &ServiceRequest) -> Result<(), Problem> {
    // The connection counts for free, but possibly some of the body too.
    let is_small = request.conn_data::<Rc<Progress>>().is_some_and(|progress| !progress.has_large_head());
    if is_small || size(request.head()) <= HEAD_BYTES_MAX { Ok(()) } else { Err(ProblemCode::HeadersTooLarge.into()) }
}

/// In bytes, as usually written.
fn size(head: &RequestHead) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let headers = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    head.method.as_str().len() + target + "  HTTP/1.1\r\n\r\n".len() + headers.sum::<usize>()
}
