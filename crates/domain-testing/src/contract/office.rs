use time::Duration;
use uuid::Uuid;

use jangteo_domain::command::CouponChoice;
use jangteo_domain::coupon::{Coupon, CouponFilter, CouponState, CouponStatus};
use jangteo_domain::delivery::{AttemptOutcome, DeliveryOutcome};
use jangteo_domain::id::{CouponId, VerificationId, uuid_at};
use jangteo_domain::idempotency::RequestKey;
use jangteo_domain::order::{Order, OrderFilter, OrderStatus};
use jangteo_domain::overview::OverviewLimits;
use jangteo_domain::page::Page;
use jangteo_domain::payment::{Payment, Refund};
use jangteo_domain::product::{ProductDetails, ProductStatus};
use jangteo_domain::retention::PruneTarget;
use jangteo_domain::statistics::{
    CountProgress, CountedTable, Counter, FINAL_AFTER, QuarterHours, SalesTotals, Statistics, Step, quarter_of,
};
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::fixtures::{campaign_details, fixed, product_details, user, won};
use jangteo_domain::time::Timestamp;
use jangteo_domain::verification::{Begun, RunEnd, RunProgress, RunStatus, VerificationRun};

use crate::TestShop;
use crate::contract::harness::{Seeds, StoreHarness, TestResult, append, commit, first_page, insert, walk};
use crate::contract::samples;

/// A walk through the coupons of a campaign returns each once, in every status, and no other campaign's.
pub async fn walks_of_a_campaigns_coupons_miss_and_repeat_nothing(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let campaign = samples::seed_campaign(&seeds, 9).await?;
    let other = samples::seed_campaign(&seeds, 9).await?;
    let mut coupons = Vec::new();
    for n in 0..7 {
        let state = if n % 3 == 0 { CouponState::Revoked } else { CouponState::Unused };
        let valid_until = if n == 1 { Timestamp::MIN } else { Timestamp::MAX };
        coupons.push(samples::coupon(&seeds, &campaign, &user(&format!("user-{n}")), state, valid_until));
    }
    let of_other = samples::coupon(&seeds, &other, &user("user-0"), CouponState::Unused, Timestamp::MAX);
    commit(harness, insert(coupons.iter().cloned().chain([of_other]))).await?;
    let queries = harness.queries().coupons;
    for (filter, expected) in [
        (CouponFilter::All, vec![6, 5, 4, 3, 2, 1, 0]),
        (CouponFilter::Only(CouponStatus::Usable), vec![5, 4, 2]),
        (CouponFilter::Only(CouponStatus::Expired), vec![1]),
        (CouponFilter::Only(CouponStatus::Revoked), vec![6, 3, 0]),
    ] {
        let expected: Vec<&Coupon> = expected.into_iter().map(|n: usize| &coupons[n]).collect();
        for limit in [1, 2, 100] {
            let key = |coupon: &Coupon| -> CouponId { coupon.id };
            let read = async |page| Ok(queries.coupons_of_campaign(campaign.id, filter, &page).await?.value);
            let listed = walk(limit, key, read).await?;
            assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{filter:?} by {limit}");
        }
    }
    Ok(())
}

