use std::sync::Mutex;

use mockall::Sequence;
use mockall::predicate::{always, eq, function};

use super::*;
use crate::command::{
    AdjustStock, CancelOrder, ChangeProduct, CouponChoice, CreateProduct, IssueCoupon, PayOrder, PlaceOrder,
    ProductChange, Reply, TopUpPoints,
};
use crate::coupon::{CouponCampaign, MockCouponRepository};
use crate::id::{CouponId, OrderId, ProductId, UserId};
use crate::idempotency::{Fingerprint, MockIdempotencyRepository};
use crate::order::{MockOrderRepository, OrderRejection};
use crate::outbox::MockOutboxRepository;
use crate::payment::MockPaymentRepository;
use crate::point::{MockPointRepository, PointAccount, PointRejection};
use crate::product::{MockProductRepository, Product};
use crate::rejection::Rejection;
use crate::sales::MockSalesRepository;
use crate::stock::{MockStockRepository, Stock};
use crate::testing::fixtures::{
    NOON, campaign_details, customer, fixed, order_line, order_lines, pending_order, positive, product_details, text,
    user, won,
};
use crate::testing::{SequentialIds, rules};
use crate::unit_of_work::{MockUnitOfWork, MockUnitOfWorkFactory};

fn executor(factory: MockUnitOfWorkFactory, backoff: MockBackoff) -> BatchExecutor {
    BatchExecutor {
        factory: Arc::new(factory),
        rules: Arc::new(rules()),
        ids: Arc::new(SequentialIds::new()),
        backoff: Arc::new(backoff),
    }
}

fn top_up(user_id: &str, amount: i64) -> Request {
    let command = Command::TopUpPoints(TopUpPoints { user_id: user(user_id), amount: positive(amount) });
    Request::new(command)
}

fn claim(key: u8) -> IdempotencyKey {
    IdempotencyKey { key: RequestKey([key; 16]), fingerprint: Fingerprint([key; 16]) }
}

fn with_key(request: Request, key: u8) -> Request {
    Request { idempotency: Some(claim(key)), ..request }
}

fn conflict() -> StoreError {
    StoreError::Conflict(Arc::new(std::io::Error::other("a deadlock")))
}

fn unavailable() -> StoreError {
    StoreError::Unavailable(Arc::new(std::io::Error::other("gone")))
}

fn unknown() -> StoreError {
    StoreError::CommitUnknown(Arc::new(std::io::Error::other("no answer")))
}

/// Accounts of anybody, all empty, that take whatever is written.
fn points() -> MockPointRepository {
    let mut points = MockPointRepository::new();
    points.expect_ensure_many().returning(|_| Ok(()));
    points.expect_lock_many().returning(|ids| Ok(ids.iter().cloned().map(PointAccount::empty).collect()));
    points.expect_save_many().returning(|_| Ok(()));
    points.expect_append_entries().returning(|_| Ok(()));
    points
}

/// A unit of work on accounts alone, up to its commit.
fn unit_on(points: MockPointRepository) -> MockUnitOfWork {
    let mut unit = MockUnitOfWork::new();
    unit.expect_points().return_var(Box::new(points));
    unit.expect_now().returning(|| Ok(NOON));
    unit
}

fn committing(mut unit: MockUnitOfWork) -> MockUnitOfWork {
    unit.expect_commit().times(1).returning(|| Ok(()));
    unit
}

/// A unit of work whose locks fail.
fn failing(error: StoreError) -> MockUnitOfWork {
    let mut points = MockPointRepository::new();
    points.expect_ensure_many().times(1).returning(move |_| Err(error.clone()));
    let mut unit = MockUnitOfWork::new();
    unit.expect_points().return_var(Box::new(points));
    unit
}

/// A factory that gives these units of work, in this order, and no more.
fn factory_of(units: impl IntoIterator<Item = MockUnitOfWork>) -> MockUnitOfWorkFactory {
    let mut factory = MockUnitOfWorkFactory::new();
    let mut sequence = Sequence::new();
    for unit in units {
        factory.expect_begin().times(1).in_sequence(&mut sequence).return_once(move |_| Ok(Box::new(unit)));
    }
    factory
}

