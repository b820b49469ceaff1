use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, Accept, Header};

use crate::http::headers::is_present;
use crate::http::respond::problem::{Problem, ProblemCode};

/// Rejects a request that does not accept JSON, before it has any effect.
pub fn check(request: &ServiceRequest) -> Result<(), Problem> {
    if !is_present(request.headers(), header::ACCEPT) {
        return Ok(());
    }
    let accepted = Accept::parse(request).map_err(|_| ProblemCode::NotAcceptable)?;
    let is_json = accepted.0.iter().any(|range| {
        let kind = (range.item.type_().as_str(), range.item.subtype().as_str());
        let is_accepted = range.quality > header::Quality::ZERO;
        is_accepted && matches!(kind, ("*", "*") | ("application", "*") | ("application", "json"))
    });
    if is_json { Ok(()) } else { Err(ProblemCode::NotAcceptable.into()) }
}
