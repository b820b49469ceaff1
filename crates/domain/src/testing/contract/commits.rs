use std::pin::pin;

use futures_util::future::{Either, join, select};

use crate::coupon::{CouponCampaign, CouponFilter};
use crate::id::{BatchId, CampaignId, CouponId, OrderId, ProductId, UserId};
use crate::outbox::OutboxEvent;
use crate::payment::Payment;
use crate::point::{EntryKind, PointAccount, PointEntry};
use crate::product::Product;
use crate::sales::SaleCounted;
use crate::stock::{MovementKind, Stock, StockMovement};
use crate::store_error::StoreError;
use crate::testing::batch_id;
use crate::testing::contract::harness::{
    Seeds, StoreHarness, account, assert_conflict, first_page, look, round_trips, set, write,
};
use crate::testing::fixtures::{
    NOON, campaign_details, fixed, order_line, pending_order, product_details, text, user, won, won_currency,
};
use crate::time::Date;
use crate::unit_of_work::UnitOfWork;

/// A row of every table that a query reads, in one unit of work.
struct Everything {
    user_id: UserId,
    product_id: ProductId,
    campaign_id: CampaignId,
    coupon_id: CouponId,
    order_id: OrderId,
}

impl Everything {
    async fn write(seeds: &Seeds<'_>, unit: &mut dyn UnitOfWork) -> Result<Self, StoreError> {
        let user_id = user("kim");
        let users = set([user_id.clone()]);
        unit.points().ensure_many(&users).await?;
        unit.points().lock_many(&users).await?;
        let account = PointAccount { balance: won(1), entries: 1, ..PointAccount::empty(user_id.clone()) };
        unit.points().save_many(&[account]).await?;

        let product = Product::create(seeds.id(), product_details("lamp", 1_000), NOON);
        unit.products().insert_many(std::slice::from_ref(&product)).await?;
        unit.stocks().insert_many(&[Stock { available: 5, ..Stock::empty(product.id) }]).await?;
        let campaign = CouponCampaign::create(seeds.id(), campaign_details(fixed(1), 1), NOON);
        unit.coupons().insert_campaigns(std::slice::from_ref(&campaign)).await?;
        let coupon = campaign.issue(&user_id, false, seeds.id(), NOON).expect("an open campaign");
        unit.coupons().insert_many(std::slice::from_ref(&coupon)).await?;
        let order = pending_order(seeds.id(), &user_id, vec![order_line(product.id, 1, 1_000)], NOON);
        unit.orders().insert_many(std::slice::from_ref(&order)).await?;

        let entry = PointEntry {
            id: seeds.id(),
            user_id: user_id.clone(),
            sequence: 1,
            kind: EntryKind::TopUp,
            amount: won(1),
            balance_after: won(1),
            order_id: None,
            at: NOON,
            hash: [0; 32],
        };
        unit.points().append_entries(&[entry]).await?;
        let movement = StockMovement {
            id: seeds.id(),
            product_id: product.id,
            sequence: 1,
            quantity: 5,
            available_after: 5,
            kind: MovementKind::Adjustment,
            order_id: None,
            reason: Some(text("delivery")),
            at: NOON,
        };
        unit.stocks().append_movements(&[movement]).await?;
        let payment = Payment {
            id: seeds.id(),
            order_id: order.id,
            user_id: user_id.clone(),
            total: order.total,
            discount: won(0),
            amount: order.total,
            coupon_id: None,
            balance_after: won(1),
            paid_at: NOON,
            sales_day: DAY,
        };
        unit.payments().insert_many(std::slice::from_ref(&payment)).await?;
        let sale = SaleCounted { day: DAY, product_id: product.id, quantity: 1, revenue: won(1) };
        unit.sales().add_many(&[sale]).await?;
        let event = OutboxEvent::order_paid(seeds.id(), &order, &payment, won_currency());
        unit.outbox().append_many(&[event]).await?;
        Ok(Self { user_id, product_id: product.id, campaign_id: campaign.id, coupon_id: coupon.id, order_id: order.id })
    }

