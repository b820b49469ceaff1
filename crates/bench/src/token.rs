//! Access tokens signed with the key in the settings of the server under test.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde::Serialize;

const SECRET: &str = "a benchmark's key, which opens nothing but the benchmark's own server";
const ISSUER: &str = "jangteo-bench";
const AUDIENCE: &str = "jangteo";
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    exp: u64,
    iss: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

/// The server's settings to accept these tokens.
pub fn server_settings() -> [(&'static str, &'static str); 4] {
    [("JWT_ALGORITHM", "HS256"), ("JWT_SECRET", SECRET), ("JWT_ISSUER", ISSUER), ("JWT_AUDIENCE", AUDIENCE)]
}

pub fn of_user(user_id: &str) -> Result<String> {
    mint(user_id, None)
}

pub fn of_admin() -> Result<String> {
    mint("bench-admin", Some("admin"))
}

fn mint(user_id: &str, scope: Option<&str>) -> Result<String> {
    let exp = (SystemTime::now().duration_since(UNIX_EPOCH)? + LIFETIME).as_secs();
    let claims = Claims { sub: user_id, exp, iss: ISSUER, aud: AUDIENCE, scope };
    Ok(encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))?)
}
