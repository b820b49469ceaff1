//! Access of callers: tokens, rate limits, and idempotency keys in flight.

use crate::auth::Authenticator;
use crate::client_address::TrustedProxies;
use crate::idempotency::InFlight;

mod rate_limits;

pub use rate_limits::RateLimits;

/// The checks before a request reaches a handler.
pub struct Access {
    pub authenticator: Authenticator,
    pub limits: RateLimits,
    pub proxies: TrustedProxies,
    /// The keys of the requests that this server is executing.
    pub in_flight: InFlight,
}