    /// Which of the rows the queries see, each by its name.
    async fn seen(&self, harness: &dyn StoreHarness) -> Result<Vec<&'static str>, StoreError> {
        let queries = harness.queries();
        let [entries, movements] = [first_page(9), first_page(9)];
        let coupons = queries.coupons.coupons(&self.user_id, CouponFilter::All, &first_page(9)).await?.value;
        let seen = [
            ("account", queries.points.account(&self.user_id).await?.is_some()),
            ("entry", !queries.points.entries(&self.user_id, &entries).await?.is_empty()),
            ("product", queries.products.find(self.product_id).await?.is_some()),
            ("movement", !queries.stocks.movements(self.product_id, &movements).await?.is_empty()),
            ("campaign", queries.coupons.campaign(self.campaign_id).await?.is_some()),
            ("coupon", coupons.iter().any(|coupon| coupon.id == self.coupon_id)),
            ("order", queries.orders.find(self.order_id).await?.value.is_some()),
            ("due", queries.orders.due(9).await?.contains(&self.order_id)),
            ("sales", !queries.sales.popular(DAY, DAY, 9).await?.is_empty()),
            ("payment", !harness.payments().await.is_empty()),
            ("event", !harness.outbox_events().await.is_empty()),
        ];
        Ok(seen.into_iter().filter(|(_, seen)| *seen).map(|(name, _)| name).collect())
    }
}

const DAY: Date = time::macros::date!(2030 - 01 - 01);

/// What is not committed never was: queries, locks and a second try see an empty store.
pub async fn a_dropped_unit_of_work_keeps_nothing(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let everything = look(harness, async |unit| Everything::write(&Seeds::new(harness), unit).await).await?;
    assert_eq!(everything.seen(harness).await?, Vec::<&str>::new());
    // The same ids again: no row, lock or key of them is left.
    write(harness, async |unit| Everything::write(&Seeds::new(harness), unit).await).await?;
    Ok(())
}

/// After the commit every query sees every row at once.
pub async fn a_committed_unit_of_work_is_seen_by_all_queries(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let everything = write(harness, async |unit| Everything::write(&Seeds::new(harness), unit).await).await?;
    let mut seen = everything.seen(harness).await?;
    seen.retain(|name| *name != "due"); // Whether it is due depends on the database's time.
    let expected =
        ["account", "entry", "product", "movement", "campaign", "coupon", "order", "sales", "payment", "event"];
    assert_eq!(seen, expected);
    Ok(())
}

/// Before the commit no query sees any row, and none waits for it.
pub async fn queries_do_not_see_what_is_not_committed(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let mut unit_of_work = harness.factory().begin(batch_id()).await?;
    let everything = Everything::write(&Seeds::new(harness), &mut *unit_of_work).await?;
    assert_eq!(everything.seen(harness).await?, Vec::<&str>::new());
    unit_of_work.commit().await?;
    assert!(everything.seen(harness).await?.contains(&"order"));
    Ok(())
}

/// A marker is there if and only if its unit of work was committed.
pub async fn a_marker_tells_whether_a_unit_of_work_was_committed(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [committed, dropped, never] = [(); 3].map(|()| -> BatchId { seeds.id() });
    let factory = harness.factory();
    factory.begin(committed).await?.commit().await?;
    drop(factory.begin(dropped).await?);
    assert!(factory.committed(committed).await?);
    assert!(!factory.committed(dropped).await?);
    assert!(!factory.committed(never).await?);
    // The id of one that was dropped is free again, that of one that was committed is not.
    let again = async |id| factory.begin(id).await?.commit().await;
    again(dropped).await?;
    assert!(factory.committed(dropped).await?);
    assert_conflict(again(committed).await);
    Ok(())
}

