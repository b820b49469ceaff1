use jangteo_domain::coupon::CouponFilter;
use jangteo_domain::order::OrderFilter;
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::batch_id;
use jangteo_domain::transaction::LockSet;

use crate::contract::commits::Everything;
use crate::contract::harness::{Seeds, StoreHarness, TestResult, answer, append, begin, commit, first_page};
use crate::contract::samples::DAY;

/// The names of the rows visible to queries and harness.
async fn visible(everything: &Everything, harness: &dyn StoreHarness) -> Result<Vec<&'static str>, StoreError> {
    let Everything { user_id, order, product, campaign_id, .. } = everything;
    let queries = harness.queries();
    let coupons = queries.coupons.coupons(user_id, CouponFilter::All, &first_page(9)).await?.value;
    let of_user = OrderFilter::of_user(user_id);
    let visible = [
        ("account", queries.points.account(user_id).await?.is_some()),
        ("entry", !queries.points.entries(user_id, &first_page(9)).await?.is_empty()),
        ("product", queries.products.find(product.id).await?.is_some()),
        ("stock", queries.stocks.available(&[product.id].into()).await?.len() == 1),
        ("movement", !queries.stocks.movements(product.id, &first_page(9)).await?.is_empty()),
        ("campaign", queries.coupons.campaign(*campaign_id).await?.is_some()),
        ("coupon", !coupons.is_empty()),
        ("order", queries.orders.find(order.id).await?.value.is_some()),
        ("orders", !queries.orders.list(&of_user, &first_page(9)).await?.value.is_empty()),
        ("sales", !queries.sales.popular(DAY, DAY, 9).await?.is_empty()),
        ("delivery", !queries.deliveries.list(None, &first_page(9)).await?.is_empty()),
        ("audit", !queries.audit.list(&Default::default(), &first_page(9)).await?.is_empty()),
        ("revocation", !queries.revocations.all().await?.is_empty()),
        ("payment", !harness.payments().await.is_empty()),
        ("refund", !harness.refunds().await.is_empty()),
        ("event", !harness.outbox_events().await.is_empty()),
    ];
    Ok(visible.into_iter().filter(|(_, visible)| *visible).map(|(name, _)| name).collect())
}

/// Queries return all rows right after the commit, none before it or after a drop, and never wait.
pub async fn queries_see_committed_rows_only(harness: &dyn StoreHarness) -> TestResult {
    let everything = Everything::new(harness);
    let mut unit_of_work = begin(harness, batch_id()).await?;
    unit_of_work.lock(&LockSet::default()).await?;
    assert_eq!(visible(&everything, harness).await?, Vec::<&str>::new());
    drop(unit_of_work);
    assert_eq!(visible(&everything, harness).await?, Vec::<&str>::new());
    commit(harness, everything.changes.clone()).await?;
    let visible = visible(&everything, harness).await?;
    let expected = [
        "account",
        "entry",
        "product",
        "stock",
        "movement",
        "campaign",
        "coupon",
        "order",
        "orders",
        "sales",
        "delivery",
        "audit",
        "revocation",
        "payment",
        "refund",
        "event",
    ];
    assert_eq!(visible, expected);
    Ok(())
}

/// Units of work and queries share one clock, which does not go backwards.
pub async fn units_of_work_and_queries_have_one_clock(harness: &dyn StoreHarness) -> TestResult {
    let queries = harness.queries();
    let mut times = Vec::new();
    for number in 0..20 {
        times.push(queries.clock.now().await?);
        let mut unit_of_work = begin(harness, batch_id()).await?;
        times.push(unit_of_work.lock(&LockSet::default()).await?.now);
        unit_of_work.commit(append([answer(number)])).await?;
        times.push(queries.orders.find(Seeds::new(harness).id()).await?.now);
    }
    assert!(times.is_sorted(), "{times:?}");
    Ok(())
}
