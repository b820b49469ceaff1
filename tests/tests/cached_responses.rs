//! Cached responses: freshness, conditional requests and compression.

use std::io::Read;

use jangteo_testkit::{Response, Server, Shop, eventually, scenarios, scenarios_on_sqlite};
use reqwest::Method;
use serde_json::{Value, json};

use crate::names;

scenarios![
    shows_back_office_changes_immediately,
    shows_changes_of_another_server_soon,
    returns_the_stock_at_the_time_of_the_read,
    serves_many_concurrent_readers,
];

scenarios_on_sqlite![responds_304_to_a_matching_etag, sets_cache_control, compresses_long_responses_on_request,];

async fn listed(server: &Server) -> Vec<(String, String)> {
    let list = server.anonymous().get("/v1/products?sort=name").await.json(200);
    let rows = list["data"].as_array().expect("a list").iter();
    rows.map(|row| (row["name"].to_string(), format!("{} {}", row["price"], row["available"]))).collect()
}

async fn shows_back_office_changes_immediately(shop: Shop) {
    let server = shop.start().await;
    let row = |name: &str, rest: &str| (format!("{name:?}"), rest.to_owned());
    assert_eq!(listed(&server).await, []);
    let tea = server.product("tea").price(10).create().await;
    assert_eq!(listed(&server).await, [row("tea", r#""10" 0"#)]);
    server.restock(&tea, 3).await.expect(201);
    assert_eq!(listed(&server).await, [row("tea", r#""10" 3"#)]);
    server.admin().patch(tea.admin_path(), json!({ "price": "20" })).await.expect(200);
    assert_eq!(listed(&server).await, [row("tea", r#""20" 3"#)]);
    assert_eq!(server.anonymous().get(tea.path()).await.json(200)["price"], "20");
    server.admin().patch(tea.admin_path(), json!({ "status": "hidden" })).await.expect(200);
    assert_eq!(listed(&server).await, []);
    server.anonymous().get(tea.path()).await.problem(404, "PRODUCT_NOT_FOUND");
}

async fn shows_changes_of_another_server_soon(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let tea = one.product("tea").create().await;
    for path in ["/v1/products", "/v1/products/popular", &tea.path()] {
        other.anonymous().get(path).await.expect(200);
    }
    one.admin().patch(tea.admin_path(), json!({ "name": "green tea" })).await.expect(200);
    eventually("the other server lists the new name", async || {
        let list = other.anonymous().get("/v1/products").await.json(200);
        (names(&list["data"]) == ["green tea"]).then_some(())
    })
    .await;
    eventually("the other server shows the new name", async || {
        (other.anonymous().get(tea.path()).await.json(200)["name"] == "green tea").then_some(())
    })
    .await;
}

async fn returns_the_stock_at_the_time_of_the_read(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let tea = one.product("tea").stock(20).create().await;
    one.top_up("kim", 1_000).await;
    for left in (0..20).rev() {
        one.order(&format!("user-{left}"), &tea, 1).await;
        for server in [&one, &other] {
            assert_eq!(server.anonymous().get(tea.path()).await.json(200)["available"], left);
        }
    }
}

/// Paths of cacheable responses, and data for them.
async fn cacheable_paths(server: &Server) -> Vec<String> {
    let tea = server.product("tea").with("description", "from Boseong ".repeat(100).trim()).stock(5).create().await;
    server.top_up("kim", 10_000).await;
    let order = server.order("kim", &tea, 1).await;
    server.pay("kim", &order).await;
    let paths = ["/v1/products", "/v1/products?sort=popular&limit=1", "/v1/products/popular", "/openapi.json"];
    paths.into_iter().map(str::to_owned).chain([tea.path()]).collect()
}

fn described(response: &Response) -> [Option<String>; 3] {
    ["etag", "cache-control", "vary"].map(|name| response.header(name).map(str::to_owned))
}

async fn responds_304_to_a_matching_etag(shop: Shop) {
    let (server, other) = (shop.start().await, shop.start().await);
    for path in cacheable_paths(&server).await {
        let first = server.anonymous().get(&path).await.expect(200);
        let tag = first.header("etag").unwrap_or_else(|| panic!("no ETag: {path}")).to_owned();
        assert!(tag.starts_with("W/\"") && tag.ends_with('"'), "{tag}");
        let stronger = tag.trim_start_matches("W/").to_owned();
        for known in [tag.clone(), stronger, format!("\"x\", {tag}"), "*".to_owned()] {
            for (server, method) in [(&server, Method::GET), (&server, Method::HEAD), (&other, Method::GET)] {
                let call = server.user("kim").call(method, &path).header("if-none-match", &known);
                let again = call.await.expect(304);
                assert!(again.body.is_empty(), "{path}");
                assert_eq!(described(&again), described(&first), "{path}");
            }
        }
        for unknown in ["\"x\"", "W/\"x\"", "x", ""] {
            let again = server.anonymous().get(&path).header("if-none-match", unknown).await.expect(200);
            assert_eq!(again.body, first.body, "{path} {unknown}");
        }
    }
    let tea = server.product("mug").stock(2).create().await;
    let before = server.anonymous().get(tea.path()).await.expect(200);
    server.order("kim", &tea, 1).await;
    let tag = before.header("etag").expect("an ETag");
    let after = server.anonymous().get(tea.path()).header("if-none-match", tag).await.json(200);
    assert_eq!(after["available"], 1);
}

async fn sets_cache_control(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").create().await;
    let hidden = server.product("hidden").with("status", "hidden").create().await;
    let cases = [
        (server.anonymous(), "/v1/products".to_owned(), 200, "public, max-age=1"),
        (server.user("kim"), "/v1/products".to_owned(), 200, "public, max-age=1"),
        (server.anonymous(), "/v1/products/popular".to_owned(), 200, "public, max-age=1"),
        (server.anonymous(), tea.path(), 200, "public, no-cache"),
        (server.admin(), hidden.path(), 200, "no-store"),
        (server.anonymous(), hidden.path(), 404, "no-store"),
        (server.anonymous(), "/v1/products?limit=0".to_owned(), 400, "no-store"),
        (server.admin(), "/v1/admin/products".to_owned(), 200, "no-store"),
        (server.user("kim"), "/v1/users/kim/orders".to_owned(), 200, "no-store"),
    ];
    for (caller, path, status, expected) in cases {
        let response = caller.get(&path).await.expect(status);
        assert_eq!(response.header("cache-control"), Some(expected), "{path}");
    }
}

fn unzipped(response: &Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&response.body[..]).read_to_end(&mut bytes).expect("gzip");
    bytes
}

async fn compresses_long_responses_on_request(shop: Shop) {
    let server = shop.start().await;
    let mut paths = cacheable_paths(&server).await;
    for _ in 0..5 {
        server.top_up("kim", 1).await;
    }
    paths.extend(["/v1/users/kim/points/entries", "/v1/admin/products"].map(str::to_owned));
    for path in paths {
        let plain = server.admin().get(&path).await.expect(200);
        assert!(plain.body.len() > 1_024, "{plain}");
        assert_eq!(plain.header("content-encoding"), None, "{path}");
        for accepted in ["gzip", "br, gzip;q=0.5, *;q=0.1", "deflate, gzip"] {
            let zipped = server.admin().get(&path).header("accept-encoding", accepted).await.expect(200);
            assert_eq!(zipped.header("content-encoding"), Some("gzip"), "{path}");
            assert_eq!(zipped.header("vary"), Some("Accept-Encoding"), "{path}");
            assert_eq!(zipped.header("content-length"), Some(&*zipped.body.len().to_string()), "{path}");
            assert_eq!(zipped.header("etag"), plain.header("etag"), "{path}");
            assert!(zipped.body.len() < plain.body.len(), "{path}");
            assert_eq!(unzipped(&zipped), plain.body, "{path}");
        }
        for rejected in ["identity", "br", "gzip;q=0", "", ";;"] {
            let response = server.admin().get(&path).header("accept-encoding", rejected).await.expect(200);
            assert_eq!((response.header("content-encoding"), &response.body), (None, &plain.body), "{path} {rejected}");
        }
    }
    // Short responses are not compressed.
    let short = server.user("kim").get("/v1/users/kim/points").header("accept-encoding", "gzip").await.expect(200);
    assert_eq!(short.header("content-encoding"), None);
    let problem = server.anonymous().get("/v1/products?limit=0").header("accept-encoding", "gzip").await;
    problem.problem(400, "INVALID_QUERY");
}

async fn serves_many_concurrent_readers(shop: Shop) {
    let server = shop.start().await;
    let mut products = Vec::new();
    for number in 0..10 {
        products.push(server.product(&format!("product {number}")).stock(number).create().await);
    }
    let reads = (0..300).map(|number| {
        let (server, product) = (&server, &products[number % products.len()]);
        async move {
            let shown: Value = server.anonymous().get(product.path()).await.json(200);
            assert_eq!((&shown["product_id"], &shown["available"]), (&json!(product.id), &json!(number % 10)));
            let listed = server.anonymous().get(format!("/v1/products?limit={}", 1 + number % 3)).await.json(200);
            assert_eq!(listed["data"].as_array().map(Vec::len), Some(1 + number % 3));
        }
    });
    futures_util::future::join_all(reads).await;
}
