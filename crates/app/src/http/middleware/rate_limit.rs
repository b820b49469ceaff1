//! Rate limits by user, else by address.

use std::sync::LazyLock;

use actix_web::dev::ServiceRequest;
use governor::clock::{Clock, DefaultClock};

use jangteo_domain::command::Actor;

use crate::http::access::Access;
use crate::http::middleware::denial;
use crate::http::respond::problem::{Problem, ProblemCode};

static CLOCK: LazyLock<DefaultClock> = LazyLock::new(DefaultClock::default);

/// Counts the request towards its caller's limit.
///
/// # Errors
/// `RATE_LIMITED`, with the seconds to wait in `Retry-After`.
pub fn check(access: &Access, request: &ServiceRequest, caller: Option<&Actor>) -> Result<(), Problem> {
    let Some(limiter) = &access.rate_limiter else { return Ok(()) };
    // The prefixes separate user ids from addresses.
    let key = match (caller, denial::client(request)) {
        (Some(actor), _) => format!("user {}", actor.user_id),
        (None, Some(address)) => format!("address {address}"),
        (None, None) => "unknown".to_owned(),
    };
    limiter.check_key(&key).map_err(|early| {
        denial::limited(if caller.is_some() { "user" } else { "address" });
        let wait = early.wait_time_from(CLOCK.now());
        Problem::new(ProblemCode::RateLimited).with_retry_after(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    })
}