fn no_pause() -> MockBackoff {
    MockBackoff::new()
}

fn pauses(count: usize, kind: &'static str) -> MockBackoff {
    let mut backoff = MockBackoff::new();
    let mut sequence = Sequence::new();
    for attempt in 1..=count {
        let number = u32::try_from(attempt).expect("few attempts");
        let of_kind = function(move |cause: &StoreError| cause.kind() == kind);
        backoff.expect_pause().with(eq(number), of_kind).times(1).in_sequence(&mut sequence).return_const(());
    }
    backoff
}

#[track_caller]
fn assert_topped_up(answers: &[Result<Answer, StoreError>], amounts: &[i64]) {
    let topped_up: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            Ok(Answer::Decided(Ok(Reply::PointsToppedUp(entry)))) => entry.amount,
            other => panic!("a top-up is answered, not {other:?}"),
        })
        .collect();
    assert_eq!(topped_up, amounts.iter().map(|amount| won(*amount)).collect::<Vec<_>>());
}

#[track_caller]
fn assert_failed(answers: &[Result<Answer, StoreError>], kind: &str, count: usize) {
    let kinds: Vec<_> = answers.iter().map(|answer| answer.as_ref().err().map(StoreError::kind)).collect();
    assert_eq!(kinds, vec![Some(kind); count]);
}

#[tokio::test]
async fn no_request_begins_nothing() {
    assert!(executor(MockUnitOfWorkFactory::new(), no_pause()).execute(&[]).await.is_empty());
}

#[tokio::test]
async fn a_batch_is_one_transaction_and_each_row_is_written_once() {
    let mut points = MockPointRepository::new();
    let ids: BTreeSet<UserId> = [user("kim"), user("lee")].into();
    points.expect_ensure_many().with(eq(ids.clone())).times(1).returning(|_| Ok(()));
    points
        .expect_lock_many()
        .with(eq(ids))
        .times(1)
        .returning(|ids| Ok(ids.iter().cloned().map(PointAccount::empty).collect()));
    let balances = function(|accounts: &[PointAccount]| {
        accounts
            .iter()
            .map(|account| (account.user_id.as_str(), account.balance))
            .eq([("kim", won(4)), ("lee", won(2))])
    });
    points.expect_save_many().with(balances).times(1).returning(|_| Ok(()));
    points
        .expect_append_entries()
        .withf(|entries| entries.iter().map(|entry| entry.amount).eq([won(1), won(2), won(3)]))
        .times(1)
        .returning(|_| Ok(()));
    let executor = executor(factory_of([committing(unit_on(points))]), no_pause());
    let answers = executor.execute(&[top_up("kim", 1), top_up("lee", 2), top_up("kim", 3)]).await;
    assert_topped_up(&answers, &[1, 2, 3]);
}

#[tokio::test]
async fn a_conflict_is_tried_again() {
    for error in [conflict(), unavailable()] {
        let kind = error.kind();
        let factory = factory_of([failing(error.clone()), failing(error), committing(unit_on(points()))]);
        let answers = executor(factory, pauses(2, kind)).execute(&[top_up("kim", 1), top_up("lee", 2)]).await;
        assert_topped_up(&answers, &[1, 2]);
    }
}

#[tokio::test]
async fn a_conflict_at_commit_is_tried_again() {
    let mut unit = unit_on(points());
    unit.expect_commit().times(1).returning(|| Err(conflict()));
    let factory = factory_of([unit, committing(unit_on(points()))]);
    assert_topped_up(&executor(factory, pauses(1, "conflict")).execute(&[top_up("kim", 1)]).await, &[1]);
}

#[tokio::test]
async fn a_conflict_that_lasts_is_answered_to_all_after_a_bounded_number_of_attempts() {
    let factory = factory_of((0..ATTEMPTS_MAX).map(|_| failing(conflict())));
    let answers = executor(factory, pauses(4, "conflict")).execute(&[top_up("kim", 1), top_up("lee", 2)]).await;
    assert_failed(&answers, "conflict", 2);
}

