//! `jangteo token`: tokens signed by the shop itself.

use std::time::Duration;

use anyhow::{Context, bail};
use secrecy::SecretString;

use jangteo_domain::UserId;
use jangteo_domain::command::Operation;

use crate::settings::{Settings, TokenKey, TokenSettings};
use crate::{auth, demo, startup};

/// A new token, recorded in the audit log if the database can be reached: a token is also needed for a shop on another
/// machine, or before the first migration.
pub async fn signed(settings: &Settings, user: &UserId, scope: &str, ttl: Duration) -> anyhow::Result<String> {
    if ttl > settings.token_limits.lifetime_max {
        bail!("--ttl: servers reject a token that is valid for longer than TOKEN_LIFETIME_MAX");
    }
    let token = auth::sign(&secret(settings)?, &settings.token_parties, user, scope, ttl)?;
    let operation =
        Operation::IssueToken { user_id: user.clone(), scope: scope.to_owned(), expires_in_seconds: ttl.as_secs() };
    if let Err(error) = startup::record(settings, operation).await {
        eprintln!("jangteo: the token is not in the audit log: {error:#}");
    }
    Ok(token)
}

/// The secret of HS256, configured or of `serve --dev`.
pub fn secret(settings: &Settings) -> anyhow::Result<SecretString> {
    match &settings.tokens {
        Some(TokenSettings { key: TokenKey::Secret(secret), .. }) => Ok(secret.clone()),
        Some(_) => bail!("JWT_ALGORITHM: tokens can be signed only with HS256; get one from your identity provider"),
        None => demo::key(settings)?.context("JWT_SECRET: not set, and there is no key of `serve --dev`"),
    }
}