/// Orders with a line of a product, with every other filter.
pub async fn walks_of_a_products_orders_miss_and_repeat_nothing(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::new(harness.factory());
    let [lamp, chair] = [shop.lamp(100, 50).await?, shop.lamp(200, 50).await?];
    let [kim, lee] = [shop.user("kim", 10_000).await?, shop.user("lee", 10_000).await?];
    let mut with_lamp = Vec::new();
    for n in 0..7 {
        let user = if n % 2 == 0 { &kim } else { &lee };
        let order = shop.order(user, &[(lamp, 1), (chair, 1)]).await?;
        shop.order(user, &[(chair, 1)]).await?;
        if n < 3 {
            shop.pay(order, user, CouponChoice::None).await?.expect("a payment");
        }
        with_lamp.insert(0, order);
    }
    let queries = harness.queries().orders;
    let of_lamp = OrderFilter { product_id: Some(lamp), ..OrderFilter::default() };
    let of_kim = OrderFilter { user_id: Some(kim), ..of_lamp.clone() };
    let paid = OrderFilter { status: Some(OrderStatus::Paid), ..of_lamp.clone() };
    let late = OrderFilter { from: Some(Timestamp::MAX), ..of_lamp.clone() };
    for (filter, expected) in [
        (of_lamp.clone(), with_lamp.clone()),
        (of_kim, with_lamp.iter().step_by(2).copied().collect()),
        (paid, with_lamp[4..].to_vec()),
        (late, vec![]),
        (OrderFilter { product_id: Some(Uuid::nil().into()), ..of_lamp }, vec![]),
    ] {
        for limit in [1, 2, 100] {
            let read = async |page| Ok(queries.list(&filter, &page).await?.value);
            let listed = walk(limit, |order: &Order| order.id, read).await?;
            assert!(listed.iter().all(|order| order.lines.len() == 2), "with all lines");
            let ids: Vec<_> = listed.iter().map(|order| order.id).collect();
            assert_eq!(ids, expected, "{filter:?} by {limit}");
        }
    }
    Ok(())
}

/// The rows of one order, the newest first, up to the limit.
pub async fn the_trail_of_an_order_has_its_rows_only(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::new(harness.factory());
    let lamp = shop.lamp(100, 50).await?;
    let kim = shop.user("kim", 10_000).await?;
    let [order, other] = [shop.order(&kim, &[(lamp, 2)]).await?, shop.order(&kim, &[(lamp, 1)]).await?];
    for id in [order, other] {
        shop.pay(id, &kim, CouponChoice::None).await?.expect("a payment");
    }
    shop.cancel(order, &kim).await?.expect("a refund");
    let queries = harness.queries().orders;
    let trail = queries.trail(order, 10).await?.value.expect("an order");
    assert_eq!(Some(&trail.order), queries.find(order).await?.value.as_ref());
    assert_eq!(trail.refunds, queries.refunds(order, &first_page(10)).await?);
    assert_eq!(
        trail.events.iter().map(|event| (event.order_id, event.sequence)).collect::<Vec<_>>(),
        [(order, 2), (order, 1)]
    );
    assert_eq!(trail.movements.iter().map(|movement| movement.quantity).collect::<Vec<_>>(), [2, -2]);
    assert_eq!(trail.entries.iter().map(|entry| entry.amount).collect::<Vec<_>>(), [won(200), won(-200)]);
    assert!(trail.entries.iter().all(|entry| entry.order_id == Some(order)));
    let short = queries.trail(order, 1).await?.value.expect("an order");
    assert_eq!((&short.events[..], &short.movements[..]), (&trail.events[..1], &trail.movements[..1]));
    assert_eq!((&short.entries[..], &short.refunds[..]), (&trail.entries[..1], &trail.refunds[..1]));
    assert_eq!(queries.trail(Uuid::max().into(), 1).await?.value, None);
    Ok(())
}

/// Payments and refunds in quarters of the past, and of now.
async fn sell(harness: &dyn StoreHarness, now: Timestamp) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [first, second, third] = seeds.orders().await?;
    let quarter = quarter_of(now);
    let at = |minutes: i64| quarter.saturating_sub(Duration::minutes(minutes));
    let payment = |number, order, at| Payment {
        id: uuid_at(at, number).into(),
        paid_at: at,
        total: won(100),
        amount: won(100),
        ..samples::payment(&seeds, order)
    };
    let refund = |number, order: &Order, sequence, at| Refund {
        id: uuid_at(at, number).into(),
        amount: won(10),
        ..samples::refund(&seeds, order, sequence, at)
    };
    let payments = [
        payment(1, &first, at(60 * 24 * 40)),
        payment(2, &second, at(60).saturating_add(Duration::microseconds(-1))),
        payment(3, &third, now),
    ];
    commit(harness, append(payments)).await?;
    let refunds = [refund(4, &first, 1, at(60)), refund(5, &first, 2, at(60)), refund(6, &second, 1, now)];
    commit(harness, append(refunds)).await
}

