//! Authentication by bearer tokens, with one algorithm and the operator's keys. No claim is used before the signature,
//! the times, the issuer and the audience are verified.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, TokenData, Validation, decode, decode_header, encode,
    get_current_timestamp,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use jangteo_domain::UserId;
use jangteo_domain::command::Actor;

use crate::settings::{TokenKey, TokenLimits, TokenParties, TokenSettings};

mod deny_list;
mod key_set;
mod key_strength;
mod verified_tokens;

pub use deny_list::DenyList;
use deny_list::TokenClaims;
use key_set::{KeyError, KeySet, KeySource};
use key_strength::is_strong;
use verified_tokens::{Fingerprint, LEEWAY_SECONDS, Verified, VerifiedToken, VerifiedTokens};

/// The types of access tokens (RFC 7519, 5.1; RFC 9068, 2.1).
const TYPES: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];

/// The scope of the back office.
pub const ADMIN_SCOPE: &str = "admin";
/// The scope of a payment service: top-ups of any user, and nothing more.
pub const TOP_UP_SCOPE: &str = "points:top-up";

/// The bearer of a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    pub actor: Actor,
    /// Whether the token has the scope [`TOP_UP_SCOPE`].
    pub is_payment_service: bool,
}

/// Verifies bearer tokens by signature, times, issuer and audience.
pub struct Authenticator {
    validation: Validation,
    keys: Keys,
    /// `None` with a shared secret, where verification is as cheap as a lookup.
    verified_tokens: Option<VerifiedTokens>,
    lifetime_max: Duration,
    deny_list: Arc<DenyList>,
}

enum Keys {
    Fixed(DecodingKey),
    Set(KeySet),
}

impl Keys {
    /// Grows with each reading of the keys; `None` while they are not trusted.
    fn generation(&self) -> Option<u64> {
        match self {
            Self::Fixed(_) => Some(0),
            Self::Set(keys) => keys.generation(),
        }
    }
}

/// A rejected token. The text is for logs and metrics only: one of few, and without any part of the token.
#[derive(Debug, Error)]
pub enum RejectedToken {
    /// Its form, signature or claims are invalid.
    #[error("{}", reason(.0.kind()))]
    Invalid(#[from] jsonwebtoken::errors::Error),
    /// Its key id is not in the key set.
    #[error("unknown key")]
    UnknownKey,
    /// It requires an extension that this server does not support (RFC 7515, 4.1.11).
    #[error("critical extension")]
    CriticalExtension,
    /// It is no access token, such as an ID token or a proof of possession.
    #[error("type")]
    Type,
    /// It lives longer than `TOKEN_LIFETIME_MAX`.
    #[error("lifetime")]
    Lifetime,
    /// It is on the deny list.
    #[error("revoked")]
    Revoked,
    /// Its subject is not a user id.
    #[error("subject")]
    Subject(#[from] jangteo_domain::id::InvalidUserId),
}

fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "expired",
        ErrorKind::ImmatureSignature => "not valid yet",
        ErrorKind::InvalidIssuer => "issuer",
        ErrorKind::InvalidAudience => "audience",
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => "claims",
        ErrorKind::InvalidSignature => "signature",
        ErrorKind::InvalidAlgorithm => "algorithm",
        // The enum is open.
        _ => "malformed",
    }
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Possibly with a fraction of a second (RFC 7519, 2).
    exp: f64,
    iat: Option<f64>,
    /// Text, but other values are common enough.
    jti: Option<Value>,
    #[serde(default)]
    scope: String,
}

impl Authenticator {
    /// Loads the keys; those of a key set are reloaded in the background.
    ///
    /// # Errors
    /// A file without a usable key. A failed fetch from a URL is no error: it is retried later.
    pub async fn new(settings: &TokenSettings, parties: &TokenParties, limits: TokenLimits) -> Result<Self, KeyError> {
        let TokenLimits { lifetime_max, key_set_stale_max } = limits;
        let algorithm = settings.algorithm;
        let keys = match &settings.key {
            TokenKey::Secret(secret) => Keys::Fixed(DecodingKey::from_secret(secret.expose_secret().as_bytes())),
            TokenKey::PublicKeyFile(path) => {
                let setting = "JWT_PUBLIC_KEY_FILE";
                let pem = std::fs::read(path).map_err(|source| KeyError::Unreadable { setting, source })?;
                Keys::Fixed(public_key(algorithm, &pem).ok_or(KeyError::NoKey { setting, algorithm })?)
            }
            TokenKey::KeySetFile(path) => {
                Keys::Set(KeySet::load(KeySource::file(path), algorithm, key_set_stale_max).await?)
            }
            TokenKey::KeySetUrl(url) => {
                Keys::Set(KeySet::load(KeySource::url(url)?, algorithm, key_set_stale_max).await?)
            }
        };
        let verified_tokens = (algorithm != Algorithm::HS256).then(VerifiedTokens::new);
        Ok(Self {
            validation: validation(algorithm, parties),
            keys,
            verified_tokens,
            lifetime_max,
            deny_list: Arc::default(),
        })
    }

    /// The time of the last successful reading of the key set, 1970 for none; `None` without a key set.
    pub fn keys_read_at(&self) -> Option<SystemTime> {
        match &self.keys {
            Keys::Fixed(_) => None,
            Keys::Set(keys) => Some(keys.read_at()),
        }
    }

