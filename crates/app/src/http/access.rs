//! Callers: their tokens, their rate limits, and their idempotency keys that are in flight.

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::auth::Authenticator;
use crate::idempotency::InFlight;

/// What decides whether a request is let in.
pub struct Access {
    /// Validates tokens.
    pub authenticator: Authenticator,
    /// Counts requests by caller; `None` for no limit.
    pub rate_limiter: Option<DefaultKeyedRateLimiter<String>>,
    /// The keys whose requests this server is carrying out.
    pub in_flight: InFlight,
}

impl Access {
    /// Access for the holders of valid tokens, with a rate limit for each caller.
    pub fn new(authenticator: Authenticator, rate_limit: Option<Quota>) -> Self {
        Self { authenticator, rate_limiter: rate_limit.map(RateLimiter::keyed), in_flight: InFlight::default() }
    }

    /// Drops the callers whose quota is full again. Without it each caller takes memory forever.
    pub fn drop_idle_callers(&self) {
        if let Some(limiter) = &self.rate_limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}
