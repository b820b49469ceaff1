use std::collections::BTreeSet;

use actix_web::ResponseError as _;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use jangteo_domain::Currency;
use jangteo_domain::testing::{SequentialIds, samples};
use serde_json::{Value, json};

use super::*;

fn occurrence(language: Language) -> Occurrence {
    Occurrence { request_id: "r-1".to_owned(), instance: "/v1/orders".to_owned(), language }
}

async fn body(problem: &Problem, language: Language) -> Value {
    let response = problem.render(&occurrence(language));
    assert_eq!(response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes), Some(CONTENT_TYPE.as_bytes()));
    let bytes = actix_web::body::to_bytes(response.into_body()).await.expect("a body in memory");
    serde_json::from_slice(&bytes).expect("a JSON body")
}

#[actix_web::test]
async fn a_problem_has_every_standard_field() {
    let problem = Problem::new(ProblemCode::InvalidQuantity)
        .with_field_error("/lines/0/quantity", Reason::OutOfRange)
        .with("quantity_max", 1_000);
    assert_eq!(
        body(&problem, Language::English).await,
        json!({
            "type": "urn:jangteo:problem:INVALID_QUANTITY",
            "title": "Invalid quantity",
            "status": 400,
            "detail": "A quantity is less than 1 or above the shop's limit, or the request has too many lines.",
            "instance": "/v1/orders",
            "code": "INVALID_QUANTITY",
            "request_id": "r-1",
            "retryable": false,
            "errors": [{"pointer": "/lines/0/quantity", "reason": "OUT_OF_RANGE"}],
            "quantity_max": 1000,
        })
    );
}

#[actix_web::test]
async fn the_code_is_the_same_in_every_language() {
    let problem = Problem::new(ProblemCode::OutOfStock);
    let (english, korean) = (body(&problem, Language::English).await, body(&problem, Language::Korean).await);
    assert_eq!(english["code"], korean["code"]);
    assert_eq!(korean["title"], "재고 부족");
}

#[test]
fn every_code_has_one_row() {
    let codes: BTreeSet<_> = ProblemCode::ALL.iter().map(|code| code.kind().code).collect();
    assert_eq!(codes.len(), ProblemCode::ALL.len());
    for kind in ProblemCode::ALL.iter().map(|code| code.kind()) {
        let is_upper_snake = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
        assert!(kind.code.bytes().all(is_upper_snake), "{}", kind.code);
        assert!(kind.status.is_client_error() || kind.status.is_server_error(), "{}", kind.code);
        for language in [Language::English, Language::Korean] {
            assert!(!kind.title.in_language(language).is_empty() && !kind.detail.in_language(language).is_empty());
        }
    }
}

#[test]
fn every_problem_has_a_korean_text() {
    let is_hangul = |c| ('가'..='힣').contains(&c);
    for kind in ProblemCode::ALL.iter().map(|code| code.kind()) {
        for wording in [&kind.title, &kind.detail] {
            let (english, korean) = (wording.in_language(Language::English), wording.in_language(Language::Korean));
            assert!(korean.contains(is_hangul), "{}: {korean}", kind.code);
            assert!(!english.contains(is_hangul), "{}: {english}", kind.code);
            // Both languages refer to the same members of the problem.
            let members =
                |text: &str| -> BTreeSet<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
            assert_eq!(members(english), members(korean), "{}", kind.code);
        }
    }
}

#[test]
fn only_a_stored_rejection_is_409() {
    let won = Currency::from_code("KRW").expect("a currency");
    for rejection in samples::rejections(&SequentialIds::new()) {
        let status = problem_of_rejection(&rejection, won).status_code();
        let is_conflict = status == StatusCode::CONFLICT;
        assert_eq!(is_conflict, rejection.is_stored(), "{rejection:?}");
        let unstored = [StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST, StatusCode::PRECONDITION_FAILED];
        assert!(is_conflict || unstored.contains(&status), "{rejection:?}");
    }
}

#[actix_web::test]
async fn rejections_carry_what_a_caller_needs() {
    let won = Currency::from_code("KRW").expect("a currency");
    let mut bodies = Vec::new();
    for rejection in samples::rejections(&SequentialIds::new()) {
        let mut body = body(&problem_of_rejection(&rejection, won), Language::English).await;
        let fields = body.as_object_mut().expect("an object");
        for standard in ["type", "title", "status", "detail", "instance", "request_id", "retryable"] {
            fields.remove(standard);
        }
        bodies.push(body);
    }
    insta::assert_json_snapshot!(bodies);
}
