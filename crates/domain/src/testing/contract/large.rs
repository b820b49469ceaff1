use std::collections::BTreeSet;

use time::Duration;

use crate::coupon::{Coupon, CouponCampaign, CouponState};
use crate::id::{OrderId, ProductId};
use crate::idempotency::{Fingerprint, IdempotencyKey, IdempotencyRecord, RequestKey};
use crate::money::Money;
use crate::order::OrderStatus;
use crate::outbox::OutboxEvent;
use crate::payment::Payment;
use crate::point::{EntryKind, PointAccount, PointEntry};
use crate::product::{Product, ProductDetails};
use crate::sales::SaleCounted;
use crate::stock::{MovementKind, Stock, StockMovement};
use crate::store_error::StoreError;
use crate::testing::contract::harness::{Seeds, StoreHarness, look, set, write};
use crate::testing::fixtures::{
    NOON, campaign_details, fixed, options, order_line, pending_order, product_details, text, user, won, won_currency,
};
use crate::testing::samples;
use crate::time::Date;

/// More rows than one statement of any database takes parameters.
const ROWS: u32 = 10_000;

const DAY: Date = time::macros::date!(2030 - 01 - 01);

/// Accounts and ledger entries.
pub async fn thousands_of_accounts_fit_one_unit_of_work(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let users: Vec<_> = (0..ROWS).map(|n| user(&format!("user-{n:05}"))).collect();
    let ids = set(users.iter().cloned());
    let account = |(n, user_id)| PointAccount { balance: won(n), entries: 1, ..PointAccount::empty(user_id) };
    let accounts: Vec<_> = (0..).zip(users).map(account).collect();
    let entry = |account: &PointAccount| PointEntry {
        id: seeds.id(),
        user_id: account.user_id.clone(),
        sequence: 1,
        kind: EntryKind::TopUp,
        amount: account.balance,
        balance_after: account.balance,
        order_id: None,
        at: NOON,
        hash: [1; 32],
    };
    let entries: Vec<_> = accounts.iter().map(entry).collect();
    write(harness, async |unit| {
        unit.points().ensure_many(&ids).await?;
        assert_eq!(unit.points().lock_many(&ids).await?.len(), ids.len());
        unit.points().save_many(&accounts).await?;
        unit.points().append_entries(&entries).await
    })
    .await?;
    assert_eq!(look(harness, async |unit| unit.points().lock_many(&ids).await).await?, accounts);
    let last = entries.last().expect("there are entries");
    let page = crate::page::Page { after: None, limit: 1 };
    let stored = harness.queries().points.entries(&last.user_id, &page).await?;
    assert_eq!(stored, std::slice::from_ref(last));
    Ok(())
}

fn products(seeds: &Seeds<'_>) -> Vec<Product> {
    let details = ProductDetails { options: options(&[("color", "red")]), ..product_details("lamp", 1_000) };
    (0..ROWS).map(|_| Product::create(seeds.id(), details.clone(), NOON)).collect()
}

fn ids_of(products: &[Product]) -> BTreeSet<ProductId> {
    set(products.iter().map(|product| product.id))
}

/// Products with options, stocks and movements, and the day's sales.
pub async fn thousands_of_products_fit_one_unit_of_work(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let made = products(&seeds);
    let ids = ids_of(&made);
    let stock = |(available, product): (u32, &Product)| Stock { product_id: product.id, available, movements: 1 };
    let stocks: Vec<_> = (0..).zip(&made).map(stock).collect();
    let movement = |stock: &Stock| StockMovement {
        id: seeds.id(),
        product_id: stock.product_id,
        sequence: 1,
        quantity: i64::from(stock.available),
        available_after: stock.available,
        kind: MovementKind::Adjustment,
        order_id: None,
        reason: Some(text("delivery")),
        at: NOON,
    };
    let movements: Vec<_> = stocks.iter().map(movement).collect();
    let sale = |product: &Product| SaleCounted { day: DAY, product_id: product.id, quantity: 1, revenue: won(1) };
    let sales: Vec<_> = made.iter().map(sale).collect();
    let changed: Vec<_> = made
        .iter()
        .map(|product| {
            product.change(ProductDetails { options: options(&[("size", "L")]), ..product.details.clone() }, NOON)
        })
        .collect();
    write(harness, async |unit| {
        unit.products().insert_many(&made).await?;
        let empty: Vec<_> = made.iter().map(|product| Stock::empty(product.id)).collect();
        unit.stocks().insert_many(&empty).await
    })
    .await?;
    write(harness, async |unit| {
        assert_eq!(unit.products().lock_many(&ids).await?, made);
        unit.stocks().lock_many(&ids).await?;
        unit.products().save_many(&changed).await?;
        unit.stocks().save_many(&stocks).await?;
        unit.stocks().append_movements(&movements).await?;
        unit.sales().add_many(&sales).await?;
        unit.sales().add_many(&sales).await
    })
    .await?;
    look(harness, async |unit| {
        assert_eq!(unit.products().lock_many(&ids).await?, changed);
        assert_eq!(unit.stocks().lock_many(&ids).await?, stocks);
        Ok(())
    })
    .await?;
    let popular = harness.queries().sales.popular(DAY, DAY, 2 * ROWS).await?;
    assert!(popular.len() == made.len() && popular.iter().all(|sold| sold.quantity_sold == 2));
    let many: Vec<_> = ids.into_iter().collect();
    assert_eq!(harness.queries().products.find_many(&many).await?.len(), made.len());
    Ok(())
}

