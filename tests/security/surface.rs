//! Methods, hosts, origins, paths and headers.

use crate::report::Report;
use crate::target::{Answer, Request, Target};

pub async fn attack(target: &Target, report: &mut Report) {
    methods(target, report).await;
    hosts_and_origins(target, report).await;
    paths(target, report).await;
    headers(target, report).await;
}

async fn methods(target: &Target, report: &mut Report) {
    let products = "/v1/products";
    for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "PROPFIND", "get", "A".repeat(1_000).as_str()]
    {
        let attack = format!("method {}", method.get(..12).unwrap_or(method));
        report.send(target, attack, "405", Request::new(method, products)).await;
    }
    report.send(target, "method CONNECT", "400 or 404 or 405", Request::new("CONNECT", "shop:443")).await;
    report.send(target, "OPTIONS *", "400 or 404 or 405", Request::new("OPTIONS", "*")).await;
    for name in ["x-http-method-override", "x-method-override", "x-http-method"] {
        let request = Request::get(products).header(name, "DELETE");
        report.send(target, format!("{name}: DELETE"), "200", request).await;
    }
    report.send(target, "?_method=DELETE", "400", Request::get(format!("{products}?_method=DELETE"))).await;
    let upgrade = Request::get(products).header("upgrade", "websocket, h2c").header("sec-websocket-key", "AAAA");
    report.send(target, "an upgrade", "200", upgrade).await;
}

async fn hosts_and_origins(target: &Target, report: &mut Report) {
    let evil = "evil.example";
    let is_absent = |answer: &Answer, header: &str| Answer::of(answer.header(header).is_none());
    for name in ["host", "x-forwarded-host", "forwarded", "x-original-url", "x-rewrite-url"] {
        let answer = target.send(&Request::get("/docs").header(name, evil)).await;
        let location = Answer::Fact(answer.header("location").unwrap_or_default().to_owned());
        report.add(format!("{name}: {evil} in a redirect"), "/docs/", &location);
    }
    let rewritten = Request::get("/v1/products").header("x-original-url", "/v1/admin/orders");
    report.send(target, "X-Original-URL is no path", "200", rewritten).await;
    let absolute = Request::get(format!("http://{evil}/v1/admin/orders"));
    report.send(target, "an absolute address", "401", absolute).await;
    for path in [
        "//evil.example",
        "//evil.example/%2e%2e",
        "/\\evil.example",
        "/docs/..//evil.example",
        "/docs//evil.example",
        "/%09/evil.example",
    ] {
        let request = Request::get(path).header("accept", "text/html");
        let answer = target.send(&request).await;
        report.add(format!("open redirect by {path}"), "yes", &is_absent(&answer, "location"));
    }
    for origin in ["https://evil.example", "null", "http://localhost.evil.example"] {
        let preflight = Request::new("OPTIONS", "/v1/orders").header("origin", origin);
        let preflight = preflight.header("access-control-request-method", "POST");
        let answer = target.send(&preflight).await;
        report.add(format!("preflight of {origin}"), "yes", &is_absent(&answer, "access-control-allow-origin"));
        let answer = target.send(&Request::get("/v1/products").header("origin", origin)).await;
        report.add(format!("request of {origin}"), "yes", &is_absent(&answer, "access-control-allow-origin"));
    }
}

async fn paths(target: &Target, report: &mut Report) {
    let traversals = [
        "/docs/../../../../etc/passwd",
        "/docs/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/docs/..%2f..%2f..%2fetc%2fpasswd",
        "/docs/..%5c..%5cetc%5cpasswd",
        "/docs/%252e%252e%252fetc%252fpasswd",
        "/docs/....//....//etc/passwd",
        "/docs//etc/passwd",
        "/docs/%00",
        "/docs/index.html%00.js",
        "/docs/%c0%ae%c0%ae/etc/passwd",
        "/docs/file:///etc/passwd",
        "/.git/config",
        "/.env",
        "/jangteo.db",
        "/server-status",
        "/actuator/env",
        "/debug/pprof/",
        "/v1/products/..%2fadmin%2forders",
        "/v1/products/%2e%2e%2fadmin%2forders",
        "/V1/products",
        "/v1/products/",
        "/v1/products.json",
    ];
    for path in traversals {
        report.send(target, format!("path {path}"), "404", Request::get(path)).await;
    }
    report.send(target, "path of 15,000 letters", "404", Request::get(format!("/{}", "a".repeat(15_000)))).await;
    report.send(target, "path of 70,000 letters", "400", Request::get(format!("/{}", "a".repeat(70_000)))).await;
    report.send(target, "a repeated parameter", "400", Request::get("/v1/products?limit=1&limit=2")).await;
    report.send(target, "path with half an escape", "404", Request::get("/v1/products/%4")).await;
    report
        .send(target, "query of 10,000 parameters", "400", Request::get(format!("/v1/products?{}", "a&".repeat(7_000))))
        .await;
    report
        .send(
            target,
            "query with 1,000 options",
            "400",
            Request::get(format!("/v1/products?{}", "option=a:b&".repeat(1_000))),
        )
        .await;
}

