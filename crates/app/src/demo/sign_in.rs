//! Sign-in to a demo shop. Its tokens are printed anyway; in the address of a page only a code appears, which works once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use tokio::time::Instant;

use crate::auth::{self, ADMIN_SCOPE};
use crate::idempotency::digest;
use crate::settings::TokenParties;

/// Validity of a code.
const CODE_TTL: Duration = Duration::from_secs(15 * 60);

/// Issues tokens of the demo.
pub struct DemoSignIn {
    secret: SecretString,
    parties: TokenParties,
    ttl: Duration,
    code: Mutex<Option<Code>>,
}

struct Code {
    /// Compared instead of the code, so that the time of a comparison reveals nothing of it.
    digest: [u8; 16],
    expires_at: Instant,
}

impl DemoSignIn {
    pub fn new(secret: SecretString, parties: TokenParties, ttl: Duration) -> Self {
        Self { secret, parties, ttl, code: Mutex::default() }
    }

    /// A code for [`DemoSignIn::exchange`]; replaces the previous one.
    pub fn new_code(&self) -> String {
        let code = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
        *self.lock() = Some(Code { digest: digest(&[code.as_bytes()]), expires_at: Instant::now() + CODE_TTL });
        code
    }

    /// The token of the back office for a code, once.
    pub fn exchange(&self, code: &str) -> Option<anyhow::Result<String>> {
        let digest = digest(&[code.as_bytes()]);
        self.lock().take_if(|known| known.digest == digest && Instant::now() < known.expires_at)?;
        Some(self.token("admin", ADMIN_SCOPE))
    }

    /// A token of any user.
    ///
    /// # Errors
    /// A name that is no user id.
    pub fn token(&self, user: &str, scope: &str) -> anyhow::Result<String> {
        auth::sign(&self.secret, &self.parties, &user.parse()?, scope, self.ttl)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Code>> {
        self.code.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_in() -> DemoSignIn {
        let parties = TokenParties { issuer: "i".to_owned(), audience: "a".to_owned() };
        DemoSignIn::new("k".repeat(32).into(), parties, Duration::from_secs(60))
    }

    #[tokio::test]
    async fn a_code_works_once_and_a_wrong_one_does_not_use_it_up() {
        let sign_in = sign_in();
        assert!(sign_in.exchange("").is_none());
        let code = sign_in.new_code();
        assert!(sign_in.exchange("guess").is_none());
        assert!(sign_in.exchange(&code).is_some_and(|token| token.is_ok()));
        assert!(sign_in.exchange(&code).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_code_expires() {
        let sign_in = sign_in();
        let code = sign_in.new_code();
        tokio::time::advance(CODE_TTL).await;
        assert!(sign_in.exchange(&code).is_none());
    }
}
