//! Query strings. Unknown and malformed parameters are rejected.

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

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    check_form(query)?;
    let pairs = || serde_html_form::Deserializer::from_bytes(query.as_bytes());
    T::deserialize(pairs()).or_else(|_| serde_path_to_error::deserialize(pairs())).map_err(|error| {
        let path = error.path().clone();
        let field_error = field_error_of(&path, &error.into_inner().to_string());
        Problem::of_query(vec![FieldError { pointer: parameter(&field_error.pointer), ..field_error }])
    })
}

/// Requires a value for every parameter, and UTF-8 once decoded: the decoder would replace or omit the rest.
fn check_form(query: &str) -> Result<(), Problem> {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let reason = if value.is_empty() {
            Reason::Empty
        } else if [name, value].into_iter().any(|text| percent_decode_str(text).decode_utf8().is_err()) {
            Reason::Invalid
        } else {
            continue;
        };
        let name = percent_decode_str(name).decode_utf8_lossy().into_owned();
        return Err(Problem::of_query(vec![FieldError { pointer: format!("?{name}"), reason }]));
    }
    Ok(())
}

/// The pointer of a query parameter in field errors.
pub fn parameter(pointer: &str) -> String {
    format!("?{}", pointer.trim_start_matches('/'))
}
