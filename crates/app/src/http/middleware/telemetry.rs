//! The span, the log line and the metrics of a request.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::dev::ServiceRequest;
use actix_web::http::{Method, StatusCode};
use tracing::Span;

use crate::client_address::ClientAddress;
use crate::http::respond::problem::Occurrence;
use crate::telemetry::REQUEST_SECONDS;
use crate::trace_parent::TraceParent;
use crate::user_label::UserLabels;

/// The span of all log lines of a request.
pub fn span(request: &ServiceRequest, occurrence: &Occurrence, client: ClientAddress, users: &UserLabels) -> Span {
    let trace = request.headers().get("traceparent").and_then(|value| value.to_str().ok()).and_then(TraceParent::parse);
    // Decoded, as the router does it: `/%75sers/kim` has a user id.
    let pattern = users.pattern(request.match_info().as_str());
    let span = tracing::info_span!(
        "request",
        request_id = occurrence.request_id,
        method = %request.method(),
        path = pattern.as_deref().unwrap_or(request.path()),
        client_address = %client,
        trace_id = trace.map(|trace| trace.trace_id),
        parent_id = trace.map(|trace| trace.parent_id),
        user_id = tracing::field::Empty,
        status = tracing::field::Empty,
        otel.kind = tracing::field::Empty,
    );
    #[cfg(feature = "otel")]
    crate::traces::begin_request(&span, trace);
    span
}

/// Records a response in the log, the metrics and the trace.
pub fn record(span: &Span, method: &Method, route: Option<String>, status: StatusCode, took: Duration) {
    span.record("status", status.as_u16());
    #[cfg(feature = "otel")]
    crate::traces::end_request(span, method, route.as_deref(), status);
    tracing::info!("request completed");
    // Callers choose methods and paths, and the labels of a metric must be bounded.
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    };
    let route = route.map_or(Cow::Borrowed("unmatched"), Cow::Owned);
    let status = status.as_str().to_owned();
    metrics::histogram!(REQUEST_SECONDS, "method" => method, "route" => route, "status" => status).record(took);
}
