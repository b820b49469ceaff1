//! Denied requests (401, 403, 429), by reason. The reasons are a bounded set.

use metrics::SharedString;

use crate::client_address::ClientAddress;
use crate::telemetry::REQUESTS_DENIED;

/// Counts a 401, and logs it for the detection of attacks.
pub fn unauthenticated(client: ClientAddress, reason: String) {
    tracing::info!(reason, %client, "authentication failed");
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