/// The sums of all payments and refunds, read past the ports.
async fn recounted(harness: &dyn StoreHarness) -> QuarterHours {
    let mut quarters = QuarterHours::default();
    for payment in harness.payments().await {
        quarters.add(payment.paid_at, SalesTotals::of_payment(payment.amount));
    }
    for refund in harness.refunds().await {
        quarters.add(refund.at, SalesTotals::of_refund(refund.amount, refund.sequence == 1));
    }
    quarters
}

async fn count_to_the_end(counter: &mut Counter, harness: &dyn StoreHarness) -> Result<u32, StoreError> {
    let mut rows = 0;
    loop {
        match counter.step(&*harness.statistics_count()).await? {
            Step::Advanced { changed } => rows += changed,
            Step::Current { changed } => return Ok(rows + changed),
            Step::Leased => panic!("another counter has the lease"),
        }
    }
}

async fn all_statistics(harness: &dyn StoreHarness) -> Result<Statistics, StoreError> {
    harness.queries().statistics.statistics(Timestamp::MIN, Timestamp::MAX).await
}

/// The counted quarters equal a recount: at first, after more payments, and after a start over. Final quarters are
/// counted once.
pub async fn the_statistics_equal_a_recount(harness: &dyn StoreHarness) -> TestResult {
    let now = harness.queries().clock.now().await?;
    let mut counter = Counter::new(Uuid::from_u128(1));
    assert_eq!(count_to_the_end(&mut counter, harness).await?, 0, "an empty shop");
    assert_eq!(all_statistics(harness).await?.quarters, []);
    counter.start_over(&*harness.statistics_count()).await?;

    sell(harness, now).await?;
    assert_eq!(count_to_the_end(&mut counter, harness).await?, 4, "quarters with payments or refunds");
    let statistics = all_statistics(harness).await?;
    assert_eq!(statistics.quarters, recounted(harness).await.iter().collect::<Vec<_>>());
    let CountProgress { final_to, complete_to } = statistics.progress;
    assert!(final_to <= now.saturating_sub(FINAL_AFTER).saturating_add(Duration::minutes(1)), "{final_to:?}");
    assert!(final_to < complete_to && complete_to < harness.queries().clock.now().await?, "{complete_to:?}");
    assert_eq!(count_to_the_end(&mut counter, harness).await?, 0);

    let range = (statistics.quarters[1].starts_at, statistics.quarters[3].starts_at);
    let within = harness.queries().statistics.statistics(range.0, range.1).await?.quarters;
    assert_eq!(within, statistics.quarters[1..3], "the end is excluded");

    counter.start_over(&*harness.statistics_count()).await?;
    assert_eq!(all_statistics(harness).await?.quarters, statistics.quarters, "they stay readable");
    assert_eq!(count_to_the_end(&mut counter, harness).await?, 0);
    assert_eq!(all_statistics(harness).await?.quarters, statistics.quarters);
    Ok(())
}

/// Rows are listed in order of id, between two ids.
pub async fn counted_rows_are_in_order_of_id(harness: &dyn StoreHarness) -> TestResult {
    let now = harness.queries().clock.now().await?;
    sell(harness, now).await?;
    let count = harness.statistics_count();
    let all = count.rows(CountedTable::Payments, Uuid::nil(), Uuid::max(), 10).await?;
    assert!(all.len() == 3 && all.is_sorted_by(|a, b| a.id < b.id), "{all:?}");
    assert!(all.iter().all(|row| (row.amount, row.sequence) == (won(100), 1)));
    assert_eq!(count.rows(CountedTable::Payments, Uuid::nil(), Uuid::max(), 2).await?, all[..2]);
    assert_eq!(count.rows(CountedTable::Payments, all[0].id, all[2].id, 10).await?, all[1..2]);
    let refunds = count.rows(CountedTable::Refunds, Uuid::nil(), Uuid::max(), 10).await?;
    assert_eq!(
        refunds.iter().map(|row| (row.amount, row.sequence)).collect::<Vec<_>>(),
        [(won(10), 1), (won(10), 2), (won(10), 1)]
    );
    Ok(())
}