    /// The revoked tokens; empty until it is read.
    pub fn deny_list(&self) -> &Arc<DenyList> {
        &self.deny_list
    }

    /// The maximum lifetime of a token.
    pub fn lifetime_max(&self) -> Duration {
        self.lifetime_max
    }

    /// Returns the bearer of a token that is known to be valid. With a shared secret the token is verified, which costs
    /// no more than a lookup.
    pub async fn find_verified(&self, token: &str) -> Option<Bearer> {
        match &self.verified_tokens {
            Some(tokens) => {
                let generation = self.keys.generation()?;
                self.find_cached(tokens, &Fingerprint::of(token), generation).await
            }
            None => self.verify(token).await.ok().map(|verified| verified.bearer),
        }
    }

    /// Returns the bearer of a valid token.
    ///
    /// # Errors
    /// A token that is malformed, forged, expired, or of another issuer or audience.
    pub async fn authenticate(&self, token: &str) -> Result<Bearer, RejectedToken> {
        let Some(verified_tokens) = &self.verified_tokens else {
            return Ok(self.verify(token).await?.bearer);
        };
        // Read before the keys: a verification by old keys must not be cached as one by new keys.
        let Some(generation) = self.keys.generation() else {
            return Ok(self.verify(token).await?.bearer);
        };
        let fingerprint = Fingerprint::of(token);
        if let Some(bearer) = self.find_cached(verified_tokens, &fingerprint, generation).await {
            return Ok(bearer);
        }
        let verified = self.verify(token).await?;
        let bearer = verified.bearer.clone();
        verified_tokens.insert(fingerprint, VerifiedToken { verified, generation }).await;
        Ok(bearer)
    }

    /// The bearer of a cached token, unless it was revoked meanwhile.
    async fn find_cached(&self, tokens: &VerifiedTokens, token: &Fingerprint, generation: u64) -> Option<Bearer> {
        let verified = tokens.find(token, generation, get_current_timestamp()).await?;
        (!self.deny_list.denies(&verified.claims)).then_some(verified.bearer)
    }

    async fn verify(&self, token: &str) -> Result<Verified, RejectedToken> {
        let TokenData { header, claims } = match &self.keys {
            Keys::Fixed(key) => decode(token, key, &self.validation)?,
            Keys::Set(keys) => {
                let key_id = decode_header(token)?.kid;
                let key = keys.find(key_id.as_deref()).await.ok_or(RejectedToken::UnknownKey)?;
                decode(token, &key, &self.validation)?
            }
        };
        if header.crit.is_some() {
            return Err(RejectedToken::CriticalExtension);
        }
        if !header.typ.is_none_or(|typ| TYPES.iter().any(|known| typ.eq_ignore_ascii_case(known))) {
            return Err(RejectedToken::Type);
        }
        let Claims { sub, exp, iat, jti, scope } = claims;
        // A token from the future lives from now: otherwise its `iat` would extend its life.
        let now = (get_current_timestamp() + LEEWAY_SECONDS) as f64;
        let issued_at = iat.map_or(now, |iat| iat.min(now));
        if exp - issued_at > self.lifetime_max.as_secs_f64() {
            return Err(RejectedToken::Lifetime);
        }
        let has = |wanted| scope.split(' ').any(|scope| scope == wanted);
        let actor = Actor { user_id: UserId::try_from(sub)?, is_admin: has(ADMIN_SCOPE) };
        let id = jti.and_then(|id| id.as_str()?.to_owned().try_into().ok());
        let claims = TokenClaims { id, user_id: actor.user_id.clone(), issued_at: iat };
        if self.deny_list.denies(&claims) {
            return Err(RejectedToken::Revoked);
        }
        // Rounded as in the verification of the times.
        let expires_at = exp.round() as u64;
        Ok(Verified { bearer: Bearer { actor, is_payment_service: has(TOP_UP_SCOPE) }, expires_at, claims })
    }
}

/// Enables the optional checks of jsonwebtoken.
fn validation(algorithm: Algorithm, parties: &TokenParties) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY_SECONDS;
    validation.validate_nbf = true;
    validation.set_issuer(&[&parties.issuer]);
    validation.set_audience(&[&parties.audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation
}

fn public_key(algorithm: Algorithm, pem: &[u8]) -> Option<DecodingKey> {
    let key = match algorithm {
        Algorithm::RS256 => DecodingKey::from_rsa_pem(pem),
        Algorithm::ES256 => DecodingKey::from_ec_pem(pem),
        Algorithm::EdDSA => DecodingKey::from_ed_pem(pem),
        _ => return None, // The settings accept no other algorithm.
    };
    key.ok().filter(is_strong)
}

#[derive(Serialize)]
struct NewClaims<'a> {
    sub: &'a str,
    iss: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
}

/// Signs a token with a shared secret.
///
/// # Errors
/// An expiry that is out of range.
pub fn sign(
    secret: &SecretString,
    parties: &TokenParties,
    user_id: &UserId,
    scope: &str,
    ttl: Duration,
) -> anyhow::Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let exp = now.checked_add(ttl.as_secs()).ok_or_else(|| anyhow::anyhow!("the token would be valid for too long"))?;
    let claims =
        NewClaims { sub: user_id.as_str(), iss: &parties.issuer, aud: &parties.audience, iat: now, exp, scope };
    let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    Ok(encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}

#[cfg(test)]
mod tests;
