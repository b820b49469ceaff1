//! Forged, stolen and unusual tokens.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};

use crate::report::Report;
use crate::rights::Victim;
use crate::target::{Request, Target};

const YEAR: i64 = 31_536_000;

pub async fn attack(target: &Target, victim: &Victim, report: &mut Report) {
    for (attack, token) in forged(target, victim).into_iter().chain(by_claims(target, victim)) {
        let request = Request::get(victim.points()).bearer(&token);
        report.send(target, format!("token: {attack}"), "401", request).await;
    }
    let token = target.user(&victim.user);
    let points = || Request::get(victim.points());
    let credentials = [
        ("Basic", points().header("authorization", format!("Basic {token}"))),
        ("without a scheme", points().header("authorization", token.clone())),
        ("two headers", points().bearer(&token).bearer(&token)),
        ("in a cookie", points().header("cookie", format!("token={token}; access_token={token}"))),
        ("in the query", Request::get(format!("{}?access_token={token}", victim.points()))),
        ("in another header", points().header("x-access-token", token.clone())),
        ("a user's name in a header", points().header("x-user-id", victim.user.clone())),
    ];
    for (attack, request) in credentials {
        report.send(target, format!("credentials: {attack}"), "401", request).await;
    }
    // Not an array, another member, or part of a word: the scope is a list separated by blanks.
    let claims = || target.claims("mallory");
    let scopes = [
        ("administrator", claims().with("scope", "administrator")),
        ("ADMIN", claims().with("scope", "ADMIN")),
        ("by a tab", claims().with("scope", "openid\tadmin")),
        ("scopes", claims().with("scopes", json!(["admin"]))),
        ("role", claims().with("role", "admin").with("is_admin", true)),
        ("points:top-up", claims().with("scope", "points:top-up")),
    ];
    for (attack, claims) in scopes {
        let request = Request::get("/v1/admin/orders").bearer(&target.sign(&claims));
        report.send(target, format!("scope: {attack}"), "403", request).await;
    }
    let array = target.sign(&claims().with("scope", json!(["admin"])));
    report.send(target, "scope: an array", "401 or 403", Request::get("/v1/admin/orders").bearer(&array)).await;
}

/// Tokens without the right signature, or with another head.
fn forged(target: &Target, victim: &Victim) -> Vec<(String, String)> {
    let claims = target.claims(&victim.user).with("scope", "admin");
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let valid = target.sign(&claims);
    let parts: Vec<&str> = valid.split('.').collect();
    let (body, signature) = (parts[1], parts[2]);
    let mut forged = Vec::new();
    for algorithm in ["none", "None", "nOnE", "", "HS256 ", "hs256", "RS256", "ES256", "EdDSA", "PS512"] {
        let head = encode(&json!({ "alg": algorithm, "typ": "JWT" }));
        forged.push((format!("algorithm {algorithm:?}, unsigned"), format!("{head}.{body}.")));
        forged.push((
            format!("algorithm {algorithm:?}, the signature of another head"),
            format!("{head}.{body}.{signature}"),
        ));
    }
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        forged.push((
            format!("{algorithm:?} with the secret"),
            claims.sign_with(&Header::new(algorithm), &target.secret),
        ));
    }
    for key in ["", "\0", "secret", "public key in PEM"] {
        for key_id in ["../../../../dev/null", "' UNION SELECT '' --", "http://127.0.0.1:1/keys"] {
            let header = Header { kid: Some(key_id.to_owned()), ..Header::default() };
            forged.push((format!("kid {key_id:?}, signed by {key:?}"), claims.sign_with(&header, key)));
        }
    }
    let url = || Some("http://127.0.0.1:1/keys".to_owned());
    let urls = Header { jku: url(), x5u: url(), ..Header::default() };
    forged.push((
        "keys at a URL of the attacker".to_owned(),
        claims.sign_with(&urls, "attacker's key of 32 bytes or so"),
    ));
    let embedded = encode(&json!({ "alg": "HS256", "jwk": { "kty": "oct", "k": "AAAA" } }));
    forged.push(("a key in the head".to_owned(), format!("{embedded}.{body}.{signature}")));
    for typ in ["id+jwt", "dpop+jwt", "logout+jwt", "JWE", ""] {
        let header = Header { typ: Some(typ.to_owned()), ..Header::default() };
        forged.push((format!("typ {typ:?}"), claims.sign_with(&header, &target.secret)));
    }
    let admin = encode(target.claims("root").with("scope", "admin").value());
    forged.extend([
        ("claims changed after signing".to_owned(), format!("{}.{admin}.{signature}", parts[0])),
        ("a signature cut short".to_owned(), format!("{}.{body}.{}", parts[0], &signature[..20])),
        ("a fourth part".to_owned(), format!("{valid}.{signature}")),
        ("two parts".to_owned(), format!("{}.{body}", parts[0])),
        ("a trailing dot".to_owned(), format!("{valid}.")),
        ("padded base64".to_owned(), format!("{valid}=")),
        (
            "a token in a token".to_owned(),
            format!("{}.{}.{signature}", parts[0], BASE64_URL_SAFE_NO_PAD.encode(&valid)),
        ),
        ("12 KB of dots".to_owned(), ".".repeat(12_000)),
        ("12 KB of text".to_owned(), "x".repeat(12_000)),
        ("deep claims".to_owned(), format!("{}.{}.x", parts[0], BASE64_URL_SAFE_NO_PAD.encode("[".repeat(5_000)))),
    ]);
    forged
}

/// Tokens that are signed by the shop's own key.
fn by_claims(target: &Target, victim: &Victim) -> Vec<(String, String)> {
    let claims = || target.claims(&victim.user);
    [
        ("expired an hour ago", claims().with_time("exp", -3_600)),
        ("expires in ten years", claims().with_time("exp", 10 * YEAR)),
        (
            "expires in ten years, issued just before",
            claims().with_time("iat", 10 * YEAR - 60).with_time("exp", 10 * YEAR),
        ),
        ("expires never", claims().without("exp")),
        ("expires at 1e300", claims().with("exp", 1e300)),
        ("expires at a text", claims().with("exp", "2999-01-01T00:00:00Z")),
        ("expires before 1970", claims().with("exp", -1)),
        ("valid from tomorrow", claims().with_time("nbf", 86_400)),
        ("of another issuer", claims().with("iss", "https://evil.example")),
        ("of no issuer", claims().without("iss")),
        ("for another audience", claims().with("aud", "others")),
        ("for no audience", claims().with("aud", json!([]))),
        ("no subject", claims().without("sub")),
        ("an empty subject", claims().with("sub", "")),
        ("a subject with SQL", claims().with("sub", "kim' OR '1'='1")),
        ("a subject with a path", claims().with("sub", "../admin")),
        ("a subject with NUL", claims().with("sub", "kim\0")),
        ("a subject of 65 characters", claims().with("sub", "x".repeat(65))),
        ("a number as subject", claims().with("sub", 7)),
    ]
    .into_iter()
    .map(|(attack, claims)| (attack.to_owned(), target.sign(&claims)))
    .collect()
}
