//! SQL in every parameter, and bodies that are not the JSON of the operation.

use crate::member;
use crate::report::Report;
use crate::rights::Victim;
use crate::target::{Request, Target};

/// Percent-encoded.
const FRAGMENTS: [&str; 8] = [
    "%27",
    "%27%20OR%20%271%27=%271",
    "%22%20OR%201=1%20--%20",
    "1;%20DROP%20TABLE%20products",
    "%5C%27%20UNION%20SELECT%20secret%20FROM%20cursor_keys%20--",
    "%25%27%20AND%20SLEEP(5)%20AND%20%27",
    "%EF%BC%87%20OR%201=1",
    "0x27%7C%7C(SELECT%201)",
];

pub async fn attack(target: &Target, victim: &Victim, report: &mut Report) {
    sql(target, victim, report).await;
    bodies(target, victim, report).await;
}

async fn sql(target: &Target, victim: &Victim, report: &mut Report) {
    let (own, admin) = (target.user(&victim.user), target.admin());
    let parameters = [
        // Text to compare: any is valid.
        ("200", "/v1/products?q="),
        ("200", "/v1/products?category="),
        ("200", "/v1/products?option=color:"),
        ("400", "/v1/products?option="),
        ("400", "/v1/products?min_price="),
        ("400", "/v1/products?max_price="),
        ("400", "/v1/products?in_stock="),
        ("400", "/v1/products?sort="),
        ("400", "/v1/products?sort=price,"),
        ("400", "/v1/products?limit="),
        ("400", "/v1/products?cursor="),
        ("400", "/v1/products?offset="),
        ("400", "/v1/products/popular?days="),
        ("400", "/v1/coupon-campaigns?limit="),
        ("400", "/v1/admin/orders?status="),
        ("400", "/v1/admin/orders?user_id="),
        ("400", "/v1/admin/orders?from="),
        ("400", "/v1/admin/orders?to="),
        ("400", "/v1/admin/events?status="),
        ("400", "/v1/admin/audit-log?actor="),
        ("400", "/v1/admin/audit-log?subject_id="),
        ("404", "/v1/products/"),
        ("404", "/v1/coupon-campaigns/"),
        ("404", "/v1/orders/"),
        ("404", "/v1/users/"),
    ];
    for (expected, parameter) in parameters {
        for fragment in FRAGMENTS {
            let path = if parameter == "/v1/users/" {
                format!("{parameter}{fragment}/points")
            } else {
                format!("{parameter}{fragment}")
            };
            report.send(target, format!("SQL: {path}"), expected, Request::get(path.clone()).bearer(&admin)).await;
        }
    }
    for fragment in ["' OR '1'='1", "\\'; DROP TABLE orders; --"] {
        let key = Request::post(format!("/v1/orders/{}/payment", victim.product), "{}").bearer(&own);
        report
            .send(target, format!("SQL: Idempotency-Key: {fragment}"), "404", key.header("idempotency-key", fragment))
            .await;
        let id = Request::get(victim.points()).bearer(&own).header("x-request-id", fragment);
        report.send(target, format!("SQL: X-Request-Id: {fragment}"), "200", id).await;
    }
}

async fn bodies(target: &Target, victim: &Victim, report: &mut Report) {
    let own = target.user(&victim.user);
    let top_up = |body: Vec<u8>| Request::post(format!("{}/top-ups", victim.points()), body).bearer(&own);
    let duplicate = r#"{"amount":"1","amount":"1000"}"#;
    let escaped = r#"{"amount":"1","\u0061mount":"1000"}"#;
    let nested = |depth: usize| member("amount", &format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    let malformed: [(&str, String); 18] = [
        ("100,000 open brackets", "[".repeat(100_000)),
        ("100,000 open braces", "{\"a\":".repeat(40_000)),
        ("an array 10,000 deep", nested(10_000)),
        ("an array 100 deep", nested(100)),
        ("a duplicate key", duplicate.to_owned()),
        ("a duplicate key, escaped", escaped.to_owned()),
        ("no body", String::new()),
        ("null", "null".to_owned()),
        ("an array", r#"["1"]"#.to_owned()),
        ("an array of objects", r#"[{"amount":"1"}]"#.to_owned()),
        ("a string", r#""amount""#.to_owned()),
        ("two documents", r#"{"amount":"1"}{"amount":"2"}"#.to_owned()),
        ("a byte order mark", "\u{feff}{\"amount\":\"1\"}".to_owned()),
        ("a comment", r#"{"amount":"1"/* */}"#.to_owned()),
        ("a trailing comma", r#"{"amount":"1",}"#.to_owned()),
        ("single quotes", "{'amount':'1'}".to_owned()),
        ("a form", "amount=1".to_owned()),
        ("XML with an entity", "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>".to_owned()),
    ];
    for (attack, body) in malformed {
        report.send(target, format!("body: {attack}"), "400", top_up(body.into_bytes())).await;
    }
    // 100,000 keys are no hash collision attack, as maps are sorted.
    let keys: Vec<String> = (0..20_000).map(|number| format!("\"k{number}\":0")).collect();
    report.send(target, "body: 20,000 members", "400", top_up(format!("{{{}}}", keys.join(",")).into_bytes())).await;
    report.send(target, "body: UTF-16", "400", top_up(b"\xff\xfe{\0}\0".to_vec())).await;
    report.send(target, "body: above 256 KiB", "413", top_up(vec![b' '; 300_000])).await;
    let announced = Request::post("/v1/orders", "").header("content-length", "99999999999").bearer(&own);
    report.send(target, "body: 100 GB announced, none sent", "400 or 413", announced).await;

    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "text/json",
        "application/json; charset=utf-16",
        "application/json; charset=iso-8859-1",
        "application/jsonp",
        "application/problem+json",
        "*/*",
        "json",
    ] {
        let request = Request::new("POST", format!("{}/top-ups", victim.points())).header("content-type", content_type);
        report
            .send(
                target,
                format!("Content-Type: {content_type}"),
                "415",
                request.bearer(&own).body(r#"{"amount":"1"}"#),
            )
            .await;
    }
    let untyped = Request::new("POST", format!("{}/top-ups", victim.points())).body(r#"{"amount":"1"}"#).bearer(&own);
    report.send(target, "no Content-Type", "415", untyped).await;
    // A bomb would be some kilobytes that become gigabytes.
    for encoding in ["gzip", "deflate", "br", "zstd", "gzip, gzip"] {
        let request = top_up(b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec()).header("content-encoding", encoding);
        report.send(target, format!("Content-Encoding: {encoding}"), "415", request).await;
    }
}