/// Asked too early, the answer comes when it is known.
pub async fn asking_for_a_marker_waits_for_a_commit_under_way(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let id: BatchId = Seeds::new(harness).id();
    let factory = harness.factory();
    let mut unit_of_work = factory.begin(id).await?;
    let waiting = {
        let meanwhile = round_trips(&mut *unit_of_work);
        match select(factory.committed(id), pin!(meanwhile)).await {
            Either::Left((answer, _)) => panic!("nobody can know yet, but the answer is {answer:?}"),
            Either::Right((done, waiting)) => {
                done?;
                waiting
            }
        }
    };
    let (ended, committed) = join(unit_of_work.commit(), waiting).await;
    ended?;
    assert!(committed?);
    Ok(())
}

/// The clock of the units of work and that of the queries are one, and it goes forward.
pub async fn the_clock_does_not_go_backwards(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let queries = harness.queries();
    let mut times = Vec::new();
    for _ in 0..20 {
        times.push(queries.clock.now().await?);
        let mut unit_of_work = harness.factory().begin(batch_id()).await?;
        times.extend([unit_of_work.now().await?, unit_of_work.now().await?]);
        unit_of_work.commit().await?;
        times.push(queries.orders.find(Seeds::new(harness).id()).await?.now);
    }
    assert!(times.is_sorted(), "{times:?}");
    Ok(())
}

/// A broken connection is told, and nothing of the unit of work is kept; a new one works.
pub async fn a_connection_broken_before_commit_keeps_nothing(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [first, second] = [(); 2].map(|()| -> BatchId { seeds.id() });
    let mut unit_of_work = harness.factory().begin(first).await?;
    let everything = Everything::write(&Seeds::new(harness), &mut *unit_of_work).await?;
    if !harness.break_connections().await {
        return Ok(()); // A store without connections cannot lose one.
    }
    let error = unit_of_work.points().ensure_many(&set([user("lee")])).await;
    assert!(matches!(error, Err(StoreError::Unavailable(_))), "{error:?}");
    drop(unit_of_work);
    assert!(!patiently(async || harness.factory().committed(first).await).await?);
    assert_eq!(patiently(async || everything.seen(harness).await).await?, Vec::<&str>::new());

    let mut unit_of_work = patiently(async || harness.factory().begin(second).await).await?;
    let everything = Everything::write(&Seeds::new(harness), &mut *unit_of_work).await?;
    harness.break_connections().await;
    let error = unit_of_work.commit().await;
    assert!(matches!(error, Err(StoreError::Unavailable(_) | StoreError::CommitUnknown(_))), "{error:?}");
    assert!(!patiently(async || harness.factory().committed(second).await).await?);
    assert_eq!(patiently(async || everything.seen(harness).await).await?, Vec::<&str>::new());
    patiently(async || harness.factory().begin(second).await?.commit().await).await
}

/// Whenever the connection breaks, the marker says what is true, and a commit that answered says the same.
pub async fn a_marker_tells_the_truth_of_a_broken_commit(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    for round in 0..20 {
        let id: BatchId = seeds.id();
        let user_id = user(&format!("user-{round}"));
        let prepare = async || {
            let mut unit_of_work = harness.factory().begin(id).await?;
            unit_of_work.points().ensure_many(&set([user_id.clone()])).await?;
            Ok(unit_of_work)
        };
        let unit_of_work = patiently(prepare).await?;
        let (ended, broken) = join(unit_of_work.commit(), harness.break_connections()).await;
        let truth = patiently(async || harness.queries().points.account(&user_id).await).await?.is_some();
        let told = patiently(async || harness.factory().committed(id).await).await?;
        assert_eq!(told, truth, "round {round}: the commit ended with {ended:?}");
        match ended {
            Ok(()) => assert!(truth, "round {round}: a commit that succeeded is kept"),
            Err(StoreError::Unavailable(_)) => assert!(!truth, "round {round}: nothing of a failed commit is kept"),
            Err(StoreError::CommitUnknown(_)) => {}
            Err(error) => panic!("round {round}: a broken connection is no {error:?}"),
        }
        if !broken {
            return account(harness, &user_id).await.map(|_| ());
        }
    }
    Ok(())
}

/// Tries again while the connections that were broken are still being replaced.
async fn patiently<T>(work: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for _ in 0..20 {
        match work().await {
            Err(StoreError::Unavailable(_)) => {}
            done => return done,
        }
    }
    work().await
}
