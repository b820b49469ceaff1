//! The pages in the browser.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::client::{Answer, Client, admin, get, post, send};
use crate::demo::DemoSignIn;
use crate::http::console::Console;
use crate::settings::{ConsoleSettings, OidcSettings, TokenParties};

const ON: ConsoleSettings = ConsoleSettings { is_served: true, oidc: None };
const OFF: ConsoleSettings = ConsoleSettings { is_served: false, oidc: None };

fn demo() -> Arc<DemoSignIn> {
    let parties = TokenParties { issuer: "issuer".to_owned(), audience: "shop".to_owned() };
    Arc::new(DemoSignIn::new(super::client::SECRET.into(), parties, Duration::from_secs(60)))
}

/// The script that the page loads.
fn script(page: &Answer) -> String {
    let html = String::from_utf8(page.body.clone()).expect("text");
    html.split('"').find(|text| text.ends_with(".js")).expect("a script").to_owned()
}

#[rstest]
#[case::the_back_office(&ON, false, "/console/")]
#[case::the_demo_shop(&ON, true, "/shop/")]
#[case::the_document(&OFF, false, "/docs/")]
#[actix_web::test]
async fn browsers_are_redirected_to_a_page(
    #[case] settings: &ConsoleSettings,
    #[case] is_demo: bool,
    #[case] location: &str,
) {
    let client = Client::with_console(Console::new(settings, is_demo.then(demo))).await;
    for (method, accept, is_browser) in [
        (Method::GET, "text/html,application/xhtml+xml,*/*;q=0.8", true),
        (Method::HEAD, "text/html", true),
        (Method::GET, "*/*", false),
        (Method::GET, "application/json", false),
        (Method::POST, "text/html", false),
    ] {
        let answer = client.call(send(method, "/").insert_header(("Accept", accept))).await;
        let expected = if is_browser { (StatusCode::SEE_OTHER, location) } else { (StatusCode::NOT_FOUND, "") };
        assert_eq!((answer.status, answer.header("location")), expected, "{accept}");
    }
    assert_eq!(client.call(get(location)).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn a_page_is_revalidated_and_its_files_are_stored_for_ever() {
    let client = Client::with_console(Console::new(&ON, None)).await;
    assert_eq!(client.call(get("/console")).await.header("location"), "/console/");
    let page = client.call(get("/console/")).await;
    assert_eq!((page.status, page.header("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), "public, no-cache");
    let known = get("/console/").insert_header(("If-None-Match", page.header("etag")));
    assert_eq!(client.call(known).await.status, StatusCode::NOT_MODIFIED);
    let file = client.call(get(&script(&page)).insert_header(("Accept-Encoding", "gzip"))).await;
    assert_eq!(
        (file.header("content-type"), file.header("content-encoding")),
        ("text/javascript; charset=utf-8", "gzip")
    );
    assert_eq!(file.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(client.call(get("/console/assets/nothing.js")).await.code(), "NOT_FOUND");
}

#[actix_web::test]
async fn a_page_connects_to_the_shop_and_the_issuer_only() {
    let policy = async |settings: &ConsoleSettings| {
        let client = Client::with_console(Console::new(settings, None)).await;
        let page = client.call(get("/console/")).await;
        assert_eq!((page.header("x-content-type-options"), page.header("referrer-policy")), ("nosniff", "no-referrer"));
        page.header("content-security-policy").to_owned()
    };
    let alone = policy(&ON).await;
    assert!(alone.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{alone}");
    assert!(alone.contains("frame-ancestors 'none'") && !alone.contains("unsafe"), "{alone}");
    assert!(alone.ends_with("connect-src 'self'"), "{alone}");
    let oidc = OidcSettings {
        issuer: "https://login.example/tenant".parse().expect("a URL"),
        client_id: "console".to_owned(),
        scopes: "openid admin".to_owned(),
        audience: None,
    };
    let with_issuer = policy(&ConsoleSettings { oidc: Some(oidc), ..ON }).await;
    assert_eq!(with_issuer, format!("{alone} https://login.example"));
}

#[actix_web::test]
async fn a_page_that_is_off_does_not_exist() {
    let client = Client::with_console(Console::new(&OFF, None)).await;
    for path in ["/console", "/console/", "/console/settings.json", "/shop", "/shop/"] {
        assert_eq!(client.call(get(path)).await.code(), "NOT_FOUND", "{path}");
    }
    let client = Client::with_console(Console::new(&OFF, Some(demo()))).await;
    let shop = client.call(get("/shop/")).await;
    assert_eq!(client.call(get(&script(&shop))).await.status, StatusCode::OK);
    assert_eq!(client.call(get("/console/")).await.code(), "NOT_FOUND");
}

#[actix_web::test]
async fn a_code_of_the_demo_is_exchanged_once() {
    let sign_in = demo();
    let code = sign_in.new_code();
    let client = Client::with_console(Console::new(&ON, Some(sign_in))).await;
    let exchange = |host, code: &str| post("/console/demo/code", json!({"code": code})).insert_header(("Host", host));
    assert_eq!(client.call(exchange("evil.example:8080", &code)).await.code(), "NOT_FOUND");
    assert_eq!(client.call(exchange("127.0.0.1:8080", "guess")).await.code(), "NOT_FOUND");
    let token = client.call(exchange("127.0.0.1:8080", &code)).await.json();
    let bearer = format!("Bearer {}", token["token"].as_str().expect("a token"));
    let orders = client.call(get("/v1/admin/orders").insert_header(("Authorization", bearer))).await;
    assert_eq!(orders.status, StatusCode::OK);
    assert_eq!(client.call(exchange("127.0.0.1:8080", &code)).await.code(), "NOT_FOUND");
}

#[actix_web::test]
async fn a_customer_of_the_demo_has_no_scope() {
    let client = Client::with_console(Console::new(&ON, Some(demo()))).await;
    let sign_in =
        |user: Value| post("/console/demo/user", json!({"user_id": user})).insert_header(("Host", "localhost:8080"));
    assert_eq!(client.call(sign_in(json!("no user id"))).await.code(), "NOT_FOUND");
    let token = client.call(sign_in(json!("kim"))).await.json();
    let bearer = || ("Authorization", format!("Bearer {}", token["token"].as_str().expect("a token")));
    assert_eq!(client.call(get("/v1/users/kim/points").insert_header(bearer())).await.status, StatusCode::OK);
    assert_eq!(client.call(get("/v1/admin/orders").insert_header(bearer())).await.code(), "FORBIDDEN");
}

#[actix_web::test]
async fn a_shop_that_is_no_demo_issues_no_tokens() {
    let client = Client::with_console(Console::new(&ON, None)).await;
    for path in ["/console/demo/code", "/console/demo/user"] {
        assert_eq!(client.call(admin(post(path, json!({})))).await.code(), "NOT_FOUND", "{path}");
    }
    assert_eq!(client.call(get("/console/settings.json")).await.json(), json!({"demo": false}));
}
