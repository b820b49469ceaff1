//! Authentication and authorization.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jangteo_testkit::{AUDIENCE, Claims, ISSUER, SECRET, Server, Shop, eventually, scenarios_on_sqlite};
use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};

scenarios_on_sqlite![
    accepts_a_valid_token,
    requires_a_token,
    rejects_other_schemes,
    rejects_an_expired_token,
    rejects_a_token_that_is_not_valid_yet,
    rejects_a_token_of_another_issuer_or_for_another_audience,
    rejects_a_token_without_a_required_claim,
    rejects_a_subject_that_is_not_a_user_id,
    rejects_other_algorithms_and_signatures,
    rejects_malformed_tokens,
    rejects_a_cached_token_once_it_expires,
    hides_the_resources_of_other_users,
    shows_all_users_to_the_back_office,
];

const POINTS: &str = "/v1/users/kim/points";

async fn assert_rejected(server: &Server, token: impl Into<String>, why: &str) {
    let response = server.bearer(token).get(POINTS).await;
    assert_eq!(response.status, 401, "{why}: {response}");
    response.problem(401, "UNAUTHENTICATED");
    let challenge = response.header("www-authenticate").expect("a challenge");
    assert!(challenge.to_lowercase().starts_with("bearer"), "{challenge}");
}

async fn accepts_a_valid_token(shop: Shop) {
    let server = shop.start().await;
    server.user("kim").get(POINTS).await.expect(200);
    let token = Claims::of("kim").sign();
    for scheme in ["Bearer", "bearer"] {
        server.anonymous().get(POINTS).header("authorization", format!("{scheme} {token}")).await.expect(200);
    }
    // An audience may be one of several (RFC 7519, 4.1.3).
    server.bearer(Claims::of("kim").with("aud", json!(["others", AUDIENCE])).sign()).get(POINTS).await.expect(200);
    server.bearer(Claims::of("kim").with_time("nbf", -1).sign()).get(POINTS).await.expect(200);
    server.bearer(Claims::of("kim").with("email", "kim@example.com").sign()).get(POINTS).await.expect(200);
}

async fn requires_a_token(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").stock(1).create().await;
    let order = server.order("kim", &tea, 1).await;
    let anonymous = server.anonymous();
    for path in [POINTS, "/v1/users/kim/points/entries", "/v1/users/kim/coupons", "/v1/users/kim/orders", &order.path()]
    {
        anonymous.get(path).await.problem(401, "UNAUTHENTICATED");
    }
    let calls = [
        ("/v1/users/kim/points/top-ups".to_owned(), json!({ "amount": "1" })),
        ("/v1/orders".to_owned(), json!({ "lines": [tea.line(1)] })),
        (order.payment(), json!({})),
        (order.cancellation(), json!({})),
        // Authentication precedes validation of the body.
        ("/v1/orders".to_owned(), json!({ "nonsense": true })),
    ];
    for (path, body) in calls {
        anonymous.post(path, body).await.problem(401, "UNAUTHENTICATED");
    }
    assert_eq!(server.read_order(&order).await["status"], "pending_payment");
}

