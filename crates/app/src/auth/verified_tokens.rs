//! Tokens that were verified a moment ago. A caller who comes often is not made to prove the same thing each time: what a
//! public key takes to check a signature is many times what it takes to look here.

use std::time::Duration;

use moka::future::Cache;
use sha2::{Digest as _, Sha256};

use jangteo_domain::command::Actor;

use crate::auth::LEEWAY_SECONDS;

/// How many tokens are remembered.
const TOKENS_MAX: u64 = 100_000;
/// How long one is, whatever its own time.
const AGE_MAX: Duration = Duration::from_secs(600);

/// What a token is remembered by: its SHA-256, so that a dump of the memory lets nobody in.
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

/// What a token was verified as.
#[derive(Clone)]
pub(super) struct VerifiedToken {
    /// Who it speaks for.
    pub actor: Actor,
    /// Its claim `exp`, in seconds since 1970.
    pub expires_at: u64,
    /// Which keys it was checked with.
    pub generation: u64,
}

/// The verified tokens that came of late.
pub(super) struct VerifiedTokens(Cache<[u8; 32], VerifiedToken>);

impl VerifiedTokens {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(TOKENS_MAX).time_to_live(AGE_MAX).build())
    }

    /// Who that token speaks for at `now`, in seconds since 1970, where it was verified with the keys of this generation.
    pub(super) async fn find(&self, token: &Fingerprint, generation: u64, now: u64) -> Option<Actor> {
        let verified = self.0.get(&token.0).await?;
        let is_good = verified.generation == generation && now <= verified.expires_at.saturating_add(LEEWAY_SECONDS);
        is_good.then_some(verified.actor)
    }

    pub(super) async fn remember(&self, token: Fingerprint, verified: VerifiedToken) {
        self.0.insert(token.0, verified).await;
    }
}

#[cfg(test)]
mod tests {
    use jangteo_domain::testing::fixtures::{customer, user};

    use super::*;

    #[tokio::test]
    async fn a_proof_holds_for_its_token_its_time_and_its_keys() {
        let verified_tokens = VerifiedTokens::new();
        let kim = customer(&user("kim"));
        let verified = VerifiedToken { actor: kim.clone(), expires_at: 1_000, generation: 7 };
        verified_tokens.remember(Fingerprint::of("token"), verified).await;
        let found = async |token, generation, now| verified_tokens.find(&Fingerprint::of(token), generation, now).await;

        assert_eq!(found("token", 7, 0).await, Some(kim.clone()));
        assert_eq!(found("token", 7, 1_000 + LEEWAY_SECONDS).await, Some(kim));
        assert_eq!(found("token", 7, 1_001 + LEEWAY_SECONDS).await, None, "it has expired");
        assert_eq!(found("token", 8, 0).await, None, "other keys may not know it");
        assert_eq!(found("Token", 7, 0).await, None, "another token");
    }
}
