use time::Month;

use crate::coupon::{CouponCampaign, CouponState};
use crate::id::ProductId;
use crate::money::Money;
use crate::order::{Order, RefundedLine};
use crate::outbox::OutboxEvent;
use crate::payment::{Payment, Refund};
use crate::product::{ProductDetails, ProductStatus};
use crate::sales::{PopularProduct, SaleCounted};
use crate::store_error::StoreError;
use crate::testing::contract::harness::{Seeds, StoreHarness, StoredEvent, assert_conflict, date, wide, write};
use crate::testing::fixtures::{
    NOON, campaign_details, fixed, noon_plus, order_line, pending_order, product_details, text, won, won_currency,
};
use crate::time::{Date, Timestamp};

/// Orders of one user, of two products.
pub(super) async fn orders<const N: usize>(seeds: &Seeds<'_>) -> Result<[Order; N], StoreError> {
    let [owner] = seeds.users(["owner"]).await?;
    let [a, b] = seeds.lamps().await?;
    let orders =
        [(); N].map(|()| pending_order(seeds.id(), &owner, vec![order_line(b, 2, 1_000), order_line(a, 1, 500)], NOON));
    seeds.orders(&orders).await?;
    Ok(orders)
}

pub(super) fn payment(seeds: &Seeds<'_>, order: &Order) -> Payment {
    Payment {
        id: seeds.id(),
        order_id: order.id,
        user_id: order.user_id.clone(),
        total: order.total,
        discount: Money::ZERO,
        amount: order.total,
        coupon_id: None,
        balance_after: Money::ZERO,
        paid_at: noon_plus(1),
        sales_day: date(2030, Month::January, 1),
    }
}

/// Every field of a payment is stored.
pub async fn payments_keep_every_field(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [a, b] = orders(&seeds).await?;
    let campaign = CouponCampaign::create(seeds.id(), campaign_details(fixed(1_000), 1), NOON);
    seeds.campaigns(std::slice::from_ref(&campaign)).await?;
    let coupon = campaign.issue(&a.user_id, false, seeds.id(), NOON).expect("an open campaign");
    assert_eq!(coupon.state, CouponState::Unused);
    seeds.coupons(std::slice::from_ref(&coupon)).await?;

    let payments = [
        Payment {
            discount: won(1_000),
            amount: won(1_500),
            coupon_id: Some(coupon.id),
            balance_after: Money::MAX,
            paid_at: Timestamp::MAX,
            sales_day: date(9999, Month::December, 31),
            ..payment(&seeds, &a)
        },
        Payment {
            paid_at: Timestamp::MIN,
            balance_after: Money::from_ten_thousandths(1).expect("in range"),
            sales_day: date(1970, Month::January, 1),
            ..payment(&seeds, &b)
        },
    ];
    write(harness, async |unit| unit.payments().insert_many(&payments).await).await?;
    let mut stored = harness.payments().await;
    stored.sort_by_key(|payment| payment.id);
    assert_eq!(stored, payments);
    Ok(())
}

/// Every field of a refund and of its lines is stored.
pub async fn refunds_keep_every_field(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [order, other] = orders(&seeds).await?;
    let lines = |quantity, amount| {
        let line = |product_id| RefundedLine { product_id, quantity, amount };
        order.lines.iter().map(|order_line| line(order_line.product_id)).collect::<Vec<_>>()
    };
    let refund = |order: &Order, sequence, restocked, reason, lines, at| Refund {
        id: seeds.id(),
        order_id: order.id,
        sequence,
        amount: won(2),
        restocked,
        reason,
        lines,
        at,
    };
    let smallest = Money::from_ten_thousandths(1).expect("in range");
    let refunds = [
        refund(&order, 1, true, text(&wide(200)), lines(1, smallest), Timestamp::MIN),
        refund(&order, 2, false, text("cancellation"), lines(1_000, won(1))[..1].to_vec(), Timestamp::MAX),
        refund(&other, 1, true, text("cancellation"), lines(1, Money::ZERO), NOON),
    ];
    write(harness, async |unit| unit.payments().insert_refunds(&refunds).await).await?;
    let mut stored = harness.refunds().await;
    stored.sort_by_key(|refund| refund.id);
    for refund in &mut stored {
        refund.lines.sort_by_key(|line| order.lines.iter().position(|of| of.product_id == line.product_id));
    }
    assert_eq!(stored, refunds);
    Ok(())
}

/// An order is paid once.
pub async fn a_second_payment_of_an_order_is_a_conflict(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [order] = orders(&seeds).await?;
    let first = payment(&seeds, &order);
    write(harness, async |unit| unit.payments().insert_many(std::slice::from_ref(&first)).await).await?;
    let second = [payment(&seeds, &order)];
    assert_conflict(write(harness, async |unit| unit.payments().insert_many(&second).await).await);
    assert_eq!(harness.payments().await, [first]);
    Ok(())
}

