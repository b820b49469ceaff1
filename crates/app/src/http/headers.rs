//! Headers of requests.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

/// The maximum length of a header whose list is parsed, in bytes. Parsing 100 KiB takes milliseconds.
const PARSED_MAX: usize = 1_024;

/// Whether the header is present, and short enough to be parsed. A longer one counts as absent.
pub fn is_present(headers: &HeaderMap, name: HeaderName) -> bool {
    headers.contains_key(&name) && headers.get_all(name).map(HeaderValue::len).sum::<usize>() <= PARSED_MAX
}
