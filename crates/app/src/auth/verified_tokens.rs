//! Cache of verified tokens. The verification of a signature by a public key costs many times as much as a lookup.

use std::time::Duration;

use moka::future::Cache;
use sha2::{Digest as _, Sha256};

use crate::auth::Bearer;
use crate::auth::deny_list::TokenClaims;

/// Maximum difference between the clocks of the issuer and this server, for the claims `exp` and `nbf`.
pub(super) const LEEWAY_SECONDS: u64 = 5;
/// Capacity of the cache.
const TOKENS_MAX: u64 = 100_000;
/// Maximum age of an entry, even of a token that expires later.
const AGE_MAX: Duration = Duration::from_secs(600);

/// The SHA-256 of a token: a memory dump reveals no usable token.
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

/// The outcome of a verification.
#[derive(Clone)]
pub(super) struct Verified {
    pub bearer: Bearer,
    /// The claim `exp`, in seconds since 1970.
    pub expires_at: u64,
    /// Compared with the deny list on each use.
    pub claims: TokenClaims,
}

/// A cached outcome.
#[derive(Clone)]
pub(super) struct VerifiedToken {
    pub verified: Verified,
    /// The generation of its key.
    pub generation: u64,
}

pub(super) struct VerifiedTokens(Cache<[u8; 32], VerifiedToken>);

impl VerifiedTokens {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(TOKENS_MAX).time_to_live(AGE_MAX).build())
    }

    /// The outcome, if the token was verified with keys of this generation and is not expired at `now`, in seconds since
    /// 1970.
    pub(super) async fn find(&self, token: &Fingerprint, generation: u64, now: u64) -> Option<Verified> {
        let cached = self.0.get(&token.0).await?;
        let expires_at = cached.verified.expires_at.saturating_add(LEEWAY_SECONDS);
        (cached.generation == generation && now <= expires_at).then_some(cached.verified)
    }

    pub(super) async fn insert(&self, token: Fingerprint, verified: VerifiedToken) {
        self.0.insert(token.0, verified).await;
    }
}

#[cfg(test)]
mod tests {
    use jangteo_domain::testing::fixtures::{customer, user};

    use super::*;

    #[tokio::test]
    async fn a_verification_is_valid_for_its_token_its_time_and_its_keys() {
        let verified_tokens = VerifiedTokens::new();
        let kim = Bearer { actor: customer(&user("kim")), is_payment_service: true };
        let claims = TokenClaims { id: None, user_id: user("kim"), issued_at: None };
        let verified = Verified { bearer: kim.clone(), expires_at: 1_000, claims };
        verified_tokens.insert(Fingerprint::of("token"), VerifiedToken { verified, generation: 7 }).await;
        let found = async |token, generation, now| {
            let found = verified_tokens.find(&Fingerprint::of(token), generation, now).await;
            found.map(|verified| verified.bearer)
        };

        assert_eq!(found("token", 7, 0).await, Some(kim.clone()));
        assert_eq!(found("token", 7, 1_000 + LEEWAY_SECONDS).await, Some(kim));
        assert_eq!(found("token", 7, 1_001 + LEEWAY_SECONDS).await, None, "expired");
        assert_eq!(found("token", 8, 0).await, None, "other keys");
        assert_eq!(found("Token", 7, 0).await, None, "another token");
    }
}