async fn rejects_other_schemes(shop: Shop) {
    let server = shop.start().await;
    let token = Claims::of("kim").sign();
    for value in [
        format!("Basic {token}"),
        token.clone(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer  {token} x"),
    ] {
        let response = server.anonymous().get(POINTS).header("authorization", value).await;
        response.problem(401, "UNAUTHENTICATED");
    }
    let query = format!("{POINTS}?access_token={token}");
    assert!(server.anonymous().get(query).await.status != 200, "a token in a URL would appear in logs");
}

async fn rejects_an_expired_token(shop: Shop) {
    let server = shop.start().await;
    assert_rejected(&server, Claims::of("kim").with_time("exp", -3_600).sign(), "expired an hour ago").await;
    assert_rejected(&server, Claims::of("kim").with_time("exp", -7).sign(), "expired beyond the leeway").await;
    assert_rejected(&server, Claims::of("kim").with("exp", "never").sign(), "an expiry that is no time").await;
    assert_rejected(&server, Claims::of("kim").with("exp", 0).sign(), "expired in 1970").await;
}

async fn rejects_a_token_that_is_not_valid_yet(shop: Shop) {
    let server = shop.start().await;
    assert_rejected(&server, Claims::of("kim").with_time("nbf", 60).sign(), "valid from the next minute on").await;
}

async fn rejects_a_token_of_another_issuer_or_for_another_audience(shop: Shop) {
    let server = shop.start().await;
    let cases = [
        ("iss", json!("https://evil.example")),
        ("iss", json!(ISSUER.to_uppercase())),
        ("iss", json!("")),
        ("aud", json!("others")),
        ("aud", json!(["others"])),
        ("aud", json!([])),
        ("aud", Value::Null),
    ];
    for (claim, value) in cases {
        assert_rejected(&server, Claims::of("kim").with(claim, value.clone()).sign(), &format!("{claim} {value}"))
            .await;
    }
}

async fn rejects_a_token_without_a_required_claim(shop: Shop) {
    let server = shop.start().await;
    for claim in ["sub", "exp", "iss", "aud"] {
        assert_rejected(&server, Claims::of("kim").without(claim).sign(), &format!("no {claim}")).await;
    }
}

async fn rejects_a_subject_that_is_not_a_user_id(shop: Shop) {
    let server = shop.start().await;
    let too_long = "x".repeat(65);
    for subject in ["", " ", "kim lee", "김", "kim/lee", "kim\n", "kim'--", "kim\0", &too_long] {
        assert_rejected(&server, Claims::of(subject).sign(), &format!("the subject {subject:?}")).await;
    }
    assert_rejected(&server, Claims::of("kim").with("sub", 7).sign(), "a number as the subject").await;
}

async fn rejects_other_algorithms_and_signatures(shop: Shop) {
    let server = shop.start().await;
    let claims = Claims::of("kim");
    let other_secret = SECRET.replace("secret", "guess!");
    assert_rejected(&server, claims.sign_with(&Header::default(), &other_secret), "another key").await;
    assert_rejected(&server, claims.sign_with(&Header::new(Algorithm::HS384), SECRET), "another algorithm").await;
    assert_rejected(&server, claims.sign_with(&Header::new(Algorithm::HS512), SECRET), "another algorithm").await;
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    for algorithm in ["none", "None", "NONE", "", "HS256 "] {
        let head = encode(&json!({ "alg": algorithm, "typ": "JWT" }));
        let body = encode(claims.value());
        assert_rejected(&server, format!("{head}.{body}."), &format!("algorithm {algorithm:?}, unsigned")).await;
        let signature = claims.sign().rsplit('.').next().expect("three parts").to_owned();
        assert_rejected(&server, format!("{head}.{body}.{signature}"), "the signature of another head").await;
    }
    // Claims changed after signing.
    let signed = claims.sign();
    let parts: Vec<&str> = signed.split('.').collect();
    let forged = encode(claims.clone().with("scope", "admin").value());
    assert_rejected(&server, format!("{}.{forged}.{}", parts[0], parts[2]), "forged claims").await;
}

async fn rejects_malformed_tokens(shop: Shop) {
    let server = shop.start().await;
    let huge = "x".repeat(6_000);
    for token in ["x", "a.b", "a.b.c", "...", "eyJ.eyJ.eyJ", "🤷", &huge] {
        assert_rejected(&server, token, token).await;
    }
    let token = Claims::of("kim").sign();
    let twice = server.user("kim").get(POINTS).also_header("authorization", &format!("Bearer {token}")).await;
    assert!(twice.status != 500, "{twice}");
}

async fn rejects_a_cached_token_once_it_expires(shop: Shop) {
    let server = shop.start().await;
    // Within the leeway of five seconds for two seconds.
    let caller = server.bearer(Claims::of("kim").with_time("exp", -3).sign());
    caller.get(POINTS).await.expect(200);
    eventually("the token expires", async || (caller.get(POINTS).await.status == 401).then_some(())).await;
}

async fn hides_the_resources_of_other_users(shop: Shop) {
    let server = shop.start().await;
    server.top_up("kim", 100).await;
    let lee = server.user("lee");
    for path in ["points", "points/entries", "coupons", "orders"] {
        lee.get(format!("/v1/users/kim/{path}")).await.problem(404, "USER_NOT_FOUND");
        // The response does not reveal whether kim exists.
        lee.get(format!("/v1/users/unknown/{path}")).await.problem(404, "USER_NOT_FOUND");
    }
    lee.post("/v1/users/kim/points/top-ups", json!({ "amount": "1" })).await.problem(404, "USER_NOT_FOUND");
    lee.get("/v1/users/KIM/points").await.problem(404, "USER_NOT_FOUND");
    assert_eq!(server.balance("kim").await, 100);
}

async fn shows_all_users_to_the_back_office(shop: Shop) {
    let server = shop.start().await;
    server.top_up("kim", 100).await;
    let admin = server.admin();
    assert_eq!(admin.get(POINTS).await.json(200)["balance"], "100");
    for path in ["points/entries", "coupons", "orders"] {
        admin.get(format!("/v1/users/kim/{path}")).await.expect(200);
    }
}