async fn headers(target: &Target, report: &mut Report) {
    let products = || Request::get("/v1/products?limit=1");
    for (attack, expected, length) in [("15 KB", "200", 15_000), ("118 KB", "431", 118_000)] {
        let languages = "ko-KR;q=0.1,".repeat(length / 12);
        report
            .send(
                target,
                format!("Accept-Language of {attack}"),
                expected,
                products().header("accept-language", languages),
            )
            .await;
        let expected = if length < 16_384 { "200 or 406" } else { "431" };
        let types = "a/b;q=0.1,".repeat(length / 10);
        report.send(target, format!("Accept of {attack}"), expected, products().header("accept", types)).await;
    }
    let many = (0..2_000).fold(products(), |request, number| request.header(&format!("x-{number}"), ""));
    report.send(target, "2,000 headers", "400 or 431", many).await;
    let injected = Request::get("/docs%0d%0ax-injected:%20yes").header("x-request-id", "a%0d%0ax-injected: yes");
    let answer = target.send(&injected).await;
    report.add("a header by %0d%0a", "yes", &Answer::of(answer.header("x-injected").is_none()));
    let long = target.send(&products().header("x-request-id", "i".repeat(2_000))).await;
    report.add(
        "X-Request-Id of 2 KB is replaced",
        "yes",
        &Answer::of(long.header("x-request-id").is_some_and(|id| id.len() <= 64)),
    );
    let trace = products().header("traceparent", "00-".repeat(500)).header("tracestate", "a=b,".repeat(1_000));
    report.send(target, "a huge trace", "200", trace).await;
    let range = products().header("range", "bytes=0-1,".repeat(500));
    report.send(target, "many ranges", "200", range).await;
    let matched = products().header("if-none-match", "\"x\",".repeat(2_000));
    report.send(target, "many entity tags", "200", matched).await;
    let own = target.send(&Request::get("/v1/users/attacker/points").bearer(&target.user("attacker"))).await;
    report.add(
        "a user's response is not cached",
        "yes",
        &Answer::of(own.header("cache-control").is_some_and(|policy| policy.contains("no-store"))),
    );
    report.add(
        "no name of the software",
        "yes",
        &Answer::of(own.header("server").is_none() && own.header("x-powered-by").is_none()),
    );
    report.add(
        "no type is guessed",
        "nosniff",
        &Answer::Fact(own.header("x-content-type-options").unwrap_or_default().to_owned()),
    );
    report.add("no frame", "deny", &Answer::Fact(own.header("x-frame-options").unwrap_or_default().to_owned()));
}

/// Headers with other addresses do not lift the limit of anonymous requests. The server allows 20 a minute.
pub async fn spoof_addresses(target: &Target, report: &mut Report) {
    for name in ["x-forwarded-for", "forwarded", "x-real-ip", "true-client-ip", "cf-connecting-ip", "x-client-ip"] {
        let mut is_limited = false;
        for number in 0..25 {
            let value =
                if name == "forwarded" { format!("for=203.0.113.{number}") } else { format!("203.0.113.{number}") };
            let request = Request::get("/v1/products?limit=1").header(name, value);
            is_limited |= target.send_raw(&request.bytes()).await.to_string() == "429";
        }
        report.add(format!("{name} of others does not lift the rate limit"), "yes", &Answer::of(is_limited));
    }
    let forged = Request::get("/v1/users/kim/points").bearer("forged");
    let mut answers = Vec::new();
    for _ in 0..25 {
        answers.push(target.send_raw(&forged.bytes()).await.to_string());
    }
    report.add("guesses of tokens are limited", "yes", &Answer::of(answers.iter().any(|answer| answer == "429")));
    let valid = Request::get("/v1/users/kim/points").bearer(&target.user("kim"));
    report.add("an honest user beside them is not", "200", &target.send_raw(&valid.bytes()).await);
}