#[tokio::test]
async fn a_begin_that_fails_is_not_tried_again() {
    for error in [unavailable(), conflict()] {
        let kind = error.kind();
        let mut factory = MockUnitOfWorkFactory::new();
        factory.expect_begin().times(1).return_once(move |_| Err(error));
        let answers = executor(factory, no_pause()).execute(&[top_up("kim", 1), top_up("lee", 2)]).await;
        assert_failed(&answers, kind, 2);
    }
}

/// A factory whose units of work fail whenever they name the user "poison"; and which users each locked.
fn poisoned(error: StoreError) -> (MockUnitOfWorkFactory, Arc<Mutex<Vec<Vec<String>>>>) {
    let batches = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&batches);
    let mut factory = MockUnitOfWorkFactory::new();
    factory.expect_begin().returning(move |_| {
        let (error, seen) = (error.clone(), Arc::clone(&seen));
        let mut points = MockPointRepository::new();
        points.expect_ensure_many().returning(move |ids| {
            seen.lock().expect("no panic").push(ids.iter().map(ToString::to_string).collect());
            if ids.contains(&user("poison")) { Err(error.clone()) } else { Ok(()) }
        });
        points.expect_lock_many().returning(|ids| Ok(ids.iter().cloned().map(PointAccount::empty).collect()));
        points.expect_save_many().returning(|_| Ok(()));
        points.expect_append_entries().returning(|_| Ok(()));
        let mut unit = unit_on(points);
        unit.expect_commit().returning(|| Ok(()));
        Ok(Box::new(unit))
    });
    (factory, batches)
}

#[tokio::test]
async fn an_unexpected_error_costs_only_the_command_that_causes_it() {
    for error in [StoreError::unexpected("a bug"), StoreError::corrupt("a row")] {
        let kind = error.kind();
        let (factory, batches) = poisoned(error);
        let requests = ["a", "b", "c", "poison", "e"].map(|user_id| top_up(user_id, 1));
        let mut answers = executor(factory, no_pause()).execute(&requests).await;
        assert_failed(&[answers.remove(3)], kind, 1);
        assert_topped_up(&answers, &[1, 1, 1, 1]);
        let expected: [&[&str]; 6] = [
            &["a", "b", "c", "e", "poison"],
            &["a", "b"],
            &["c", "e", "poison"],
            &["c"],
            &["e", "poison"],
            &["poison"],
        ];
        let batches = batches.lock().expect("no panic");
        assert_eq!(batches[..6], expected);
        assert_eq!(batches[6..], [["e"]], "each part is run in the order of the requests");
    }
}

#[tokio::test]
async fn each_half_has_attempts_of_its_own() {
    let factory = factory_of([
        failing(conflict()),
        failing(StoreError::unexpected("a bug")),
        failing(conflict()),
        committing(unit_on(points())),
        failing(StoreError::unexpected("a bug")),
    ]);
    let mut backoff = MockBackoff::new();
    backoff.expect_pause().with(eq(1), always()).times(2).return_const(());
    let mut answers = executor(factory, backoff).execute(&[top_up("kim", 1), top_up("lee", 2)]).await;
    assert_failed(&answers.split_off(1), "unexpected", 1);
    assert_topped_up(&answers, &[1]);
}

/// A unit of work whose commit gives no answer.
fn unanswered() -> MockUnitOfWork {
    let mut unit = MockUnitOfWork::new();
    unit.expect_points().return_var(Box::new(points()));
    unit.expect_now().returning(|| Ok(NOON));
    unit.expect_commit().times(1).returning(|| Err(unknown()));
    unit
}

/// A factory that gives these units of work, in this order, and the ids that they are given.
fn noting_factory_of(units: [MockUnitOfWork; 2]) -> (MockUnitOfWorkFactory, Arc<Mutex<Vec<BatchId>>>) {
    let ids = Arc::new(Mutex::new(Vec::new()));
    let mut factory = MockUnitOfWorkFactory::new();
    let mut sequence = Sequence::new();
    for unit in units {
        let ids = Arc::clone(&ids);
        factory.expect_begin().times(1).in_sequence(&mut sequence).return_once(move |id| {
            ids.lock().expect("no panic").push(id);
            Ok(Box::new(unit))
        });
    }
    (factory, ids)
}

