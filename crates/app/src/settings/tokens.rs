//! The verification of tokens.

use std::borrow::Cow;
use std::path::PathBuf;

use jsonwebtoken::Algorithm;
use secrecy::SecretString;

use crate::settings::table::Values;
use crate::settings::value::{self, Value};
use crate::settings::{SettingsError, invalid};

/// An HS256 secret has at least as many bytes as the hash (RFC 7518, 3.2).
pub const SECRET_BYTES_MIN: usize = 32;

/// The algorithm of tokens and its key.
#[derive(Debug)]
#[expect(missing_docs, reason = "field names say it")]
pub struct TokenSettings {
    pub algorithm: Algorithm,
    pub key: TokenKey,
}

/// The key that verifies signatures.
#[derive(Debug)]
pub enum TokenKey {
    /// A shared secret of at least [`SECRET_BYTES_MIN`] bytes.
    Secret(SecretString),
    /// A file with a public key in PEM.
    PublicKeyFile(PathBuf),
    /// A file with a JSON Web Key Set.
    KeySetFile(PathBuf),
    /// The URL of a JSON Web Key Set.
    KeySetUrl(String),
}

/// The parties of a token.
#[derive(Debug, Clone)]
pub struct TokenParties {
    /// The claim `iss`.
    pub issuer: String,
    /// The claim `aud`.
    pub audience: String,
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

impl Value for Algorithm {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        match text {
            "HS256" => Ok(Self::HS256),
            "RS256" => Ok(Self::RS256),
            "ES256" => Ok(Self::ES256),
            "EdDSA" => Ok(Self::EdDSA),
            _ => Err("HS256, RS256, ES256 or EdDSA".into()),
        }
    }
}

/// The secret of HS256.
pub struct TokenSecret(SecretString);

impl Value for TokenSecret {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        value::secret(text, SECRET_BYTES_MIN).map(Self)
    }
}

/// The location of a JSON Web Key Set.
pub enum KeySetLocation {
    File(PathBuf),
    Url(String),
}

impl Value for KeySetLocation {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        if text.starts_with("https://") {
            return Ok(Self::Url(text.to_owned()));
        }
        let Some(rest) = text.strip_prefix("http://") else { return Ok(Self::File(text.into())) };
        let is_local = ["localhost", "127.0.0.1", "[::1]"]
            .iter()
            .any(|host| rest.strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/'])));
        if is_local { Ok(Self::Url(text.to_owned())) } else { Err("https, unless the host is this machine".into()) }
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
