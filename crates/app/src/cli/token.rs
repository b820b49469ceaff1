//! `jangteo token`: tokens signed by the shop itself.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use secrecy::SecretString;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use jangteo_domain::command::{Operation, RevokeTokens, TokensToRevoke};
use jangteo_domain::text::TextError;
use jangteo_domain::token::TokenId;
use jangteo_domain::{Reply, Timestamp, UserId};

use crate::settings::{Settings, TokenKey, TokenSettings};
use crate::{auth, demo, startup};

/// Arguments of `jangteo token revoke`.
#[derive(Args)]
#[group(skip)]
pub struct Revoke {
    /// Id of one token (claim `jti`)
    #[arg(long, value_name = "ID", value_parser = token_id, required_unless_present = "user", conflicts_with = "user")]
    jti: Option<TokenId>,
    /// Expiry of the token; by default `TOKEN_LIFETIME_MAX` from now
    #[arg(long, value_name = "TIME", value_parser = time, requires = "jti", conflicts_with = "user")]
    expires: Option<Timestamp>,
    /// Subject of the tokens
    #[arg(long, value_name = "USER")]
    user: Option<UserId>,
    /// Time before which the user's tokens were issued, as in 2026-11-30T12:00:00Z; by default now
    #[arg(long, value_name = "TIME", value_parser = time, requires = "user", conflicts_with = "jti")]
    before: Option<Timestamp>,
}

fn token_id(text: &str) -> Result<TokenId, TextError> {
    TokenId::try_from(text.to_owned())
}

fn time(text: &str) -> Result<Timestamp, &'static str> {
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "not a time of RFC 3339")?;
    Timestamp::from_offset_date_time(time).ok_or("before 1970")
}

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

/// Revokes tokens and prints until when.
pub async fn revoke(settings: &Settings, arguments: Revoke) -> anyhow::Result<()> {
    let Revoke { jti, expires, user, before } = arguments;
    let tokens = match (jti, user) {
        (Some(token_id), None) => TokensToRevoke::One { token_id, expires_at: expires },
        (None, Some(user_id)) => TokensToRevoke::OfUser { user_id, issued_before: before },
        _ => bail!("either --jti or --user"),
    };
    let lifetime_max = settings.token_limits.lifetime_max.try_into()?;
    let reply = startup::execute(settings, RevokeTokens { tokens, lifetime_max }).await?;
    let Reply::TokensRevoked(revocation) = reply else { bail!("another command was run") };
    let until = revocation.expires_at.to_offset_date_time().format(&Rfc3339)?;
    println!("revoked until {until}; servers reject these tokens within 5 s");
    Ok(())
}

/// The secret of HS256, configured or of `serve --dev`.
pub fn secret(settings: &Settings) -> anyhow::Result<SecretString> {
    match &settings.tokens {
        Some(TokenSettings { key: TokenKey::Secret(secret), .. }) => Ok(secret.clone()),
        Some(_) => bail!("JWT_ALGORITHM: tokens can be signed only with HS256; get one from your identity provider"),
        None => demo::key(settings)?.context("JWT_SECRET: not set, and there is no key of `serve --dev`"),
    }
}
