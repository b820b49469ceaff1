//! Tokens of the tests' identity provider.

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Signing key of the servers' settings.
pub const SECRET: &str = "a-secret-of-the-tests-with-more-than-32-bytes";
/// Issuer of the servers' settings.
pub const ISSUER: &str = "https://id.jangteo.test";
/// Audience of the servers' settings.
pub const AUDIENCE: &str = "jangteo-tests";

/// The settings of a server that accepts these tokens.
pub const TOKEN_SETTINGS: [(&str, &str); 4] =
    [("JWT_ALGORITHM", "HS256"), ("JWT_SECRET", SECRET), ("JWT_ISSUER", ISSUER), ("JWT_AUDIENCE", AUDIENCE)];

/// The claims of a token, valid unless changed.
#[derive(Clone, Debug)]
pub struct Claims(Value);

impl Claims {
    /// Claims with a validity of one day, longer than any benchmark.
    pub fn of(user_id: &str) -> Self {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        Self(json!({ "sub": user_id, "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 86_400 }))
    }

    /// Sets a claim.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0[name] = value.into();
        self
    }

    /// Removes a claim.
    pub fn without(mut self, name: &str) -> Self {
        self.0.as_object_mut().expect("claims are an object").remove(name);
        self
    }

    /// Sets a claim to a time relative to now.
    pub fn with_time(self, name: &str, seconds_from_now: i64) -> Self {
        self.with(name, OffsetDateTime::now_utc().unix_timestamp() + seconds_from_now)
    }

    /// The claims as JSON.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// Signs with HS256 and the key of the tests.
    pub fn sign(&self) -> String {
        self.sign_with(&Header::default(), SECRET)
    }

    /// Signs with another header and key.
    pub fn sign_with(&self, header: &Header, secret: &str) -> String {
        encode(header, &self.0, &EncodingKey::from_secret(secret.as_bytes())).expect("claims can be signed")
    }
}

/// A valid token of a user with an optional scope.
pub fn token(user_id: &str, scope: Option<&str>) -> String {
    let claims = Claims::of(user_id);
    scope.map_or(claims.clone(), |scope| claims.with("scope", scope)).sign()
}