#[tokio::test]
async fn an_unknown_commit_that_took_effect_is_answered() {
    let mut factory = factory_of([unanswered()]);
    factory.expect_committed().times(1).returning(|_| Ok(true));
    assert_topped_up(&executor(factory, no_pause()).execute(&[top_up("kim", 1)]).await, &[1]);
}

#[tokio::test]
async fn an_unknown_commit_is_asked_for_by_its_id_and_run_again_under_another_if_it_took_no_effect() {
    let (mut factory, ids) = noting_factory_of([unanswered(), committing(unit_on(points()))]);
    let begun = Arc::clone(&ids);
    factory
        .expect_committed()
        .withf(move |id| *begun.lock().expect("no panic") == [*id])
        .times(1)
        .returning(|_| Ok(false));
    let answers = executor(factory, pauses(1, "unavailable")).execute(&[top_up("kim", 1)]).await;
    assert_topped_up(&answers, &[1]);
    let ids = ids.lock().expect("no panic");
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_marker_is_asked_again_while_the_database_is_away() {
    let mut factory = factory_of([unanswered()]);
    let mut sequence = Sequence::new();
    factory.expect_committed().times(2).in_sequence(&mut sequence).returning(|_| Err(unavailable()));
    factory.expect_committed().times(1).in_sequence(&mut sequence).returning(|_| Ok(true));
    assert_topped_up(&executor(factory, pauses(2, "unavailable")).execute(&[top_up("kim", 1)]).await, &[1]);
}

#[tokio::test]
async fn a_commit_that_nobody_can_tell_of_is_answered_as_unknown_and_not_run_again() {
    let mut factory = factory_of([unanswered()]);
    factory.expect_committed().times(10).returning(|_| Err(unavailable()));
    let answers = executor(factory, pauses(9, "unavailable")).execute(&[top_up("kim", 1), top_up("lee", 2)]).await;
    assert_failed(&answers, "commit_unknown", 2);
}

#[tokio::test]
async fn a_batch_that_changes_nothing_is_not_committed() {
    // No expectation of a save or a commit: each would be a panic.
    let mut points = MockPointRepository::new();
    points.expect_ensure_many().returning(|_| Ok(()));
    points.expect_lock_many().returning(|ids| Ok(ids.iter().cloned().map(PointAccount::empty).collect()));
    let mut unit = MockUnitOfWork::new();
    unit.expect_points().return_var(Box::new(points));
    unit.expect_now().returning(|| Ok(NOON));
    let answers = executor(factory_of([unit]), no_pause()).execute(&[top_up("kim", 1_000_001)]).await;
    let rejection = PointRejection::TopUpLimitExceeded { top_up_max: won(1_000_000) };
    assert!(matches!(&answers[..], [Ok(Answer::Decided(Err(rejected)))] if *rejected == rejection.clone().into()));
}

/// A unit of work that knows these answered requests, and expects these keys to be added.
fn remembering(known: Vec<IdempotencyRecord>, added: &'static [u8]) -> MockUnitOfWork {
    let mut idempotency = MockIdempotencyRepository::new();
    idempotency.expect_find_many().times(1).return_once(move |_| Ok(known));
    let mut unit = unit_on(points());
    if !added.is_empty() {
        idempotency
            .expect_insert_many()
            .withf(move |records| {
                records.iter().map(|record| record.claim).eq(added.iter().map(|key| claim(*key)))
                    && records.iter().all(|record| record.at == NOON)
            })
            .times(1)
            .returning(|_| Ok(()));
        unit.expect_commit().times(1).returning(|| Ok(()));
    }
    unit.expect_idempotency().return_var(Box::new(idempotency));
    unit
}

#[tokio::test]
async fn answers_are_kept_in_order_of_their_keys() {
    let factory = factory_of([remembering(vec![], &[1, 2, 3])]);
    let requests = [with_key(top_up("kim", 3), 3), with_key(top_up("lee", 1), 1), with_key(top_up("kim", 2), 2)];
    assert_topped_up(&executor(factory, no_pause()).execute(&requests).await, &[3, 1, 2]);
}

#[tokio::test]
async fn a_rejection_by_state_is_stored_though_nothing_else_changed() {
    let factory = factory_of([remembering(vec![], &[1])]);
    let answers = executor(factory, no_pause()).execute(&[with_key(top_up("kim", 1_000_001), 1)]).await;
    assert!(matches!(answers[..], [Ok(Answer::Decided(Err(Rejection::Point(_))))]), "{answers:?}");
}

#[tokio::test]
async fn what_is_not_there_is_not_kept() {
    let mut unit = remembering(vec![], &[]);
    let mut orders = MockOrderRepository::new();
    orders.expect_lock_many().returning(|_| Ok(vec![]));
    unit.expect_orders().return_var(Box::new(orders));
    let order_id: OrderId = SequentialIds::id(7).into();
    let command = Command::CancelOrder(CancelOrder { order_id, actor: customer(&user("kim")) });
    let request = Request { idempotency: Some(claim(1)), ..Request::new(command) };
    let answers = executor(factory_of([unit]), no_pause()).execute(&[request.clone(), request]).await;
    let not_found = Answer::Decided(Err(OrderRejection::NotFound.into()));
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| *answer == not_found)), "{answers:?}");
    assert_eq!(answers.len(), 2);
}

