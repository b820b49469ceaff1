use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, Accept, Header};

use crate::http::headers::is_present;
use crate::http::respond::problem::{Problem, ProblemCode};

/// The one resource that is not JSON.
const EXPORT: &str = "/v1/admin/products/export";

/// Rejects a request that accepts neither JSON nor, of the export, CSV, before it has any effect.
pub fn check(request: &ServiceRequest) -> Result<(), Problem> {
    if !is_present(request.headers(), header::ACCEPT) {
        return Ok(());
    }
    let accepted = Accept::parse(request).map_err(|_| ProblemCode::NotAcceptable)?;
    let is_export = request.path() == EXPORT;
    let is_accepted = accepted.0.iter().any(|range| {
        let kind = (range.item.type_().as_str(), range.item.subtype().as_str());
        let is_known = match kind {
            ("*", "*") | ("application", "*" | "json") => true,
            ("text", "*" | "csv") => is_export,
            _ => false,
        };
        range.quality > header::Quality::ZERO && is_known
    });
    if is_accepted { Ok(()) } else { Err(ProblemCode::NotAcceptable.into()) }
}
