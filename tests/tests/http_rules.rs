//! HTTP rules of all routes: errors, methods, media types, bodies, languages, request ids.

use std::time::Duration;

use jangteo_testkit::{RawConnection, RawResponse, Server, Shop, eventually, scenarios, scenarios_on_sqlite, token};
use reqwest::Method;
use serde_json::{Value, json};

scenarios![rejects_control_characters_and_stores_other_text];

scenarios_on_sqlite![
    responds_to_unknown_routes_with_a_problem,
    rejects_bodies_that_are_too_large,
    accepts_only_json,
    responds_only_with_json,
    rejects_malformed_json,
    rejects_unknown_fields_and_duplicate_keys,
    rejects_wrong_types_and_overflowing_numbers,
    rejects_deep_nesting,
    rejects_invalid_utf8,
    rejects_bad_percent_encoding,
    survives_huge_headers_and_garbage,
    logs_no_error_of_a_caller,
    responds_in_korean_when_preferred,
    accepts_only_safe_request_ids,
    supports_head_and_options,
    matches_paths_exactly,
    reveals_no_internal_details,
    continues_a_trace,
    limits_the_rate_of_each_caller,
    identifies_clients_behind_a_proxy,
    applies_the_request_timeout_to_slow_bodies,
];

const TOP_UPS: &str = "/v1/users/kim/points/top-ups";

async fn responds_to_unknown_routes_with_a_problem(shop: Shop) {
    let server = shop.start().await;
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v2/products",
        "/v1/products/x/y",
        "/v1/orders/x/y/z",
        "/admin",
        "//v1/products",
    ] {
        for caller in [server.anonymous(), server.user("kim"), server.admin()] {
            let problem = caller.get(path).await.problem(404, "NOT_FOUND");
            assert_eq!(problem["retryable"], false);
        }
    }
    let problem = server.anonymous().get("/v1/nothing?a=b").await.problem(404, "NOT_FOUND");
    assert_eq!(problem["instance"], "/v1/nothing");
    assert_eq!(problem["status"], 404);
}