#[tokio::test]
async fn a_known_request_is_replayed_without_a_lock() {
    let outcome = Err(OrderRejection::Expired.into());
    let known = |key| IdempotencyRecord { claim: claim(key), outcome: outcome.clone(), tag: None, at: NOON };
    let mut idempotency = MockIdempotencyRepository::new();
    let records = vec![known(2), known(1)];
    let keys: BTreeSet<_> = [1, 2].map(|key| claim(key).key).into();
    idempotency.expect_find_many().with(eq(keys)).times(1).return_once(move |_| Ok(records));
    // No expectation of accounts: a lock would be a panic.
    let mut unit = MockUnitOfWork::new();
    unit.expect_idempotency().return_var(Box::new(idempotency));
    unit.expect_now().returning(|| Ok(NOON));
    let other = IdempotencyKey { fingerprint: Fingerprint([9; 16]), ..claim(2) };
    let reused = Request { idempotency: Some(other), ..top_up("kim", 1) };
    let executor = executor(factory_of([unit]), no_pause());
    let answers = executor.execute(&[with_key(top_up("kim", 1), 1), reused]).await;
    assert!(
        matches!(&answers[..], [Ok(Answer::Replayed { outcome: same, .. }), Ok(Answer::KeyReused)] if *same == outcome)
    );
}