/// One counter has the lease. A counter that lost it writes nothing.
pub async fn one_counter_counts_at_a_time(harness: &dyn StoreHarness) -> TestResult {
    let count = harness.statistics_count();
    let [first, second] = [1, 2].map(Uuid::from_u128);
    let lease = count.lease(first).await?.expect("a free lease");
    assert_eq!(count.lease(second).await?, None);
    assert_eq!(count.lease(first).await?.map(|lease| lease.progress), Some(lease.progress));
    count.start_over(second).await?;
    assert_eq!(count.lease(first).await?, None);
    let quarters = |amount| {
        let mut quarters = QuarterHours::default();
        quarters.add(lease.now, SalesTotals::of_payment(won(amount)));
        quarters
    };
    let progress = CountProgress { final_to: lease.now, complete_to: lease.now };
    let replace =
        async |holder, amount| count.replace(holder, Timestamp::MIN, Timestamp::MAX, &quarters(amount), progress).await;
    assert_eq!(replace(first, 1).await?, None);
    assert_eq!(all_statistics(harness).await?, Statistics { quarters: vec![], progress: CountProgress::default() });
    assert_eq!(
        [replace(second, 2).await?, replace(second, 2).await?, replace(second, 3).await?],
        [Some(1), Some(0), Some(1)]
    );
    let stored = Statistics { quarters: quarters(3).iter().collect(), progress };
    assert_eq!(all_statistics(harness).await?, stored);
    let none = QuarterHours::default();
    assert_eq!(count.replace(second, lease.now, lease.now, &none, progress).await?, Some(0), "an empty period");
    assert_eq!(count.replace(second, Timestamp::MIN, Timestamp::MAX, &none, progress).await?, Some(1));
    assert_eq!(all_statistics(harness).await?.quarters, []);
    Ok(())
}

/// The numbers of the overview are those of the rows.
pub async fn the_overview_counts_open_rows(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::new(harness.factory());
    let limits = OverviewLimits { nearly_sold_out: 10, campaigns: 2, events: 10 };
    let overview = async || harness.queries().overview.overview(limits).await;
    let empty = overview().await?;
    assert_eq!((empty.open_orders, empty.open_quantity, empty.sold_out, empty.pending_events), (0, 0, 0, 0));

    let [lamp, _, _] = [shop.lamp(100, 50).await?, shop.lamp(100, 10).await?, shop.lamp(100, 11).await?];
    shop.lamp(100, 0).await?;
    let hidden = ProductDetails { status: ProductStatus::Hidden, ..product_details("hidden", 1) };
    shop.product(hidden, 0).await?;
    let kim = shop.user("kim", 10_000).await?;
    let paid = shop.order(&kim, &[(lamp, 2)]).await?;
    shop.pay(paid, &kim, CouponChoice::None).await?.expect("a payment");
    for quantity in [3, 4] {
        shop.order(&kim, &[(lamp, quantity)]).await?;
    }
    let scarce = shop.campaign(campaign_details(fixed(1), 1)).await?;
    shop.campaign(campaign_details(fixed(1), 9)).await?;
    shop.coupon(scarce, &kim).await?;
    let counted = overview().await?;
    assert_eq!((counted.open_orders, counted.open_quantity), (2, 7));
    assert_eq!((counted.sold_out, counted.nearly_sold_out), (1, 1));
    assert_eq!(counted.campaigns_running_out.iter().map(|campaign| campaign.id).collect::<Vec<_>>(), [scarce]);
    assert_eq!((counted.pending_events, counted.dead_events), (1, 0));

    let lease = Uuid::from_u128(1);
    let claimed = harness.event_queue().claim(lease, std::time::Duration::from_secs(60), 1).await?;
    let outcome = DeliveryOutcome::Dead { reason: "HTTP 410".to_owned().into() };
    harness.event_queue().record(&[AttemptOutcome { event_id: claimed[0].delivery.event_id, lease, outcome }]).await?;
    let counted = overview().await?;
    assert_eq!((counted.pending_events, counted.dead_events), (0, 1));
    let none = harness.queries().overview.overview(OverviewLimits { events: 0, ..limits }).await?;
    assert_eq!((none.pending_events, none.dead_events), (0, 0), "no more are counted than the limit");
    Ok(())
}

fn run_id(number: u128) -> VerificationId {
    Uuid::from_u128(number).into()
}

