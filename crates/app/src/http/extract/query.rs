//! Query strings. Unknown and malformed parameters are rejected; an empty one counts as absent, as HTML forms send it:
//! optional parameters are `Option`s, which the decoder leaves empty then.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use crate::http::extract::body::field_error_of;
use crate::http::respond::problem::{FieldError, Problem, Reason};

/// The parsed query of a request.
pub struct ApiQuery<T>(pub T);

impl<T: DeserializeOwned> FromRequest for ApiQuery<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

impl<T: DeserializeOwned> ApiQuery<T> {
    /// # Errors
    /// `INVALID_QUERY`, with the first invalid parameter.
    pub fn of(request: &HttpRequest) -> Result<Self, Problem> {
        parse(request.query_string()).map(Self)
    }
}

/// # Errors
/// `INVALID_QUERY`, with the first invalid parameter.
pub fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    check_form(query)?;
    let pairs = || serde_html_form::Deserializer::from_bytes(query.as_bytes());
    T::deserialize(pairs()).or_else(|_| serde_path_to_error::deserialize(pairs())).map_err(|error| {
        let path = error.path().clone();
        let field_error = field_error_of(&path, &error.into_inner().to_string());
        Problem::of_query(vec![FieldError { pointer: parameter(&field_error.pointer), ..field_error }])
    })
}

/// Requires UTF-8 once decoded: the decoder would replace the rest.
fn check_form(query: &str) -> Result<(), Problem> {
    let invalid = query.split('&').find(|pair| percent_decode_str(pair).decode_utf8().is_err());
    let Some(pair) = invalid else { return Ok(()) };
    let (name, _) = pair.split_once('=').unwrap_or((pair, ""));
    let pointer = format!("?{}", percent_decode_str(name).decode_utf8_lossy());
    Err(Problem::of_query(vec![FieldError { pointer, reason: Reason::Invalid }]))
}

/// The pointer of a query parameter in field errors.
pub fn parameter(pointer: &str) -> String {
    format!("?{}", pointer.trim_start_matches('/'))
}
