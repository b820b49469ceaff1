//! Query strings: every parameter is known and well-formed, or the request is refused.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;

use crate::http::body::fault_of;
use crate::problem::{Fault, Problem};

/// The query of a request.
pub struct InQuery<T>(pub T);

impl<T: DeserializeOwned> FromRequest for InQuery<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(request.query_string()).map(Self))
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let pairs = serde_html_form::Deserializer::from_bytes(query.as_bytes());
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let path = error.path().clone();
        let fault = fault_of(&path, &error.into_inner().to_string());
        Problem::of_query(vec![Fault { pointer: parameter(&fault.pointer), ..fault }])
    })
}

/// A parameter's name as faults show it.
pub fn parameter(pointer: &str) -> String {
    format!("?{}", pointer.trim_start_matches('/'))
}