async fn rejects_bodies_that_are_too_large(shop: Shop) {
    let server = shop.start().await;
    let huge = format!(r#"{{"amount":"1{}"}}"#, " ".repeat(3 * 1024 * 1024));
    // The server may close the connection before the body is complete, so the response is read from a raw connection.
    for head in [format!("content-length: {}", huge.len()), "transfer-encoding: chunked".to_owned()] {
        let mut connection = RawConnection::open(&server).await;
        connection.send(raw_post(&head).as_bytes()).await;
        if head.contains("chunked") {
            for chunk in huge.as_bytes().chunks(64 * 1024) {
                connection.send(format!("{:x}\r\n", chunk.len()).as_bytes()).await;
                connection.send(chunk).await;
                connection.send(b"\r\n").await;
            }
            connection.send(b"0\r\n\r\n").await;
        }
        let response = connection.response().await.expect("a response");
        assert_eq!(response.status, 413, "{head}: {response:?}");
        response.check_problem();
        assert_eq!(code(&response), "BODY_TOO_LARGE");
    }
    assert_eq!(server.balance("kim").await, 0);
}

fn raw_post(headers: &str) -> String {
    let token = token("kim", None);
    format!(
        "POST {TOP_UPS} HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n{headers}\r\n\r\n"
    )
}

fn code(response: &RawResponse) -> String {
    let problem: Value = serde_json::from_slice(&response.body).expect("a problem document");
    problem["code"].as_str().expect("a code").to_owned()
}

async fn accepts_only_json(shop: Shop) {
    let server = shop.start().await;
    let call = || server.user("kim").post(TOP_UPS, json!({ "amount": "1" }));
    for media_type in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml", "nonsense", ""]
    {
        call().header("content-type", media_type).await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    call().without("content-type").await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    call().header("content-type", "application/json; charset=iso-8859-1").await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    assert_eq!(server.balance("kim").await, 0);
    for media_type in ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"] {
        call().header("content-type", media_type).await.expect(201);
    }
    assert_eq!(server.balance("kim").await, 3);
}

async fn responds_only_with_json(shop: Shop) {
    let server = shop.start().await;
    let read = |accept: &str| server.anonymous().get("/v1/products").header("accept", accept);
    for accept in
        ["text/html", "application/xml", "image/*", "application/json;q=0", "text/html, application/json;q=0.0"]
    {
        read(accept).await.problem(406, "NOT_ACCEPTABLE");
    }
    for accept in
        ["*/*", "application/*", "application/json", "text/html, */*;q=0.1", "text/html, application/json;q=0.5"]
    {
        read(accept).await.expect(200);
    }
    // A write with an unacceptable response type is not executed.
    let top_up = server.user("kim").post(TOP_UPS, json!({ "amount": "1" })).header("accept", "text/html").await;
    top_up.problem(406, "NOT_ACCEPTABLE");
    assert_eq!(server.balance("kim").await, 0);
}

async fn rejects_malformed_json(shop: Shop) {
    let server = shop.start().await;
    let bodies = [
        "{",
        "}",
        r#"{"amount":"1""#,
        r#"{"amount":"1"}}"#,
        r#"{"amount":"1"} {"amount":"1"}"#,
        r#"{"amount":"1",}"#,
        r#"{amount:"1"}"#,
        r#"{'amount':'1'}"#,
        r#"{"amount":1.}"#,
        r#"{"amount":01}"#,
        r#"{"amount":+1}"#,
        r#"{"amount":NaN}"#,
        r#"{"amount":"\x"}"#,
        r#"{"amount":"\ud800"}"#,
        "{\"amount\":\"1\n\"}",
        "{\"amount\":\"1\"}\0",
        "\u{feff}{\"amount\":\"1\"}",
        "// comment\n{\"amount\":\"1\"}",
        "amount=1",
    ];
    for body in bodies {
        let response = server.user("kim").post(TOP_UPS, json!(null)).raw_json(body).await;
        response.problem(400, "MALFORMED_JSON");
    }
    for body in ["", " "] {
        server.user("kim").post(TOP_UPS, json!(null)).raw_json(body).await.expect(400);
    }
    for body in ["null", "1", "\"text\"", "[]", "true"] {
        server.user("kim").post(TOP_UPS, json!(null)).raw_json(body).await.problem(400, "INVALID_BODY");
    }
    assert_eq!(server.balance("kim").await, 0);
}

async fn rejects_unknown_fields_and_duplicate_keys(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").stock(1).create().await;
    let line = tea.line(1).to_string();
    let cases = [
        (TOP_UPS, r#"{"amount":"1","currency":"KRW"}"#.to_owned(), "/currency"),
        (TOP_UPS, r#"{"amount":"1","Amount":"1"}"#.to_owned(), "/Amount"),
        (TOP_UPS, r#"{"amount":"1","a/b~c":1}"#.to_owned(), "/a~1b~0c"),
        (TOP_UPS, r#"{"amount":"1","amount":"2"}"#.to_owned(), "/amount"),
        (TOP_UPS, r#"{"amount":"1","amo\u0075nt":"2"}"#.to_owned(), "/amount"),
        ("/v1/orders", format!(r#"{{"lines":[{line}],"lines":[{line}]}}"#), "/lines"),
        (
            "/v1/orders",
            format!(r#"{{"lines":[{line},{{"product_id":"{0}","quantity":1,"quantity":2}}]}}"#, tea.id),
            "/lines/1/quantity",
        ),
    ];
    for (path, body, pointer) in cases {
        let response = server.user("kim").post(path, json!(null)).raw_json(body).await;
        response.problem(400, "INVALID_BODY");
        response.invalid_field(pointer);
    }
    assert_eq!((server.balance("kim").await, server.available(&tea).await), (0, 1));
}

async fn rejects_wrong_types_and_overflowing_numbers(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").stock(1).create().await;
    for number in ["1e999", "-1e999", "99999999999999999999999999999999", "1e400", "0.1e-400", "1E5"] {
        let body = format!(r#"{{"amount":{number}}}"#);
        server.user("kim").post(TOP_UPS, json!(null)).raw_json(body).await.expect(400);
        let body = format!(r#"{{"lines":[{{"product_id":"{}","quantity":{number}}}]}}"#, tea.id);
        server.user("kim").post("/v1/orders", json!(null)).raw_json(body).await.expect(400);
    }
    for body in [r#"{"lines":"x"}"#, r#"{"lines":{"0":1}}"#, r#"{"lines":null}"#, r#"{"lines":[null]}"#] {
        server.user("kim").post("/v1/orders", json!(null)).raw_json(body).await.problem(400, "INVALID_BODY");
    }
    assert_eq!((server.balance("kim").await, server.available(&tea).await), (0, 1));
}

async fn rejects_deep_nesting(shop: Shop) {
    let server = shop.start().await;
    for depth in [200, 30_000] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let body = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            server.user("kim").post(TOP_UPS, json!(null)).raw_json(body).await.expect(400);
        }
    }
}

async fn rejects_invalid_utf8(shop: Shop) {
    let server = shop.start().await;
    let bodies: [&[u8]; 4] =
        [b"{\"amount\":\"\xff\"}", b"\xc3\x28", b"{\"amount\":\"\xed\xa0\x80\"}", b"\xff\xfe{\0\"\0a\0"];
    for body in bodies {
        server.user("kim").post(TOP_UPS, json!(null)).raw_json(body).await.problem(400, "MALFORMED_JSON");
    }
}

/// Sends a malformed request target.
async fn raw_get(server: &Server, target: &[u8]) -> RawResponse {
    let mut connection = RawConnection::open(server).await;
    connection.send(b"GET ").await;
    connection.send(target).await;
    let head = format!(" HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {}\r\n\r\n", token("kim", None));
    connection.send(head.as_bytes()).await;
    connection.response().await.expect("a response")
}

async fn rejects_bad_percent_encoding(shop: Shop) {
    let server = shop.start().await;
    for target in [
        "/v1/products?sort=%",
        "/v1/products?sort=%zz",
        "/v1/products?sort=%ff",
        "/v1/products?q=%ff",
        "/v1/products?%ff=1",
    ] {
        let response = raw_get(&server, target.as_bytes()).await;
        assert_eq!(response.status, 400, "{target}: {response:?}");
        response.check_problem();
    }
    for target in ["/v1/users/%ff/points", "/v1/users/%/points", "/v1/users/kim%2flee/points", "/v1/users/%00/points"] {
        let response = raw_get(&server, target.as_bytes()).await;
        assert!(matches!(response.status, 400 | 404), "{target}: {response:?}");
        response.check_problem();
    }
    // Unnecessary percent-encoding does not change the path.
    let response = raw_get(&server, b"/v1/users/%6bim/points").await;
    assert_eq!(response.status, 200, "{response:?}");
}

async fn rejects_control_characters_and_stores_other_text(shop: Shop) {
    let server = shop.start().await;
    for name in ["nul\0", "escape\u{1b}", "delete\u{7f}", "\u{85}"] {
        let body = json!({ "name": name, "category": "y", "price": "1" });
        server.admin().post("/v1/admin/products", body).await.invalid_field("/name");
    }
    server.anonymous().get("/v1/products?q=%00").await.problem(400, "INVALID_QUERY");
    // Quotes, patterns and 4-byte characters are valid text.
    for name in ["'; DROP TABLE orders; --", "\\", "%_", "\"", "👩‍👩‍👧‍👦", "한글", "\u{10ffff}", "a\nb\tc"]
    {
        let body = json!({ "name": name, "category": "y", "price": "1" });
        let made = server.admin().post("/v1/admin/products", body).await.json(201);
        let path = format!("/v1/products/{}", made["product_id"].as_str().expect("an id"));
        assert_eq!(server.anonymous().get(path).await.json(200)["name"], name);
    }
}

async fn logs_no_error_of_a_caller(shop: Shop) {
    let server = shop.start().await;
    let tls_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let bad_chunk = b"POST /v1/orders HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    let bad_length = b"POST /v1/orders HTTP/1.1\r\nhost: shop\r\ncontent-length: x\r\n\r\n";
    let huge = [b"GET / HTTP/1.1\r\nhost: ".as_slice(), &[b'x'; 512 * 1024]].concat();
    let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let raw_text = "GET /상품 HTTP/1.1\r\nhost: shop\r\n\r\n".as_bytes();
    for bytes in [tls_hello.as_slice(), bad_chunk, bad_length, &huge, http2, raw_text] {
        let mut connection = RawConnection::open(&server).await;
        connection.send(bytes).await;
        connection.closed_within(Duration::from_secs(30)).await;
    }
    server.anonymous().get("/v1/products").header("x-request-id", "after-all").await.expect(200);
    eventually("a later line", async || server.log().contains("after-all").then_some(())).await;
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

async fn survives_huge_headers_and_garbage(shop: Shop) {
    let server = shop.start().await;
    let huge = format!("GET /v1/products HTTP/1.1\r\nhost: shop\r\nx-huge: {}\r\n\r\n", "x".repeat(512 * 1024));
    let many = format!("GET /v1/products HTTP/1.1\r\nhost: shop\r\n{}\r\n", "x-many: 1\r\n".repeat(5_000));
    let garbage = "\0\u{1}\u{2} nonsense\r\n\r\n".to_owned();
    let both_lengths =
        "POST /v1/orders HTTP/1.1\r\nhost: shop\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
            .to_owned();
    let two_lengths =
        "POST /v1/orders HTTP/1.1\r\nhost: shop\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx".to_owned();
    for bytes in [huge, many, garbage, both_lengths, two_lengths] {
        let mut connection = RawConnection::open(&server).await;
        connection.send(bytes.as_bytes()).await;
        connection.send(b"\r\n\r\n").await;
        if let Some(response) = connection.response().await {
            assert!((400..500).contains(&response.status), "{response:?}");
        }
    }
    server.anonymous().get("/v1/products").await.expect(200);
}

async fn responds_in_korean_when_preferred(shop: Shop) {
    let server = shop.start().await;
    let ask = async |languages: &str| server.anonymous().get("/v1/nothing").language(languages).await;
    let is_korean = |text: &Value| text.as_str().is_some_and(|text| text.chars().any(|c| ('가'..='힣').contains(&c)));
    for languages in ["ko", "ko-KR", "ko-KR,ko;q=0.9,en;q=0.8", "en;q=0.5, ko", "fr, ko;q=0.3", "KO"] {
        let response = ask(languages).await;
        let problem = response.problem(404, "NOT_FOUND");
        assert!(is_korean(&problem["title"]) && is_korean(&problem["detail"]), "{languages}: {response}");
        assert_eq!(response.header("content-language"), Some("ko"), "{languages}");
    }
    for languages in ["en", "en-US,en;q=0.9,ko;q=0.8", "ko;q=0", "ko;q=0.1, en;q=0.2", "de", "*", "", "nonsense;;;"] {
        let response = ask(languages).await;
        let problem = response.problem(404, "NOT_FOUND");
        assert!(!is_korean(&problem["title"]) && !is_korean(&problem["detail"]), "{languages}: {response}");
    }
}

async fn accepts_only_safe_request_ids(shop: Shop) {
    let server = shop.start().await;
    let longest = "x".repeat(64);
    for id in ["a", "req-1_2.3", "0198f1de-0000-7000-8000-000000000000", &longest] {
        for path in ["/v1/products", "/v1/nothing", "/livez"] {
            let response = server.anonymous().get(path).header("x-request-id", id).await;
            assert_eq!(response.header("x-request-id"), Some(id), "{response}");
        }
    }
    let too_long = "x".repeat(65);
    for id in ["", " ", "a b", "a\"b", "<script>", "a{b}", "id;x=1", &too_long] {
        let response = server.anonymous().get("/v1/products").header("x-request-id", id).await;
        let made = response.header("x-request-id").expect("a request id").to_owned();
        assert!(made != id && !made.is_empty(), "accepted {id:?}");
    }
    let made = |response: jangteo_testkit::Response| response.header("x-request-id").expect("a request id").to_owned();
    let [one, other] = [server.anonymous().get("/v1/products").await, server.anonymous().get("/v1/products").await];
    assert_ne!(made(one), made(other));
}

async fn supports_head_and_options(shop: Shop) {
    let server = shop.start().await;
    let tea = server.product("tea").create().await;
    for path in ["/v1/products", tea.path().as_str(), "/livez"] {
        let got = server.anonymous().get(path).await;
        let head = server.anonymous().call(Method::HEAD, path).await.expect(got.status);
        assert!(head.body.is_empty(), "{path}");
        assert_eq!(head.header("content-type"), got.header("content-type"), "{path}");
    }
    server.anonymous().call(Method::HEAD, "/v1/nothing").await.expect(404);
    for path in ["/v1/products", "/v1/orders"] {
        let response = server.user("kim").call(Method::OPTIONS, path).await;
        assert!(matches!(response.status, 200 | 204 | 405), "{response}");
        assert!(response.header("allow").is_some(), "{response}");
    }
}

async fn matches_paths_exactly(shop: Shop) {
    let server = shop.start().await;
    for path in ["/v1/products/", "/V1/products", "/v1/Products", "/v1/users/kim/points/", "/v1//products"] {
        server.user("kim").get(path).await.expect(404);
    }
}

async fn reveals_no_internal_details(shop: Shop) {
    let server = shop.start().await;
    // Every problem of every test is checked for SQL and library names. These inputs tempt parsers to echo them.
    let echoes =
        [r#"{"amount":"<echo-me>"}"#, r#"{"<echo-me>":1}"#, r#"{"amount":<echo-me>}"#, r#"{"amount":{"<echo-me>":1}}"#];
    for body in echoes {
        let response = server.user("kim").post(TOP_UPS, json!(null)).raw_json(body).await.expect(400);
        let mut problem: Value = serde_json::from_slice(&response.body).expect("JSON");
        // The pointer may contain the caller's own field name.
        problem["errors"].take();
        assert!(!problem.to_string().contains("echo-me"), "{response}");
    }
    for query in ["sort=echo-me", "limit=echo-me", "cursor=echo-me", "min_price=echo-me"] {
        let response = server.anonymous().get(format!("/v1/products?{query}")).await.expect(400);
        assert!(!String::from_utf8_lossy(&response.body).contains("echo-me"), "{response}");
    }
    let response = server.anonymous().get("/v1/products").await;
    for header in ["server", "x-powered-by"] {
        assert_eq!(response.header(header), None);
    }
}

async fn continues_a_trace(shop: Shop) {
    let server = shop.server().settings([("LOG_FORMAT", "json"), ("RUST_LOG", "info")]).start().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    server.anonymous().get("/v1/products").header("traceparent", &parent).await.expect(200);
    eventually("the log names the trace", async || server.log().contains(trace).then_some(())).await;
    // Malformed trace contexts are ignored.
    for parent in ["nonsense", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", ""] {
        server.anonymous().get("/v1/products").header("traceparent", parent).await.expect(200);
    }
}

async fn limits_the_rate_of_each_caller(shop: Shop) {
    let server = shop.server().setting("RATE_LIMIT", "5/h").start().await;
    let kim = server.user("kim");
    for _ in 0..5 {
        kim.get("/v1/users/kim/points").await.expect(200);
    }
    let rejected = kim.get("/v1/users/kim/points").await;
    assert_eq!(rejected.problem(429, "RATE_LIMITED")["retryable"], true);
    let seconds: u64 = rejected.header("retry-after").and_then(|text| text.parse().ok()).expect("seconds to wait");
    assert!((1..=3_600).contains(&seconds), "{seconds}");
    kim.post(TOP_UPS, json!({ "amount": "1" })).key("a").await.problem(429, "RATE_LIMITED");
    // Limits are per caller, and probes are exempt.
    server.user("lee").get("/v1/users/lee/points").await.expect(200);
    for _ in 0..20 {
        server.anonymous().get("/livez").await.expect(200);
    }
}

async fn identifies_clients_behind_a_proxy(shop: Shop) {
    let settings =
        [("TRUSTED_PROXIES", "127.0.0.0/8"), ("CLIENT_ADDRESS_HEADER", "X-Real-Ip"), ("RATE_LIMIT_ANONYMOUS", "5/h")];
    let server = shop.server().settings(settings).start().await;
    let read = |address: &str| server.anonymous().get("/v1/products").header("x-real-ip", address);
    for _ in 0..5 {
        read("203.0.113.9").await.expect(200);
    }
    read("203.0.113.9").await.problem(429, "RATE_LIMITED");
    read("203.0.113.8").await.expect(200);
    eventually("the log has the address", async || server.log().contains("203.0.113.9").then_some(())).await;
}

/// A client that sends its body slowly affects neither other requests nor the timeout.
async fn applies_the_request_timeout_to_slow_bodies(shop: Shop) {
    let server = shop.server().setting("REQUEST_TIMEOUT", "1s").start().await;
    let token = token("kim", None);
    let head = format!(
        "POST /v1/users/kim/points/top-ups HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 20\r\n\r\n{{\"amount\""
    );
    let mut slow = RawConnection::open(&server).await;
    slow.send(head.as_bytes()).await;
    server.top_up("lee", 500).await;
    let response = slow.response().await.expect("a response");
    response.check_problem();
    assert_eq!(response.status, 408, "{response:?}");
    assert_eq!((server.balance("kim").await, server.balance("lee").await), (0, 500));
}