/// Each event is stored with its place, and a place is taken once.
pub async fn events_are_stored_once_and_in_order_of_each_order(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [a, b] = orders(&seeds).await?;
    let won = won_currency();
    let paid = |order: &Order| OutboxEvent::order_paid(seeds.id(), order, &payment(&seeds, order), won);
    let refund = Refund {
        id: seeds.id(),
        order_id: a.id,
        sequence: 1,
        amount: Money::ZERO,
        restocked: true,
        reason: text(&wide(10)),
        lines: vec![],
        at: Timestamp::MAX,
    };
    let events = [paid(&a), OutboxEvent::order_refunded(seeds.id(), &a, &refund, won), paid(&b)];
    write(harness, async |unit| unit.outbox().append_many(&events).await).await?;

    let again = [paid(&a)];
    assert_conflict(write(harness, async |unit| unit.outbox().append_many(&again).await).await);
    let mut stored = harness.outbox_events().await;
    stored.sort();
    let expected = events.each_ref().map(StoredEvent::from);
    assert_eq!(stored, expected);
    Ok(())
}

const fn sale(day: Date, product_id: ProductId, quantity: i64, revenue: Money) -> SaleCounted {
    SaleCounted { day, product_id, quantity, revenue }
}

fn ten_thousandths(amount: i64) -> Money {
    Money::from_ten_thousandths(amount).expect("in range")
}

async fn add(harness: &dyn StoreHarness, sales: &[SaleCounted]) -> Result<(), StoreError> {
    let mut sales = sales.to_vec();
    sales.sort_by_key(|sale| (sale.day, sale.product_id));
    write(harness, async |unit| unit.sales().add_many(&sales).await).await
}

/// Sales are added to what the rows hold, exactly, down to 1/10,000 and below zero.
pub async fn sales_add_up_exactly(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let [a, b] = Seeds::new(harness).lamps().await?;
    let [first, second] = [date(2030, Month::January, 1), date(2030, Month::January, 2)];
    // Digits that a double cannot hold.
    let huge = ten_thousandths(Money::MAX.ten_thousandths() - 7);
    add(harness, &[sale(first, a, 5, huge), sale(first, b, i64::from(u32::MAX), ten_thousandths(3))]).await?;
    add(harness, &[sale(first, a, -2, ten_thousandths(-123_456_789_012_345_678)), sale(second, a, 4, won(1))]).await?;
    add(harness, &[sale(first, a, 1, ten_thousandths(1)), sale(first, b, 1, ten_thousandths(-2))]).await?;

    let sold = |product_id, quantity_sold, revenue| PopularProduct { product_id, quantity_sold, revenue };
    let revenue = ten_thousandths(huge.ten_thousandths() - 123_456_789_012_345_678 + 1);
    let of_b = sold(b, i64::from(u32::MAX) + 1, ten_thousandths(1));
    let queries = harness.queries().sales;
    assert_eq!(queries.popular(first, first, 100).await?, [of_b.clone(), sold(a, 4, revenue)]);
    assert_eq!(queries.popular(second, second, 100).await?, [sold(a, 4, won(1))]);
    let both = revenue.checked_add(won(1)).expect("in range");
    assert_eq!(queries.popular(first, second, 100).await?, [of_b, sold(a, 8, both)]);
    Ok(())
}

/// Most pieces first; ties go to the higher revenue, then to the older product; only products on sale that sold.
pub async fn popular_products_are_ranked_with_ties(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let on_sale = || (product_details("lamp", 1_000), 0);
    let hidden = (ProductDetails { status: ProductStatus::Hidden, ..product_details("lamp", 1_000) }, 9);
    let products = [on_sale(), on_sale(), on_sale(), on_sale(), on_sale(), hidden, on_sale()];
    let products = Seeds::new(harness).products(products).await?;
    let [older, younger, richer, most, refunded, hidden, early] = products.map(|product| product.id);
    let [yesterday, today] = [date(2030, Month::January, 1), date(2030, Month::January, 2)];
    add(
        harness,
        &[
            sale(yesterday, early, 99, won(99)),
            sale(today, younger, 3, won(30)),
            sale(today, older, 3, won(30)),
            sale(today, richer, 3, won(31)),
            sale(today, most, 4, won(1)),
            sale(today, hidden, 50, won(50)),
            sale(today, refunded, 2, won(2)),
        ],
    )
    .await?;
    add(harness, &[sale(today, refunded, -2, won(-2))]).await?;

    let ranking = async |from, to, limit| -> Result<Vec<ProductId>, StoreError> {
        let popular = harness.queries().sales.popular(from, to, limit).await?;
        Ok(popular.into_iter().map(|popular| popular.product_id).collect())
    };
    assert_eq!(ranking(today, today, 100).await?, [most, richer, older, younger]);
    assert_eq!(ranking(today, today, 2).await?, [most, richer]);
    assert_eq!(ranking(yesterday, today, 1).await?, [early]);
    assert_eq!(ranking(yesterday, yesterday, 100).await?, [early]);
    Ok(())
}
