//! Access of callers: tokens, rate limits, and idempotency keys in flight.

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::auth::Authenticator;
use crate::idempotency::InFlight;

/// The checks before a request reaches a handler.
pub struct Access {
    pub authenticator: Authenticator,
    /// By caller; `None` for no limit.
    pub rate_limiter: Option<DefaultKeyedRateLimiter<String>>,
    /// The keys of the requests that this server is executing.
    pub in_flight: InFlight,
}

impl Access {
    /// Access with valid tokens, at `rate_limit` for each caller.
    pub fn new(authenticator: Authenticator, rate_limit: Option<Quota>) -> Self {
        Self { authenticator, rate_limiter: rate_limit.map(RateLimiter::keyed), in_flight: InFlight::default() }
    }

    /// Evicts callers with a full quota. Without it the memory for callers only grows.
    pub fn drop_idle_callers(&self) {
        if let Some(limiter) = &self.rate_limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}
