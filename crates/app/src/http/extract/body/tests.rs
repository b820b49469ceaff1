use std::collections::BTreeMap;

use rstest::rstest;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only deserialized")]
struct Sample {
    name: String,
    count: Option<i64>,
    kind: Option<Kind>,
    lines: Option<Vec<Strict<Line>>>,
    options: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Plain,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only deserialized")]
struct Line {
    quantity: u8,
}

fn problem(json: impl AsRef<[u8]>) -> Problem {
    parse::<Sample>(json.as_ref()).map(|body| body.value).expect_err("an invalid body")
}

#[rstest]
#[case("{}", "/name", Reason::Missing)]
#[case(r#"{"name":"a","lines":[{}]}"#, "/lines/0/quantity", Reason::Missing)]
#[case(r#"{"name":"a","title":1}"#, "/title", Reason::UnknownField)]
#[case(r#"{"name":"a","a/b~c":1}"#, "/a~1b~0c", Reason::UnknownField)]
#[case(r#"{"name":"a","lines":[{"quantity":1,"x":1}]}"#, "/lines/0/x", Reason::UnknownField)]
#[case(r#"{"name":"a","name":"b"}"#, "/name", Reason::DuplicateKey)]
#[case(r#"{"name":"a","options":{"x":"1","x":"2"}}"#, "/options/x", Reason::DuplicateKey)]
#[case(
    r#"{"name":"a","lines":[{"quantity":1},{"quantity":1,"quantity":2}]}"#,
    "/lines/1/quantity",
    Reason::DuplicateKey
)]
#[case(r#"{"name":"a","\u006eame":"b"}"#, "/name", Reason::DuplicateKey)]
#[case(r#"{"name":1}"#, "/name", Reason::WrongType)]
#[case(r#"{"name":null}"#, "/name", Reason::WrongType)]
#[case(r#"{"name":"a","count":"1"}"#, "/count", Reason::WrongType)]
#[case(r#"{"name":"a","count":1.5}"#, "/count", Reason::WrongType)]
#[case(r#"{"name":"a","count":18446744073709551615}"#, "/count", Reason::Invalid)]
#[case(r#"{"name":"a","lines":[{"quantity":300}]}"#, "/lines/0/quantity", Reason::Invalid)]
#[case(r#"{"name":"a","kind":"odd"}"#, "/kind", Reason::Invalid)]
#[case(r#"{"name":"a","lines":[[1]]}"#, "/lines/0", Reason::WrongType)]
#[case(r#"["a"]"#, "", Reason::WrongType)]
#[case("null", "", Reason::WrongType)]
fn locates_the_field_and_the_reason(#[case] json: &str, #[case] pointer: &str, #[case] reason: Reason) {
    let expected = Problem::of_fields(vec![FieldError { pointer: pointer.to_owned(), reason }]);
    assert_eq!(problem(json), expected);
    assert_eq!(expected.code(), ProblemCode::InvalidBody);
}

#[rstest]
#[case(b"{".to_vec())]
#[case(b"{} {}".to_vec())]
#[case(b"{}x".to_vec())]
#[case(b"{'name':'a'}".to_vec())]
#[case(b"{\"name\":\"\xff\"}".to_vec())]
#[case(b"\xef\xbb\xbf{}".to_vec())]
#[case(br#"{"name":"\ud800"}"#.to_vec())]
#[case(br#"{"count":1e999}"#.to_vec())]
#[case("[".repeat(100_000).into_bytes())]
#[case([b"{\"name\":".repeat(200), b"1".to_vec(), b"}".repeat(200)].concat())]
fn rejects_malformed_json(#[case] json: Vec<u8>) {
    assert_eq!(problem(json).code(), ProblemCode::MalformedJson);
}

#[test]
fn no_body_is_an_empty_object() {
    assert!(parse::<Nothing>(b"").is_ok());
    assert_eq!(parse::<Nothing>(b"").map(|body| body.canonical).ok(), Some(b"{}".to_vec()));
}

#[test]
fn the_canonical_form_ignores_white_space_and_order() {
    let one = parse::<Sample>(br#"{"name":"a","count":1,"options":{"x":"1","y":"2"}}"#).expect("a sample");
    let other = parse::<Sample>(b" { \"options\" : {\"y\":\"2\",\"x\":\"1\"},\n\"count\":1,\"name\":\"\\u0061\" } ");
    assert_eq!(one.canonical, other.expect("the same sample").canonical);
    let different = parse::<Sample>(br#"{"name":"a","count":2}"#).expect("another sample");
    assert_ne!(one.canonical, different.canonical);
}

#[test]
fn a_long_key_is_truncated() {
    let json = format!(r#"{{"name":"a","{}":1}}"#, "k".repeat(10_000));
    let expected = FieldError { pointer: format!("/{}", "k".repeat(ECHO_LENGTH_MAX)), reason: Reason::UnknownField };
    assert_eq!(problem(json), Problem::of_fields(vec![expected]));
}

#[rstest]
#[case("application/json", true)]
#[case("Application/JSON; charset=UTF-8", true)]
#[case("application/json;charset=\"utf-8\"", true)]
#[case("application/json; charset=euc-kr", false)]
#[case("text/json", false)]
#[case("application/jsonp", false)]
#[case("application/x-www-form-urlencoded", false)]
#[case("", false)]
fn accepts_json_in_utf_8_only(#[case] content_type: &str, #[case] expected: bool) {
    assert_eq!(is_json(content_type), expected);
}
