//! Revoked tokens: every server rejects them within the time of its reading, whichever server or command revoked them.

use std::time::Duration;

use jangteo_testkit::{Claims, Server, Shop, eventually, eventually_within, scenarios};
use serde_json::{Value, json};

use crate::assert_utc;

scenarios![
    every_server_rejects_a_revoked_token,
    the_command_revokes_tokens,
    a_server_that_restarts_still_rejects_revoked_tokens,
    revocations_are_deleted_after_their_tokens_have_expired,
    a_server_without_the_list_does_not_start,
];

const PATH: &str = "/v1/admin/token-revocations";
/// A server reads the list every five seconds; the rest is for a busy machine.
const READ_MAX: Duration = Duration::from_secs(30);

fn claims(user: &str, id: &str) -> Claims {
    Claims::of(user).with("jti", id).with_time("iat", -60).with_time("exp", 600)
}

async fn is_accepted(server: &Server, claims: &Claims) -> bool {
    let user = claims.value()["sub"].as_str().expect("a subject").to_owned();
    let response = server.bearer(claims.sign()).get(format!("/v1/users/{user}/points")).await;
    match response.status {
        200 => true,
        _ => {
            response.problem(401, "UNAUTHENTICATED");
            false
        }
    }
}

async fn rejects(server: &Server, claims: &Claims) {
    let rejected = async || (!is_accepted(server, claims).await).then_some(());
    eventually_within(READ_MAX, "the token is rejected", rejected).await;
}

async fn every_server_rejects_a_revoked_token(shop: Shop) {
    let servers = [shop.start().await, shop.start().await];
    let [stolen, other, lees] = [claims("kim", "t-1"), claims("kim", "t-2"), claims("lee", "t-3")];
    let renewed = Claims::of("lee").with_time("iat", 60).with_time("exp", 600);
    for server in &servers {
        for claims in [&stolen, &other, &lees] {
            assert!(is_accepted(server, claims).await);
        }
    }
    let admin = servers[0].admin();
    let one = admin.post(PATH, json!({ "jti": "t-1" })).await.json(201);
    let of_user = admin.post(PATH, json!({ "user_id": "lee" })).await.json(201);
    for server in &servers {
        rejects(server, &stolen).await;
        rejects(server, &lees).await;
        assert!(is_accepted(server, &other).await, "another token of the user");
        assert!(is_accepted(server, &renewed).await, "issued later");
    }
    assert_utc(&of_user["issued_before"]);
    let listed = servers[1].admin().get(PATH).await.json(200);
    assert_eq!(listed["data"], json!([of_user, one]));
}

async fn the_command_revokes_tokens(shop: Shop) {
    let server = shop.start().await;
    let [stolen, lees, renewed] =
        [claims("kim", "t-1"), claims("lee", "t-2"), Claims::of("lee").with_time("iat", -5).with_time("exp", 600)];
    let before = time::OffsetDateTime::now_utc() - Duration::from_secs(30);
    let before = before.format(&time::format_description::well_known::Rfc3339).expect("a time");
    for arguments in [["--jti", "t-1"].as_slice(), &["--user", "lee", "--before", &before]] {
        let revoking = match arguments {
            [one, id] => shop.server().run(["token", "revoke", one, id]).await,
            [one, user, two, time] => shop.server().run(["token", "revoke", one, user, two, time]).await,
            _ => unreachable!("two or four"),
        };
        assert_eq!((revoking.code, revoking.stderr.as_str()), (Some(0), ""), "{revoking:?}");
        assert!(revoking.stdout.starts_with("revoked until "), "{revoking:?}");
    }
    rejects(&server, &stolen).await;
    rejects(&server, &lees).await;
    assert!(is_accepted(&server, &renewed).await);
    let log = server.admin().get("/v1/admin/audit-log").await.json(200);
    let shown = |line: &Value| ["action", "subject_kind", "subject_id"].map(|member| line[member].clone());
    assert_eq!(json!(shown(&log["data"][1])), json!(["revoke_tokens", "token", "t-1"]));
    assert_eq!(json!(shown(&log["data"][0])), json!(["revoke_tokens", "user", "lee"]));
    assert!(log["data"][0]["actor"].as_str().is_some_and(|actor| actor.starts_with("cli:")));
    let neither = shop.server().run(["token", "revoke"]).await;
    let both = shop.server().run(["token", "revoke", "--jti", "t-1", "--user", "kim"]).await;
    let mixed = shop.server().run(["token", "revoke", "--jti", "t-1", "--before", &before]).await;
    assert_eq!([neither.code, both.code, mixed.code], [Some(2); 3]);
}

async fn a_server_that_restarts_still_rejects_revoked_tokens(shop: Shop) {
    let server = shop.start().await;
    server.admin().post(PATH, json!({ "jti": "t-1" })).key("once").await.expect(201);
    server.kill().await;
    let server = shop.start().await;
    assert!(!is_accepted(&server, &claims("kim", "t-1")).await, "from the first request on");
    let repeated = server.admin().post(PATH, json!({ "jti": "t-1" })).key("once").await.expect(201);
    assert_eq!(repeated.header("idempotent-replayed"), Some("true"));
}

async fn revocations_are_deleted_after_their_tokens_have_expired(shop: Shop) {
    let server = shop.start().await;
    let past = json!({ "jti": "t-1", "expires_at": "2020-01-01T00:00:00Z" });
    server.admin().post(PATH, past).await.expect(201);
    server.admin().post(PATH, json!({ "jti": "t-2" })).await.expect(201);
    eventually("the old revocation is deleted", async || {
        let listed = server.admin().get(PATH).await.json(200);
        (listed["data"].as_array().expect("a list").len() == 1).then(|| assert_eq!(listed["data"][0]["jti"], "t-2"))
    })
    .await;
}

async fn a_server_without_the_list_does_not_start(shop: Shop) {
    shop.start().await.kill().await;
    let mut connection = shop.database().connect().await;
    connection.execute("ALTER TABLE token_revocations RENAME TO token_revocations_elsewhere").await;
    let started = shop.server().run(["serve"]).await;
    assert_eq!(started.code, Some(1), "{started:?}");
    assert!(started.stderr.contains("the revoked tokens cannot be read"), "{started:?}");
    connection.execute("ALTER TABLE token_revocations_elsewhere RENAME TO token_revocations").await;
    connection.close().await;
}
