//! The verification of tokens.

use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use reqwest::Url;
use secrecy::SecretString;

use crate::settings::error::{SettingsError, invalid};
use crate::settings::table::Values;
use crate::settings::value::KeySetLocation;

/// The algorithm of tokens and its key.
#[derive(Debug)]
pub struct TokenSettings {
    pub algorithm: Algorithm,
    pub key: TokenKey,
}

/// The key that verifies signatures.
#[derive(Debug)]
pub enum TokenKey {
    /// A shared secret of at least [`TOKEN_SECRET_BYTES_MIN`](crate::settings::TOKEN_SECRET_BYTES_MIN) bytes.
    Secret(SecretString),
    /// A file with a public key in PEM.
    PublicKeyFile(PathBuf),
    /// A file with a JSON Web Key Set.
    KeySetFile(PathBuf),
    /// The URL of a JSON Web Key Set.
    KeySetUrl(Url),
}

/// The parties of a token.
#[derive(Debug, Clone)]
pub struct TokenParties {
    /// Required claim `iss` of tokens, and that of signed ones.
    pub issuer: String,
    /// Required claim `aud` of tokens, and that of signed ones.
    pub audience: String,
}

/// Limits of the trust in tokens and keys.
#[derive(Debug, Clone, Copy)]
pub struct TokenLimits {
    /// From the claim `iat` to `exp`.
    pub lifetime_max: Duration,
    /// Time for which the keys of a set are trusted after its last successful reading.
    pub key_set_stale_max: Duration,
}

impl TokenSettings {
    /// `None` where no key is set.
    pub(super) fn new(values: &Values) -> Result<Option<Self>, SettingsError> {
        let Values { jwt_algorithm, jwt_secret, jwt_public_key_file, jwt_jwks, .. } = values;
        let (key, name) = match (jwt_secret, jwt_public_key_file, jwt_jwks) {
            (None, None, None) if jwt_algorithm.is_none() => return Ok(None),
            (None, None, None) => {
                return Err(invalid("JWT_ALGORITHM", "needs JWT_SECRET, JWT_PUBLIC_KEY_FILE or JWT_JWKS beside it"));
            }
            (Some(secret), None, None) => {
                let algorithm = jwt_algorithm.unwrap_or(Algorithm::HS256);
                return Self::with_secret(algorithm, secret.0.clone()).map(Some);
            }
            (None, Some(path), None) => (TokenKey::PublicKeyFile(path.clone()), "JWT_PUBLIC_KEY_FILE"),
            (None, None, Some(location)) => (location.into(), "JWT_JWKS"),
            _ => {
                return Err(invalid("JWT_SECRET", "one of JWT_SECRET, JWT_PUBLIC_KEY_FILE and JWT_JWKS, not several"));
            }
        };
        match *jwt_algorithm {
            Some(algorithm) if algorithm != Algorithm::HS256 => Ok(Some(Self { algorithm, key })),
            _ => Err(invalid("JWT_ALGORITHM", format!("RS256, ES256 or EdDSA beside {name}"))),
        }
    }

    fn with_secret(algorithm: Algorithm, secret: SecretString) -> Result<Self, SettingsError> {
        match algorithm {
            Algorithm::HS256 => Ok(Self { algorithm, key: TokenKey::Secret(secret) }),
            _ => Err(invalid("JWT_ALGORITHM", "HS256 beside JWT_SECRET")),
        }
    }
}

impl From<&KeySetLocation> for TokenKey {
    fn from(location: &KeySetLocation) -> Self {
        match location {
            KeySetLocation::File(path) => Self::KeySetFile(path.clone()),
            KeySetLocation::Url(url) => Self::KeySetUrl(url.clone()),
        }
    }
}