#[track_caller]
fn started(begun: Begun) -> VerificationRun {
    match begun {
        Begun::Started(run) => run,
        other => panic!("a started run is expected, not {other:?}"),
    }
}

/// One verification runs at a time; its row has its progress and its end.
pub async fn one_verification_runs_at_a_time(harness: &dyn StoreHarness) -> TestResult {
    let runs = harness.verification_runs();
    let key = RequestKey([7; 16]);
    let run = started(runs.begin(run_id(1), Some(key), "a").await?);
    assert_eq!((run.id, run.status, run.server.as_str(), run.finished_at), (run_id(1), RunStatus::Running, "a", None));
    assert_eq!(runs.find(run.id).await?, Some(run.clone()));
    assert_eq!(runs.begin(run_id(2), None, "b").await?, Begun::Running(run.id));
    assert_eq!(runs.begin(run_id(2), Some(key), "b").await?, Begun::Repeated(run.clone()));

    let progress = |step, violations, findings: &str| RunProgress { step, violations, findings: findings.to_owned() };
    assert!(runs.record(run.id, &progress(3, 1, "[{\"kind\":\"order\"}]")).await?);
    let stored = runs.find(run.id).await?.expect("a run");
    assert_eq!((stored.status, stored.step, stored.violations), (RunStatus::Running, 3, 1));
    assert_eq!(stored.findings, "[{\"kind\":\"order\"}]");
    assert!(runs.end(run.id, &progress(7, 2, "[]"), &RunEnd::Violated).await?);
    let ended = runs.find(run.id).await?.expect("a run");
    assert_eq!((ended.status, ended.step, ended.violations), (RunStatus::Violated, 7, 2));
    assert!(ended.finished_at >= Some(ended.started_at));
    assert!(!runs.end(run.id, &progress(1, 0, "[]"), &RunEnd::Passed).await?, "it is over");
    assert!(!runs.record(run.id, &progress(1, 0, "[]")).await?);
    assert_eq!(runs.begin(run_id(2), Some(key), "b").await?, Begun::Repeated(ended.clone()));

    let ends = [RunEnd::Passed, RunEnd::Failed { error: "é".repeat(600) }, RunEnd::Interrupted];
    for (number, end) in (2..).zip(ends) {
        let run = started(runs.begin(run_id(number), None, "b").await?);
        assert!(runs.end(run.id, &progress(1, 0, "[]"), &end).await?);
        assert_eq!(runs.find(run.id).await?.map(|run| run.status), Some(end.status()));
    }
    for limit in [1, 3, 100] {
        let read = async |page: Page<VerificationId>| runs.list(&page).await;
        let listed = walk(limit, |run: &VerificationRun| run.id, read).await?;
        assert_eq!(listed.iter().map(|run| run.id).collect::<Vec<_>>(), [4, 3, 2, 1].map(run_id));
        assert!(listed.iter().all(|run| run.findings.is_empty()));
    }
    assert_eq!(runs.find(run_id(9)).await?, None);
    assert_eq!(harness.pruning().prune(PruneTarget::Verifications, Duration::days(90), 10).await?, 0);
    assert_eq!(harness.pruning().prune(PruneTarget::Verifications, Duration::ZERO, 3).await?, 3);
    assert_eq!(runs.list(&first_page(10)).await?.len(), 1);
    Ok(())
}

/// Of servers that begin at the same time, one runs.
pub async fn of_concurrent_beginnings_one_runs(harness: &dyn StoreHarness) -> TestResult {
    let runs = harness.verification_runs();
    let [a, b, c, d] = [1, 2, 3, 4].map(|number| runs.begin(run_id(number), None, "a server"));
    let (a, b, c, d) = futures_util::future::try_join4(a, b, c, d).await?;
    let begun = [a, b, c, d];
    let first = begun.iter().find_map(|begun| match begun {
        Begun::Started(run) => Some(run.id),
        Begun::Repeated(_) | Begun::Running(_) => None,
    });
    let first = first.expect("one runs");
    let running = begun.iter().filter(|begun| **begun == Begun::Running(first)).count();
    assert_eq!(running, 3, "{begun:?}");
    Ok(())
}
