//! Tokens as the identity provider of the tests signs them.

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// The key that the servers are configured with.
pub const SECRET: &str = "a-secret-of-the-tests-with-more-than-32-bytes";
/// The issuer that the servers are configured with.
pub const ISSUER: &str = "https://id.jangteo.test";
/// The audience that the servers are configured with.
pub const AUDIENCE: &str = "jangteo-tests";

/// The claims of a token; a good one to begin with, to be changed at will.
#[derive(Clone, Debug)]
pub struct Claims(Value);

impl Claims {
    /// Claims that are valid for an hour.
    pub fn of(user_id: &str) -> Self {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        Self(json!({ "sub": user_id, "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 3_600 }))
    }

    /// With that claim instead.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0[name] = value.into();
        self
    }

    /// Without that claim.
    pub fn without(mut self, name: &str) -> Self {
        self.0.as_object_mut().expect("claims are an object").remove(name);
        self
    }

    /// With that claim so many seconds from now.
    pub fn with_time(self, name: &str, seconds_from_now: i64) -> Self {
        self.with(name, OffsetDateTime::now_utc().unix_timestamp() + seconds_from_now)
    }

    /// The claims as they are encoded.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// The token, signed with HS256 and the key of the tests.
    pub fn sign(&self) -> String {
        self.sign_with(&Header::default(), SECRET)
    }

    /// The token, signed as the header says with another key.
    pub fn sign_with(&self, header: &Header, secret: &str) -> String {
        encode(header, &self.0, &EncodingKey::from_secret(secret.as_bytes())).expect("claims can be signed")
    }
}

/// A good token of that user, with that scope.
pub fn token(user_id: &str, scope: Option<&str>) -> String {
    let claims = Claims::of(user_id);
    scope.map_or(claims.clone(), |scope| claims.with("scope", scope)).sign()
}