#[tokio::test]
async fn a_request_that_is_twice_in_a_batch_is_decided_once() {
    let factory = factory_of([remembering(vec![], &[1])]);
    let request = with_key(top_up("kim", 5), 1);
    let other = IdempotencyKey { fingerprint: Fingerprint([9; 16]), ..claim(1) };
    let reused = Request { idempotency: Some(other), ..top_up("kim", 6) };
    let answers = executor(factory, no_pause()).execute(&[request.clone(), request, reused]).await;
    let [Ok(Answer::Decided(first)), Ok(Answer::Replayed { outcome: second, .. }), Ok(Answer::KeyReused)] =
        &answers[..]
    else {
        panic!("decided, replayed, reused: {answers:?}");
    };
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_conflict_of_keys_is_found_at_the_next_attempt() {
    let mut idempotency = MockIdempotencyRepository::new();
    idempotency.expect_find_many().returning(|_| Ok(vec![]));
    idempotency.expect_insert_many().times(1).returning(|_| Err(conflict()));
    let mut unit = unit_on(points());
    unit.expect_idempotency().return_var(Box::new(idempotency));
    let outcome = Err(OrderRejection::Expired.into());
    let known = IdempotencyRecord { claim: claim(1), outcome: outcome.clone(), tag: None, at: NOON };
    let factory = factory_of([unit, remembering(vec![known], &[])]);
    let answers = executor(factory, pauses(1, "conflict")).execute(&[with_key(top_up("kim", 1), 1)]).await;
    assert!(matches!(&answers[..], [Ok(Answer::Replayed { outcome: same, .. })] if *same == outcome), "{answers:?}");
}

/// Two statements would lock products in two orders, and an order would not see the new price.
#[tokio::test]
async fn products_that_are_ordered_are_locked_with_those_that_are_changed() {
    let ids = SequentialIds::new();
    let [lamp, chair]: [ProductId; 2] = [ids.next_id().into(), ids.next_id().into()];
    let mut products = MockProductRepository::new();
    let rows = [lamp, chair].map(|id| Product::create(id, product_details("a thing", 7), NOON));
    let both = BTreeSet::from([lamp, chair]);
    products.expect_lock_many().with(eq(both.clone())).times(1).return_once(move |_| Ok(rows.to_vec()));
    products.expect_save_many().times(1).returning(|_| Ok(()));
    let mut stocks = MockStockRepository::new();
    let counted = [lamp, chair].map(|id| Stock { available: 5, ..Stock::empty(id) });
    stocks.expect_lock_many().with(eq(both)).times(1).return_once(move |_| Ok(counted.to_vec()));
    stocks.expect_save_many().returning(|_| Ok(()));
    stocks.expect_append_movements().returning(|_| Ok(()));
    let mut orders = MockOrderRepository::new();
    orders.expect_insert_many().times(1).returning(|_| Ok(()));
    let mut unit = committing(unit_on(points()));
    unit.expect_products().return_var(Box::new(products));
    unit.expect_stocks().return_var(Box::new(stocks));
    unit.expect_orders().return_var(Box::new(orders));

    let change = ProductChange { price: Some(won(9).try_into().expect("a price")), ..ProductChange::default() };
    let lines = order_lines(&[(lamp, 1), (chair, 1)]);
    let place = PlaceOrder { order_id: ids.next_id().into(), user_id: user("kim"), lines, expected_total: None };
    let requests = [
        Request::new(Command::ChangeProduct(ChangeProduct { product_id: chair, change })),
        Request::new(Command::PlaceOrder(place)),
    ];
    let answers = executor(factory_of([unit]), no_pause()).execute(&requests).await;
    let Ok(Answer::Decided(Ok(Reply::OrderPlaced { order, .. }))) = &answers[1] else { panic!("{answers:?}") };
    assert_eq!(order.total, won(7 + 9));
}

/// Which statement comes after which, whatever order the commands come in: the order in which every writer locks.
#[tokio::test]
async fn rows_are_locked_and_written_in_one_order() {
    let ids = SequentialIds::new();
    let id = || ids.next_id();
    let [lamp, chair] = [(); 2].map(|()| ProductId::from(id()));
    let [kim, lee] = ["kim", "lee"].map(user);
    let order = pending_order(id().into(), &lee, vec![order_line(chair, 1, 10)], NOON);
    let campaign = CouponCampaign::create(id().into(), campaign_details(fixed(1), 9), NOON);
    let held = campaign.issue(&lee, false, id().into(), NOON).expect("an open campaign");
    let account = |user_id: &UserId, balance| PointAccount {
        balance: won(balance),
        open_orders: u32::from(*user_id == lee),
        ..PointAccount::empty(user_id.clone())
    };

    let mut steps = Sequence::new();
    let mut idempotency = MockIdempotencyRepository::new();
    let mut orders = MockOrderRepository::new();
    let mut coupons = MockCouponRepository::new();
    let mut products = MockProductRepository::new();
    let mut stocks = MockStockRepository::new();
    let mut point_rows = MockPointRepository::new();
    let mut payments = MockPaymentRepository::new();
    let mut sales = MockSalesRepository::new();
    let mut outbox = MockOutboxRepository::new();
    let mut unit = MockUnitOfWork::new();
    macro_rules! then {
        ($mock:ident.$method:ident($($predicate:expr),*) => $answer:expr) => {{
            let answer = $answer;
            $mock.$method().with($($predicate),*).times(1).in_sequence(&mut steps).return_once(move |$(then!(@ignore $predicate)),*| Ok(answer));
        }};
        (@ignore $predicate:expr) => { _ };
    }
    then!(idempotency.expect_find_many(eq(BTreeSet::from([claim(1).key]))) => vec![]);
    then!(orders.expect_lock_many(eq(BTreeSet::from([order.id]))) => vec![order.clone()]);
    then!(coupons.expect_lock_campaigns(eq(BTreeSet::from([campaign.id]))) => vec![campaign.clone()]);
    then!(coupons.expect_past_recipients(eq(BTreeSet::from([(campaign.id, kim.clone())]))) => BTreeSet::new());
    then!(coupons.expect_unused_of(eq(BTreeSet::from([lee.clone()]))) => BTreeSet::from([held.id]));
    then!(coupons.expect_lock_many(eq(BTreeSet::from([held.id]))) => vec![held.clone()]);
    then!(products.expect_lock_offers(eq(BTreeSet::from([lamp]))) => vec![Product::create(lamp, product_details("lamp", 7), NOON).offer()]);
    let [of_lamp, of_chair] = [lamp, chair].map(|id| Stock { available: 5, ..Stock::empty(id) });
    then!(stocks.expect_lock_many(eq(BTreeSet::from([lamp, chair]))) => vec![of_lamp, of_chair]);
    then!(point_rows.expect_ensure_many(eq(BTreeSet::from([kim.clone(), lee.clone()]))) => ());
    then!(point_rows.expect_lock_many(eq(BTreeSet::from([kim.clone(), lee.clone()]))) => vec![account(&kim, 0), account(&lee, 99)]);
    unit.expect_now().times(1).in_sequence(&mut steps).returning(|| Ok(NOON));

    then!(products.expect_insert_many(always()) => ());
    then!(stocks.expect_insert_many(always()) => ());
    then!(stocks.expect_save_many(always()) => ());
    then!(coupons.expect_save_campaigns(always()) => ());
    then!(point_rows.expect_save_many(always()) => ());
    then!(orders.expect_insert_many(always()) => ());
    then!(orders.expect_save_many(always()) => ());
    then!(orders.expect_save_lines(always()) => ());
    then!(coupons.expect_insert_many(always()) => ());
    then!(coupons.expect_save_many(always()) => ());
    then!(stocks.expect_append_movements(always()) => ());
    then!(point_rows.expect_append_entries(always()) => ());
    then!(payments.expect_insert_many(always()) => ());
    then!(sales.expect_add_many(always()) => ());
    then!(outbox.expect_append_many(always()) => ());
    then!(idempotency.expect_insert_many(always()) => ());
    unit.expect_commit().times(1).in_sequence(&mut steps).returning(|| Ok(()));

    unit.expect_idempotency().return_var(Box::new(idempotency));
    unit.expect_orders().return_var(Box::new(orders));
    unit.expect_coupons().return_var(Box::new(coupons));
    unit.expect_products().return_var(Box::new(products));
    unit.expect_stocks().return_var(Box::new(stocks));
    unit.expect_points().return_var(Box::new(point_rows));
    unit.expect_payments().return_var(Box::new(payments));
    unit.expect_sales().return_var(Box::new(sales));
    unit.expect_outbox().return_var(Box::new(outbox));

    let place = PlaceOrder {
        order_id: id().into(),
        user_id: kim.clone(),
        lines: order_lines(&[(lamp, 1)]),
        expected_total: None,
    };
    let coupon_id: CouponId = id().into();
    let requests = [
        with_key(top_up("kim", 100), 1),
        Request::new(Command::AdjustStock(AdjustStock { product_id: chair, quantity: 1, reason: text("found") })),
        Request::new(Command::PlaceOrder(place)),
        Request::new(Command::IssueCoupon(IssueCoupon { coupon_id, campaign_id: campaign.id, user_id: kim.clone() })),
        Request::new(Command::CreateProduct(CreateProduct {
            product_id: id().into(),
            details: product_details("table", 1),
        })),
        Request::new(Command::PayOrder(PayOrder {
            order_id: order.id,
            actor: customer(&lee),
            coupon: CouponChoice::Best,
        })),
    ];
    let answers = executor(factory_of([unit]), no_pause()).execute(&requests).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Answer::Decided(Ok(_))))), "{answers:?}");
}
