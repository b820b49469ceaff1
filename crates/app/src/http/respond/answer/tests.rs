use actix_web::body::to_bytes;
use actix_web::http::header::HeaderMap;
use actix_web::web::Bytes;
use jangteo_domain::testing::{SequentialIds, samples};
use rstest::rstest;

use super::*;
use crate::http::respond::problem::Language;

fn won() -> Currency {
    Currency::from_code("KRW").expect("a currency")
}

fn renderer(language: Language) -> Renderer {
    let occurrence = Occurrence { request_id: "r-1".to_owned(), instance: "/v1/orders".to_owned(), language };
    Renderer { occurrence, currency: won(), success: crate::http::success }
}

/// The response as a client receives it, without the headers of every response.
async fn received(response: HttpResponse) -> (StatusCode, Vec<(String, String)>, Bytes) {
    let (status, headers) = (response.status(), described(response.headers()));
    (status, headers, to_bytes(response.into_body()).await.expect("a body in memory"))
}

fn described(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
    let mut headers: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    headers.sort();
    headers
}

fn answer(head: &str) -> RenderedAnswer {
    RenderedAnswer { head: head.to_owned(), body: "{}".to_owned() }
}

#[rstest]
#[case(Language::English)]
#[case(Language::Korean)]
#[actix_web::test]
async fn a_rejection_renders_as_the_middleware_renders_its_problem(#[case] language: Language) {
    let renderer = renderer(language);
    for rejection in samples::rejections(&SequentialIds::new()) {
        let problem = problem_of_rejection(&rejection, won());
        let answer = renderer.render(&Err(rejection));
        assert!(answer.head.len() <= RenderedAnswer::HEAD_LENGTH_MAX, "{answer:?}");
        let sent = respond(answer).expect("a readable head");
        assert_eq!(sent.outcome, problem.code().kind().code);
        assert_eq!(received(sent.response).await, received(problem.render(&renderer.occurrence)).await);
    }
}

#[test]
fn the_head_of_a_problem_names_its_language_and_code() {
    let rejection = jangteo_domain::coupon::CouponRejection::SoldOut.into();
    assert_eq!(renderer(Language::Korean).render(&Err(rejection)).head, "1;409;;ko;COUPON_SOLD_OUT");
}

#[rstest]
#[case("1;201;/v1/orders/7", "accepted", &[("content-type", "application/json"), ("location", "/v1/orders/7")])]
#[case("1;201;/v1/users/a|b|", "accepted", &[("content-type", "application/json"), ("location", "/v1/users/a%7Cb%7C")])]
#[case("1;200;", "accepted", &[("content-type", "application/json")])]
#[case("1;204;", "accepted", &[])]
#[case("1;409;;ko;OUT_OF_STOCK", "OUT_OF_STOCK", &[("content-language", "ko"), ("content-type", "application/problem+json")])]
#[case("1;409;;en", "other", &[("content-language", "en"), ("content-type", "application/problem+json")])]
// Later releases may append fields.
#[case("1;201;/v1/orders/7;;;more", "accepted", &[("content-type", "application/json"), ("location", "/v1/orders/7")])]
#[case("1;410;;ja;GONE;more", "other", &[("content-language", "ja"), ("content-type", "application/problem+json")])]
#[test]
fn a_head_is_read_back(#[case] head: &str, #[case] outcome: &str, #[case] headers: &[(&str, &str)]) {
    let sent = respond(answer(head)).expect("a readable head");
    assert_eq!(sent.response.status().as_str(), head.split(SEPARATOR).nth(1).expect("a status"));
    assert_eq!(sent.outcome, outcome);
    let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    assert_eq!(described(sent.response.headers()), headers.iter().map(owned).collect::<Vec<_>>());
}

#[rstest]
#[case("")]
#[case("1")]
#[case("1;201")]
#[case("2;201;/v1/orders/7")]
#[case("01;201;/v1/orders/7")]
#[case("1;;/v1/orders/7")]
#[case("1;20;/v1/orders/7")]
#[case("1;2010;/v1/orders/7")]
#[case("1;abc;/v1/orders/7")]
#[case("1;101;")]
#[case("1;302;/v1/orders/7")]
#[case("1;409;")]
#[case("1;503;;en;OVERLOADED")]
#[case("1;201;;en;OUT_OF_STOCK")]
#[case("1;201;/v1/orders/7\r\nSet-Cookie: a=b")]
#[case("1;201;/주문/7")]
#[case("1;409;;e\u{7f}n;OUT_OF_STOCK")]
#[test]
fn a_head_that_no_release_wrote_is_an_error(#[case] head: &str) {
    assert!(respond(answer(head)).is_err());
    assert!(replay(answer(head)).is_err());
}

#[rstest]
#[case("1;201;/v1/orders/7")]
#[case("1;409;;ko;OUT_OF_STOCK")]
#[actix_web::test]
async fn a_replay_differs_by_one_header(#[case] head: &str) {
    let first = respond(answer(head)).expect("a readable head");
    let mut second = replay(answer(head)).expect("a readable head");
    assert_eq!(second.outcome, first.outcome);
    assert!(second.response.headers_mut().remove(REPLAYED).next().is_some_and(|value| value == "true"));
    assert_eq!(received(second.response).await, received(first.response).await);
}
