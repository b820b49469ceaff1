//! Numbers that lose their value, and text that is not what it looks like.

use serde_json::json;

use crate::member;
use crate::report::Report;
use crate::rights::Victim;
use crate::target::{Answer, Request, Target};

pub async fn attack(target: &Target, victim: &Victim, report: &mut Report) {
    numbers(target, victim, report).await;
    text(target, report).await;
}

async fn numbers(target: &Target, victim: &Victim, report: &mut Report) {
    let own = target.user(&victim.user);
    let digits = format!("\"1{}\"", "0".repeat(40));
    let amounts = [
        "1e3",
        "\"1e3\"",
        "1.0",
        "1.5",
        "\"1.5\"",
        "-0",
        "-0.0",
        "\"-0\"",
        "0",
        "\"0\"",
        "-1",
        "\"-1\"",
        "\"+1\"",
        "\"01\"",
        "\" 1\"",
        "\"1 \"",
        "\"1,000\"",
        "\"1_000\"",
        "\"0x10\"",
        "\"１２\"",
        "\"٣\"",
        "\"NaN\"",
        "\"Infinity\"",
        "\"\"",
        "\".5\"",
        "\"1.\"",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "1e400",
        "\"900000000000001\"",
        &digits,
        "true",
        "null",
        "[1]",
        "{\"amount\":1}",
        "\"1\\u0000\"",
        "NaN",
        "Infinity",
        "01",
        "+1",
        ".5",
        "0x10",
    ];
    for amount in amounts {
        let request = Request::post(format!("{}/top-ups", victim.points()), member("amount", amount)).bearer(&own);
        report.send(target, format!("amount {amount}"), "400", request).await;
    }
    // Beyond 2^53 a float would round it, and the limit of one top-up rejects either.
    let request = Request::post(format!("{}/top-ups", victim.points()), member("amount", "9007199254740993"));
    report.send(target, "amount 9007199254740993", "400 or 409", request.bearer(&own)).await;
    for quantity in
        ["0", "-1", "1.5", "1.0", "1e0", "2147483648", "4294967297", "9223372036854775808", "\"1\"", "null", "true"]
    {
        let body = format!(r#"{{"lines":[{{"product_id":"{}","quantity":{quantity}}}]}}"#, victim.product);
        report
            .send(target, format!("quantity {quantity}"), "400", Request::post("/v1/orders", body).bearer(&own))
            .await;
    }
    let line = json!({ "product_id": victim.product, "quantity": 1 }).to_string();
    let lines = format!(r#"{{"lines":[{}]}}"#, vec![line; 1_000].join(","));
    report.send(target, "1,000 lines", "400", Request::post("/v1/orders", lines).bearer(&own)).await;
    for limit in ["0", "-1", "1e3", "1.5", "0x10", "1%00", "١", "NaN"] {
        report
            .send(
                target,
                format!("limit={limit}"),
                "400",
                Request::get(format!("/v1/products?limit={}", encoded(limit))),
            )
            .await;
    }
    for limit in ["101", "99999999999999999999999999"] {
        let answer = target.send(&Request::get(format!("/v1/products?limit={limit}"))).await;
        let rows = answer.document()["data"].as_array().map_or(usize::MAX, Vec::len);
        report.add(format!("limit={limit} is 100 rows at most"), "yes", &Answer::of(rows <= 100));
    }
    for days in ["0", "-1", "31", "99999999999"] {
        report
            .send(target, format!("days={days}"), "400", Request::get(format!("/v1/products/popular?days={days}")))
            .await;
    }
}

async fn text(target: &Target, report: &mut Report) {
    let admin = target.admin();
    let product = |name: &str| format!(r#"{{"name":{name},"category":"attack","price":"1","status":"hidden"}}"#);
    let rejected = [
        ("NUL", r#""a\u0000b""#),
        ("an escape sequence of terminals", r#""a\u001b[2Jb""#),
        ("C1 control", r#""a\u0085b""#),
        ("half of a surrogate pair", r#""\ud800""#),
        ("the other half", r#""\udc00\ud800""#),
        ("blank", r#"" \u3000\u00a0 ""#),
        ("empty", r#""""#),
        ("201 letters", &json!("가".repeat(201)).to_string()),
        ("an unknown escape", r#""\x41""#),
        ("a raw line feed", "\"a\nb\""),
    ];
    for (attack, name) in rejected {
        report
            .send(
                target,
                format!("name: {attack}"),
                "400",
                Request::post("/v1/admin/products", product(name)).bearer(&admin),
            )
            .await;
    }
    for (attack, bytes) in [
        ("a lone continuation byte", &b"\"a\x80b\""[..]),
        ("an overlong slash", b"\"\xc0\xaf\""),
        ("CESU-8", b"\"\xed\xa0\x80\xed\xb0\x80\""),
    ] {
        let body = [&b"{\"category\":\"attack\",\"price\":\"1\",\"name\":"[..], bytes, b"}"].concat();
        report
            .send(target, format!("name: {attack}"), "400", Request::post("/v1/admin/products", body).bearer(&admin))
            .await;
    }
    // Stored and returned as it was sent, in composed form: nothing is interpreted.
    let accepted = [
        ("letters of 4 bytes", "🛒𝒳", "🛒𝒳"),
        ("right to left override", "a\u{202e}gnp.exe", "a\u{202e}gnp.exe"),
        ("zero width joiner", "👩\u{200d}💻", "👩\u{200d}💻"),
        ("a noncharacter", "a\u{ffff}", "a\u{ffff}"),
        ("decomposed Hangul", "\u{1112}\u{1161}\u{11ab}", "한"),
        ("markup", "<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("a template", "{{7*7}}${7*7}#{7*7}%s%n", "{{7*7}}${7*7}#{7*7}%s%n"),
        ("a formula", "=HYPERLINK(\"http://evil.example\")", "=HYPERLINK(\"http://evil.example\")"),
        ("SQL", "'); DROP TABLE products; --", "'); DROP TABLE products; --"),
        ("backslashes and quotes", "\\'\\\"\\\\", "\\'\\\"\\\\"),
        ("wildcards", "100%_[a-z]*?", "100%_[a-z]*?"),
    ];
    for (attack, name, stored) in accepted {
        let request = Request::post("/v1/admin/products", product(&json!(name).to_string())).bearer(&admin);
        let document = target.send(&request).await.document();
        let read = Request::get(format!("/v1/products/{}", document["product_id"].as_str().unwrap_or_default()));
        let read = target.send(&read.bearer(&admin)).await.document();
        report.add(format!("name: {attack}, stored as sent"), "yes", &Answer::of(read["name"] == stored));
    }
}

/// Percent-encodes bytes that are not ASCII.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii() { char::from(byte).to_string() } else { format!("%{byte:02x}") })
        .collect()
}
