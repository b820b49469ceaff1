//! The header `Accept`.

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, Accept, Header};

use crate::http::respond::problem::{Problem, ProblemCode};

/// Rejects a caller who accepts no JSON, before the request has any effect.
pub fn check(request: &ServiceRequest) -> Result<(), Problem> {
    if !request.headers().contains_key(header::ACCEPT) {
        return Ok(());
    }
    let accepted = Accept::parse(request).map_err(|_| ProblemCode::NotAcceptable)?;
    let is_json = accepted.0.iter().any(|range| {
        let kind = (range.item.type_().as_str(), range.item.subtype().as_str());
        let is_wanted = range.quality > header::Quality::ZERO;
        is_wanted && matches!(kind, ("*", "*") | ("application", "*") | ("application", "json"))
    });
    if is_json { Ok(()) } else { Err(ProblemCode::NotAcceptable.into()) }
}
