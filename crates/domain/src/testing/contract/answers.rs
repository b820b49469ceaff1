use futures_util::future::join_all;

use crate::batch::{Answer, Request};
use crate::command::{Command, Outcome, TopUpPoints};
use crate::idempotency::{Fingerprint, IdempotencyKey, IdempotencyRecord, RequestKey};
use crate::store_error::StoreError;
use crate::testing::TestShop;
use crate::testing::contract::harness::{Seeds, StoreHarness, account, assert_conflict, first_page, look, set, write};
use crate::testing::fixtures::{NOON, positive, text, user, won};
use crate::testing::samples;

fn claim(key: u8, fingerprint: u8) -> IdempotencyKey {
    IdempotencyKey { key: RequestKey([key; 16]), fingerprint: Fingerprint([fingerprint; 16]) }
}

/// Every answer that can be given is read back as it was, and only those that are asked for.
pub async fn records_keep_every_outcome(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let outcomes = samples::outcomes(&Seeds::new(harness).ids);
    let record = |(key, outcome): (u8, Outcome)| IdempotencyRecord {
        claim: claim(key, key.wrapping_add(100)),
        tag: outcome.is_err().then(|| text("ko:request-1")),
        outcome,
        at: NOON,
    };
    let records: Vec<_> = (0..).zip(outcomes).map(record).collect();
    write(harness, async |unit| unit.idempotency().insert_many(&records).await).await?;

    let (asked, not_asked) = records.split_at(records.len() - 3);
    let keys = set(asked.iter().map(|record| record.claim.key).chain([RequestKey([0xff; 16])]));
    assert!(!not_asked.is_empty() && !keys.contains(&not_asked[0].claim.key));
    let mut found = look(harness, async |unit| unit.idempotency().find_many(&keys).await).await?;
    found.sort_by_key(|record| record.claim.key);
    assert_eq!(found, asked);
    Ok(())
}

/// The second transaction that answers a request learns that it is the second.
pub async fn a_second_record_of_one_key_is_a_conflict(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let outcome = samples::outcomes(&Seeds::new(harness).ids).swap_remove(0);
    let record =
        |fingerprint| IdempotencyRecord { claim: claim(1, fingerprint), outcome: outcome.clone(), tag: None, at: NOON };
    write(harness, async |unit| unit.idempotency().insert_many(&[record(1)]).await).await?;
    assert_conflict(write(harness, async |unit| unit.idempotency().insert_many(&[record(2)]).await).await);
    let keys = set([record(1).claim.key]);
    let found = look(harness, async |unit| unit.idempotency().find_many(&keys).await).await?;
    assert_eq!(found, [record(1)]);
    Ok(())
}

fn top_up(amount: i64, claim: IdempotencyKey) -> Request {
    let command = Command::TopUpPoints(TopUpPoints { user_id: user("kim"), amount: positive(amount) });
    Request { idempotency: Some(claim), ..Request::new(command) }
}

/// Sent again, alone, in a batch, or twice in one batch: one effect, and the same answer; a rejection comes with the tag
/// of the request that was rejected.
pub async fn a_repeated_request_is_answered_the_same_and_has_no_second_effect(
    harness: &dyn StoreHarness,
) -> Result<(), StoreError> {
    let shop = TestShop::new(harness.factory());
    let tagged = |request, tag| Request { tag: Some(text(tag)), ..request };
    let [small, large] = [top_up(1_000, claim(1, 1)), top_up(1_000_001, claim(2, 2))];
    let [small, large] = [tagged(small, "first"), tagged(large, "second")];
    let first = shop.executor.execute(&[small.clone(), large.clone(), small.clone(), large.clone()]).await;
    let [Ok(Answer::Decided(topped_up)), Ok(Answer::Decided(rejected)), repeated @ ..] = &first[..] else {
        panic!("two answers are decided: {first:?}");
    };
    assert!(topped_up.is_ok() && rejected.is_err(), "{first:?}");
    let replayed = |outcome: &Outcome, tag| Answer::Replayed { outcome: outcome.clone(), tag };
    let expected = [replayed(topped_up, None), replayed(rejected, large.tag.clone())];
    assert_answers(repeated.to_vec(), &expected);

    let again = [tagged(small.clone(), "third"), tagged(large, "fourth")];
    assert_answers(shop.executor.execute(&again).await, &expected);
    let other = top_up(5, claim(3, 3));
    let answers = shop.executor.execute(&[other, small]).await;
    assert!(matches!(&answers[..], [Ok(Answer::Decided(Ok(_))), Ok(replayed)] if *replayed == expected[0]));

    assert_eq!(account(harness, &user("kim")).await?.balance, won(1_005));
    assert_eq!(harness.queries().points.entries(&user("kim"), &first_page(100)).await?.len(), 2);
    Ok(())
}

#[track_caller]
fn assert_answers(answers: Vec<Result<Answer, StoreError>>, expected: &[Answer]) {
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect("the store works")).collect();
    assert_eq!(answers, expected);
}

/// A key belongs to the request that it was first sent with.
pub async fn a_key_used_again_for_another_request_is_told(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let shop = TestShop::new(harness.factory());
    let [first, second, third] = [(1_000, 1), (2_000, 2), (3_000, 3)].map(|(won, print)| top_up(won, claim(1, print)));
    let answers = shop.executor.execute(&[first, second]).await;
    assert!(matches!(&answers[..], [Ok(Answer::Decided(Ok(_))), Ok(Answer::KeyReused)]), "{answers:?}");
    assert_answers(shop.executor.execute(&[third]).await, &[Answer::KeyReused]);
    assert_eq!(account(harness, &user("kim")).await?.balance, won(1_000));
    Ok(())
}

/// Sent by many at the same time: one effect, one answer for all.
pub async fn a_request_sent_by_many_at_once_has_one_effect(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let shop = TestShop::new(harness.factory());
    let requests = [top_up(1_000, claim(1, 1))];
    let answers = join_all((0..4).map(|_| shop.executor.execute(&requests))).await;
    let mut outcomes = Vec::new();
    let mut decided = 0;
    for answer in answers.into_iter().flatten() {
        match answer? {
            Answer::Decided(outcome) => {
                decided += 1;
                outcomes.push(outcome);
            }
            Answer::Replayed { outcome, .. } => outcomes.push(outcome),
            Answer::KeyReused => panic!("the request is the same"),
        }
    }
    assert_eq!(decided, 1);
    assert!(outcomes.len() == 4 && outcomes.iter().all(|outcome| outcome == &outcomes[0]), "{outcomes:?}");
    assert_eq!(account(harness, &user("kim")).await?.balance, won(1_000));
    Ok(())
}
