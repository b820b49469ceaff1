//! Rate limits: of each user, and of each client address for requests without a valid token.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use jangteo_domain::UserId;

use crate::client_address::ClientAddress;
use crate::http::respond::problem::{Problem, ProblemCode};

/// The limits of a server. An absent one limits nothing.
pub struct RateLimits {
    users: Option<DefaultKeyedRateLimiter<UserId>>,
    addresses: Option<DefaultKeyedRateLimiter<IpAddr>>,
    rejected_tokens: Option<RejectedTokens>,
}

impl RateLimits {
    /// Limits for each user, and for each address. Requests without a token, and rejected tokens, count separately.
    pub fn new(user: Option<Quota>, address: Option<Quota>) -> Self {
        Self {
            users: user.map(RateLimiter::keyed),
            addresses: address.map(RateLimiter::keyed),
            rejected_tokens: address.map(RejectedTokens::new),
        }
    }

    /// Counts a request of a user.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the seconds to wait in `Retry-After`.
    pub fn count_user(&self, user: &UserId) -> Result<(), Problem> {
        self.users.as_ref().map_or(Ok(()), |limiter| count(limiter, user))
    }

    /// Counts a request without a token.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub fn count_address(&self, address: ClientAddress) -> Result<(), Problem> {
        self.addresses.as_ref().map_or(Ok(()), |limiter| count(limiter, &address.network()))
    }

    /// Admits the verification of an unknown token, which counts only if the token is rejected.
    ///
    /// # Errors
    /// `RATE_LIMITED`, after too many rejected tokens.
    pub fn admit_token(&self, address: ClientAddress) -> Result<(), Problem> {
        self.rejected_tokens.as_ref().map_or(Ok(()), |rejected| rejected.admit(address.network()))
    }

    /// Counts a rejected token.
    pub fn count_rejected_token(&self, address: ClientAddress) {
        if let Some(rejected) = &self.rejected_tokens {
            rejected.count(address.network());
        }
    }

    /// Evicts callers with a full quota. Without it the memory for callers only grows.
    pub fn drop_idle(&self) {
        self.users.iter().for_each(evict);
        self.addresses.iter().for_each(evict);
        self.rejected_tokens.iter().for_each(RejectedTokens::drop_idle);
    }
}

fn count<K: Hash + Eq + Clone>(limiter: &DefaultKeyedRateLimiter<K>, key: &K) -> Result<(), Problem> {
    limiter.check_key(key).map_err(|early| rate_limited(early.wait_time_from(limiter.clock().now())))
}

fn evict<K: Hash + Eq + Clone>(limiter: &DefaultKeyedRateLimiter<K>) {
    limiter.retain_recent();
    limiter.shrink_to_fit();
}

fn rate_limited(wait: Duration) -> Problem {
    Problem::new(ProblemCode::RateLimited).with_retry_after(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

/// The rejected tokens of each address. A limiter has no check without a count, so exhausted quotas are recorded apart.
struct RejectedTokens {
    limiter: RateLimiter<IpAddr, DefaultKeyedStateStore<IpAddr>, DefaultClock, StateInformationMiddleware>,
    /// Addresses without quota, with the time of their next verification.
    blocked: Mutex<HashMap<IpAddr, Instant>>,
}

impl RejectedTokens {
    fn new(quota: Quota) -> Self {
        Self { limiter: RateLimiter::keyed(quota).with_middleware(), blocked: Mutex::default() }
    }

    fn admit(&self, address: IpAddr) -> Result<(), Problem> {
        let blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = blocked.get(&address).map(|until| until.saturating_duration_since(Instant::now()));
        wait.filter(|wait| !wait.is_zero()).map_or(Ok(()), |wait| Err(rate_limited(wait)))
    }

    fn count(&self, address: IpAddr) {
        let wait = match self.limiter.check_key(&address) {
            Ok(state) if state.remaining_burst_capacity() > 0 => return,
            Ok(state) => state.quota().replenish_interval(),
            Err(early) => early.wait_time_from(self.limiter.clock().now()),
        };
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner).insert(address, Instant::now() + wait);
    }

    fn drop_idle(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
        let now = Instant::now();
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, until| *until > now);
    }
}