/// Coupons of one campaign.
pub async fn thousands_of_coupons_fit_one_unit_of_work(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let campaign = CouponCampaign::create(seeds.id(), campaign_details(fixed(1), ROWS), NOON);
    seeds.campaigns(std::slice::from_ref(&campaign)).await?;
    let coupon = |n| campaign.issue(&user(&format!("user-{n}")), false, seeds.id(), NOON).expect("an open campaign");
    let coupons: Vec<_> = (0..ROWS).map(coupon).collect();
    let ids = set(coupons.iter().map(|coupon| coupon.id));
    let past_recipients = set(coupons.iter().map(|coupon| (campaign.id, coupon.user_id.clone())));
    let owners = set(coupons.iter().map(|coupon| coupon.user_id.clone()));
    seeds.coupons(&coupons).await?;

    let revoked: Vec<_> =
        coupons.iter().map(|coupon| Coupon { state: CouponState::Revoked, ..coupon.clone() }).collect();
    write(harness, async |unit| {
        assert_eq!(unit.coupons().past_recipients(&past_recipients).await?, past_recipients);
        assert_eq!(unit.coupons().unused_of(&owners).await?, ids);
        assert_eq!(unit.coupons().lock_many(&ids).await?, coupons);
        unit.coupons().save_many(&revoked).await
    })
    .await?;
    assert_eq!(look(harness, async |unit| unit.coupons().lock_many(&ids).await).await?, revoked);
    Ok(())
}

/// Orders with lines, their payments and events.
pub async fn thousands_of_orders_fit_one_unit_of_work(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let [a, b] = seeds.lamps().await?;
    let lines = || vec![order_line(b, 2, 1_000), order_line(a, 1, 500)];
    let mut orders: Vec<_> = (0..ROWS).map(|_| pending_order(seeds.id(), &owner, lines(), NOON)).collect();
    let ids: BTreeSet<OrderId> = set(orders.iter().map(|order| order.id));
    write(harness, async |unit| unit.orders().insert_many(&orders).await).await?;

    for (n, order) in (1..).zip(&mut orders) {
        order.status = OrderStatus::Cancelled;
        order.refunds = n;
        order.lines[0].discount_share = won(i64::from(n % 2_000)); // A share is at most its line.
    }
    let payment = |order_id: &OrderId| Payment {
        id: seeds.id(),
        order_id: *order_id,
        user_id: owner.clone(),
        total: won(2_500),
        discount: Money::ZERO,
        amount: won(2_500),
        coupon_id: None,
        balance_after: Money::ZERO,
        paid_at: NOON.saturating_add(Duration::seconds(1)),
        sales_day: DAY,
    };
    let payments: Vec<_> = ids.iter().map(payment).collect();
    let event = |(order, payment)| OutboxEvent::order_paid(seeds.id(), order, payment, won_currency());
    let events: Vec<_> = orders.iter().zip(&payments).map(event).collect();
    write(harness, async |unit| {
        assert_eq!(unit.orders().lock_many(&ids).await?.len(), orders.len());
        unit.orders().save_many(&orders).await?;
        unit.orders().save_lines(&orders).await?;
        unit.payments().insert_many(&payments).await?;
        unit.outbox().append_many(&events).await
    })
    .await?;
    assert_eq!(look(harness, async |unit| unit.orders().lock_many(&ids).await).await?, orders);
    assert_eq!(harness.payments().await.len(), payments.len());
    assert_eq!(harness.outbox_events().await.len(), events.len());
    Ok(())
}

/// Answered requests.
pub async fn thousands_of_records_fit_one_unit_of_work(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let outcome = samples::outcomes(&Seeds::new(harness).ids).swap_remove(0);
    let record = |n: u32| {
        let claim = IdempotencyKey { key: RequestKey(u128::from(n).to_be_bytes()), fingerprint: Fingerprint([1; 16]) };
        IdempotencyRecord { claim, outcome: outcome.clone(), tag: None, at: NOON }
    };
    let records: Vec<_> = (0..ROWS).map(record).collect();
    write(harness, async |unit| unit.idempotency().insert_many(&records).await).await?;
    let keys = set(records.iter().map(|record| record.claim.key));
    let mut found = look(harness, async |unit| unit.idempotency().find_many(&keys).await).await?;
    found.sort_by_key(|record| record.claim.key);
    assert_eq!(found, records);
    Ok(())
}
