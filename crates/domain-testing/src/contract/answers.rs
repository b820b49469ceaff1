use std::sync::Arc;

use futures_util::future::join_all;

use jangteo_domain::batch::{Answer, Recording, Request};
use jangteo_domain::command::{AdjustStock, Command, Outcome, TopUpPoints};
use jangteo_domain::id::UserId;
use jangteo_domain::idempotency::{AnswerRenderer, IdempotencyKey, RenderedAnswer};
use jangteo_domain::point::PointAccount;
use jangteo_domain::product::Product;
use jangteo_domain::stock::Stock;
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::PlainAnswers;
use jangteo_domain::testing::fixtures::{NOON, positive, product_details, text, user, won};

use crate::TestShop;
use crate::contract::harness::{StoreHarness, TestResult, answers, commit, first_page, insert, request, row};

/// A request with an idempotency key, whose answer is rendered for one caller.
fn keyed(command: impl Into<Command>, key: IdempotencyKey, name: &'static str) -> Request {
    let renderer = Arc::new(NamedAnswers(name));
    let recording = Some(Recording { idempotency: Some(key), audited_as: None, renderer });
    Request { recording, ..Request::new(command) }
}

/// Renders a different answer for each caller, so a replay shows its origin.
struct NamedAnswers(&'static str);

impl AnswerRenderer for NamedAnswers {
    fn render(&self, outcome: &Outcome) -> RenderedAnswer {
        let RenderedAnswer { head, body } = PlainAnswers.render(outcome);
        RenderedAnswer { head: format!("{} {head}", self.0), body }
    }
}

fn top_up(amount: i64) -> TopUpPoints {
    TopUpPoints { user_id: user("kim"), amount: positive(amount) }
}

async fn balance(harness: &dyn StoreHarness, user_id: &UserId) -> Result<jangteo_domain::Money, StoreError> {
    Ok(row::<PointAccount>(harness, user_id.clone()).await?.balance)
}

#[track_caller]
fn assert_answers(answers: Vec<Result<Answer, StoreError>>, expected: &[Answer]) {
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect("the store works")).collect();
    assert_eq!(answers, expected);
}

/// A repeated request, alone, in a batch or twice in one batch, has one effect and one answer, equal to the byte; so
/// does a rejected one.
pub async fn a_repeated_request_has_one_effect_and_one_answer(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::new(harness.factory());
    let small = |name| keyed(top_up(1_000), request(1, 1), name);
    let large = |name| keyed(top_up(1_000_001), request(2, 2), name);
    let first = shop.executor.execute(&[small("first"), large("second"), small("third"), large("fourth")]).await;
    let [Ok(Answer::Decided { outcome, rendered: Some(topped_up) }), rejected, repeated @ ..] = &first[..] else {
        panic!("a decided and rendered answer: {first:?}");
    };
    let Ok(Answer::Decided { outcome: Err(_), rendered: Some(rejected) }) = rejected else {
        panic!("a rejected and rendered answer: {first:?}");
    };
    assert_eq!(topped_up.body, PlainAnswers.render(outcome).body);
    assert_eq!([topped_up, rejected].map(|answer| answer.head.as_str()), ["first plain", "second plain"]);
    let replayed = [topped_up, rejected].map(|answer| Answer::Replayed(answer.clone()));
    assert_answers(repeated.to_vec(), &replayed);
    let stored = answers(harness, [request(1, 1), request(2, 2)].map(|request| request.key)).await?;
    assert!(stored.iter().map(|stored| &stored.answer).eq([topped_up, rejected]), "{stored:?}");
    assert!(stored.iter().map(|stored| stored.request).eq([request(1, 1), request(2, 2)]), "{stored:?}");

    assert_answers(shop.executor.execute(&[small("fifth"), large("sixth")]).await, &replayed);
    let answers = shop.executor.execute(&[keyed(top_up(5), request(3, 3), "other"), small("seventh")]).await;
    assert!(matches!(&answers[..], [Ok(Answer::Decided { outcome: Ok(_), .. }), Ok(again)] if *again == replayed[0]));
    assert_eq!(balance(harness, &user("kim")).await?, won(1_005));
    assert_eq!(harness.queries().points.entries(&user("kim"), &first_page(100)).await?.len(), 2);
    Ok(())
}

/// A rejection of a missing row is not stored: the request succeeds once the row exists.
pub async fn a_request_for_an_absent_row_is_decided_again(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::new(harness.factory());
    let product = Product::create(shop.ids.next_id().into(), product_details("lamp", 1_000), NOON);
    let fill = AdjustStock { product_id: product.id, quantity: 5, reason: text("delivery") };
    let fill = keyed(fill, request(1, 1), "kim");
    let answers = shop.executor.execute(std::slice::from_ref(&fill)).await;
    assert!(matches!(&answers[..], [Ok(Answer::Decided { outcome: Err(_), rendered: None })]), "{answers:?}");
    commit(harness, insert([product.clone()])).await?;
    commit(harness, insert([Stock::empty(product.id)])).await?;
    let answers = shop.executor.execute(std::slice::from_ref(&fill)).await;
    assert!(matches!(&answers[..], [Ok(Answer::Decided { outcome: Ok(_), rendered: Some(_) })]), "{answers:?}");
    assert_eq!(row::<Stock>(harness, product.id).await?.available, 5);
    Ok(())
}

/// A key with another request's fingerprint is reported as reused.
pub async fn a_key_of_another_request_is_reported(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::new(harness.factory());
    let [first, second, third] =
        [(1_000, 1), (2_000, 2), (3_000, 3)].map(|(won, print)| keyed(top_up(won), request(1, print), "kim"));
    let answers = shop.executor.execute(&[first, second]).await;
    assert!(matches!(&answers[..], [Ok(Answer::Decided { outcome: Ok(_), .. }), Ok(Answer::KeyReused)]), "{answers:?}");
    assert_answers(shop.executor.execute(&[third]).await, &[Answer::KeyReused]);
    assert_eq!(balance(harness, &user("kim")).await?, won(1_000));
    Ok(())
}

/// Concurrent copies of a request have one effect and one answer.
pub async fn concurrent_copies_of_a_request_have_one_effect(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::new(harness.factory());
    let requests = [keyed(top_up(1_000), request(1, 1), "kim")];
    let answers = join_all((0..4).map(|_| shop.executor.execute(&requests))).await;
    let (mut decided, mut bytes) = (0, Vec::new());
    for answer in answers.into_iter().flatten() {
        match answer? {
            Answer::Decided { rendered, .. } => {
                decided += 1;
                bytes.push(rendered.expect("a stored answer is rendered"));
            }
            Answer::Replayed(answer) => bytes.push(answer),
            Answer::KeyReused => panic!("the same request"),
        }
    }
    assert_eq!(decided, 1);
    assert!(bytes.len() == 4 && bytes.iter().all(|answer| answer == &bytes[0]), "{bytes:?}");
    assert_eq!(balance(harness, &user("kim")).await?, won(1_000));
    Ok(())
}
