//! Denied requests (401, 403, 429), by reason. The reasons are a bounded set.

use std::net::IpAddr;

use actix_web::dev::ServiceRequest;
use metrics::SharedString;

use crate::telemetry::REQUESTS_DENIED;

/// The address of the client.
pub fn client(request: &ServiceRequest) -> Option<IpAddr> {
    request.peer_addr().map(|address| address.ip())
}

/// Counts a 401, and logs it for the detection of attacks.
pub fn unauthenticated(client: Option<IpAddr>, reason: String) {
    tracing::info!(reason, client = client.map(tracing::field::display), "authentication failed");
    count("401", reason);
}

/// Counts a 403: the token lacks the scope.
pub fn forbidden() {
    count("403", "scope");
}

/// Counts a 429, by the owner of the limit.
pub fn limited(reason: &'static str) {
    count("429", reason);
}

fn count(status: &'static str, reason: impl Into<SharedString>) {
    let reason: SharedString = reason.into();
    metrics::counter!(REQUESTS_DENIED, "status" => status, "reason" => reason).increment(1);
}
