//! Replays of stored answers.

use jangteo_domain::idempotency::{RenderedAnswer, StoredAnswer};
use jangteo_domain::transaction::{Appended, Changes, LockSet};
use jangteo_domain_testing::MemoryStore;

use super::client::{Answer, by};
use super::*;

/// A top-up with a key.
fn top_up(amount: &str) -> TestRequest {
    let request = kim(post("/v1/users/kim/points/top-ups", json!({"amount": amount})));
    request.insert_header(("Idempotency-Key", "again"))
}

/// Stores the answer as that of an earlier request.
async fn store_answer(store: &MemoryStore, amount: &str, answer: RenderedAnswer) {
    let elsewhere = Client::new().await;
    elsewhere.call(top_up(amount)).await;
    let [StoredAnswer { request, at, .. }] = &elsewhere.store.answered()[..] else { panic!("not one stored answer") };
    let answers = vec![StoredAnswer { request: *request, answer, at: *at }];
    let begun = store.factory().begin(batch_id(), &FirstKeys::default()).await;
    let (mut unit_of_work, _) = begun.expect("a store in memory");
    unit_of_work.lock(&LockSet::default()).await.expect("nothing to lock");
    let changes = Changes { appended: Appended { answers, ..Appended::default() }, ..Changes::default() };
    unit_of_work.commit(changes).await.expect("a new key");
}

/// The headers of the answer, without those of every response.
fn headers_of_answer(answer: &Answer) -> Vec<(&str, &str)> {
    let names = ["content-type", "content-language", "location", "retry-after", "idempotent-replayed"];
    names.into_iter().map(|name| (name, answer.header(name))).filter(|(_, value)| !value.is_empty()).collect()
}

#[rstest]
#[case(
    "5",
    include_str!("stored_answers/top-up.txt"),
    StatusCode::CREATED,
    &[("content-type", "application/json"), ("location", "/v1/users/kim/points/entries")],
)]
#[case(
    "1000001",
    include_str!("stored_answers/top-up-rejected.txt"),
    StatusCode::CONFLICT,
    &[("content-type", "application/problem+json"), ("content-language", "ko")],
)]
#[actix_web::test]
async fn replays_answers_of_past_releases_byte_for_byte(
    #[case] amount: &str,
    #[case] stored: &str,
    #[case] status: StatusCode,
    #[case] headers: &[(&str, &str)],
) {
    let (head, body) = stored.trim_end().split_once('\n').expect("a head and a body");
    let client = Client::new().await;
    let answer = RenderedAnswer { head: head.to_owned(), body: body.to_owned() };
    store_answer(&client.store, amount, answer).await;
    let replayed = client.call(top_up(amount).insert_header(("Accept-Language", "en"))).await;
    assert_eq!((replayed.status, String::from_utf8(replayed.body.clone()).as_deref()), (status, Ok(body)));
    let replay = ("idempotent-replayed", "true");
    assert_eq!(headers_of_answer(&replayed), [headers, &[replay]].concat());
}

#[rstest]
#[case("")]
#[case("2;201;/v1/users/kim/points/entries")]
#[actix_web::test]
async fn an_unreadable_answer_is_an_internal_error(#[case] head: &str) {
    let client = Client::new().await;
    store_answer(&client.store, "5", RenderedAnswer { head: head.to_owned(), body: "{}".to_owned() }).await;
    let failed = client.call(top_up("5")).await;
    assert_eq!((failed.status, failed.code()), (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR".to_owned()));
    assert_eq!(failed.header("idempotent-replayed"), "");
}

#[actix_web::test]
async fn replays_rejections_byte_for_byte() {
    let client = Client::new().await;
    let by_request = |id: &'static str, language: &'static str| {
        let request = top_up("1000001").insert_header(("X-Request-Id", id));
        client.call(request.insert_header(("Accept-Language", language)))
    };
    let (first, second) = (by_request("first", "ko").await, by_request("second", "en").await);
    assert_eq!((first.status, first.code()), (StatusCode::CONFLICT, "TOP_UP_LIMIT_EXCEEDED".to_owned()));
    assert_eq!((second.status, &second.body), (first.status, &first.body));
    assert_eq!((&second.json()["request_id"], second.header("x-request-id")), (&json!("first"), "second"));
    assert_eq!((first.header("content-language"), second.header("content-language")), ("ko", "ko"));
    assert_eq!((first.header("idempotent-replayed"), second.header("idempotent-replayed")), ("", "true"));
    assert_eq!(first.header("content-type"), "application/problem+json");
}

#[actix_web::test]
async fn a_404_is_not_stored() {
    let client = Client::new().await;
    let pay = |id: &'static str| {
        let request = kim(post(&format!("/v1/orders/{UNKNOWN}/payment"), json!({})));
        client.call(request.insert_header(("Idempotency-Key", "absent")).insert_header(("X-Request-Id", id)))
    };
    for id in ["first", "second"] {
        let absent = pay(id).await;
        assert_eq!((absent.status, absent.code()), (StatusCode::NOT_FOUND, "ORDER_NOT_FOUND".to_owned()));
        assert_eq!((&absent.json()["request_id"], absent.header("idempotent-replayed")), (&json!(id), ""));
        assert_eq!(absent.header("content-type"), "application/problem+json");
    }
    assert_eq!(client.store.answered(), []);
}

#[actix_web::test]
async fn the_answer_is_the_same_with_and_without_a_key() {
    let client = Client::new().await;
    let rejected = |key: Option<&str>| {
        let request = kim(post("/v1/users/kim/points/top-ups", json!({"amount": "1000001"})));
        let request = request.insert_header(("X-Request-Id", "same")).insert_header(("Accept-Language", "ko"));
        client.call(key.into_iter().fold(request, |request, key| request.insert_header(("Idempotency-Key", key))))
    };
    let (without, with) = (rejected(None).await, rejected(Some("k")).await);
    assert_eq!((without.status, &without.body), (with.status, &with.body));
    assert_eq!(headers_of_answer(&without), headers_of_answer(&with));
}

#[actix_web::test]
async fn the_longest_user_id_fits_into_a_head() {
    let client = Client::new().await;
    let (user, in_path) = ("|".repeat(64), "%7C".repeat(64));
    let top_up = || {
        let request = post(&format!("/v1/users/{in_path}/points/top-ups"), json!({"amount": "5"}));
        client.call(by(&user, "", request).insert_header(("Idempotency-Key", "long")))
    };
    let (first, second) = (top_up().await, top_up().await);
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.json());
    for answer in [&first, &second] {
        assert_eq!(answer.header("location"), format!("/v1/users/{in_path}/points/entries"));
    }
    assert_eq!(second.body, first.body);
}
