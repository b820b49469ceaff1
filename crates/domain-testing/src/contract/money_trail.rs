use time::Month;

use jangteo_domain::coupon::CouponState;
use jangteo_domain::id::ProductId;
use jangteo_domain::money::Money;
use jangteo_domain::order::{Order, RefundedLine};
use jangteo_domain::outbox::OutboxEvent;
use jangteo_domain::payment::{Payment, Refund};
use jangteo_domain::product::{ProductDetails, ProductStatus};
use jangteo_domain::sales::{PopularProduct, SaleCounted};
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::fixtures::{NOON, product_details, text, won};
use jangteo_domain::time::{Date, Timestamp};

use crate::contract::harness::{
    Seeds, StoreHarness, TestResult, append, assert_conflict, commit, date, insert, ten_thousandths, walk, wide,
};
use crate::contract::samples;

/// Every field of a payment is stored.
pub async fn every_field_of_payments_is_stored(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [a, b] = seeds.orders().await?;
    let campaign = samples::seed_campaign(&seeds, 1).await?;
    let coupon = samples::coupon(&seeds, &campaign, &a.user_id, CouponState::Unused, Timestamp::MAX);
    commit(harness, insert([coupon.clone()])).await?;

    let payments = [
        Payment {
            discount: won(1_000),
            amount: won(1_500),
            coupon_id: Some(coupon.id),
            balance_after: Money::MAX,
            paid_at: Timestamp::MAX,
            sales_day: date(9999, Month::December, 31),
            ..samples::payment(&seeds, &a)
        },
        Payment {
            paid_at: Timestamp::MIN,
            balance_after: ten_thousandths(1),
            sales_day: date(1970, Month::January, 1),
            ..samples::payment(&seeds, &b)
        },
    ];
    commit(harness, append(payments.clone())).await?;
    let mut stored = harness.payments().await;
    stored.sort_by_key(|payment| payment.id);
    assert_eq!(stored, payments);
    Ok(())
}

/// Every field of a refund and of its lines is stored; an order's refunds are listed newest first.
pub async fn every_field_of_refunds_is_stored(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [order, other] = seeds.orders().await?;
    let lines = |quantity, amount| {
        let line = |product_id| RefundedLine { product_id, quantity, amount };
        order.lines.iter().map(|order_line| line(order_line.product_id)).collect::<Vec<_>>()
    };
    let refund = |order: &Order, sequence, restocked, reason, lines, at| Refund {
        amount: won(2),
        restocked,
        reason,
        lines,
        ..samples::refund(&seeds, order, sequence, at)
    };
    let smallest = ten_thousandths(1);
    let refunds = [
        refund(&order, 1, true, text(&wide(200)), lines(1, smallest), Timestamp::MIN),
        refund(&order, 2, false, text("cancellation"), lines(1_000, won(1))[..1].to_vec(), Timestamp::MAX),
        refund(&other, 1, true, text("cancellation"), lines(1, Money::ZERO), NOON),
    ];
    commit(harness, append(refunds.clone())).await?;
    let in_order = |mut refund: Refund| {
        refund.lines.sort_by_key(|line| order.lines.iter().position(|of| of.product_id == line.product_id));
        refund
    };
    let mut stored: Vec<_> = harness.refunds().await.into_iter().map(in_order).collect();
    stored.sort_by_key(|refund| refund.id);
    assert_eq!(stored, refunds);

    let queries = harness.queries().orders;
    let [first, second, of_other] = refunds;
    for (order_id, expected) in [(order.id, vec![second, first]), (other.id, vec![of_other]), (seeds.id(), vec![])] {
        for limit in [1, 100] {
            let read = async |page| queries.refunds(order_id, &page).await;
            let listed = walk(limit, |refund: &Refund| refund.sequence, read).await?;
            assert_eq!(listed.into_iter().map(in_order).collect::<Vec<_>>(), expected);
        }
    }
    Ok(())
}

/// An order has one payment; refunds and events have unique sequence numbers.
pub async fn a_duplicate_payment_refund_or_event_stores_nothing(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [order] = seeds.orders().await?;
    let payment = samples::payment(&seeds, &order);
    let refund = samples::refund(&seeds, &order, 1, NOON);
    let event = samples::paid_event(&seeds, &order, NOON);
    commit(harness, append([payment.clone()])).await?;
    commit(harness, append([refund.clone()])).await?;
    commit(harness, append([event.clone()])).await?;
    assert_conflict(commit(harness, append([samples::payment(&seeds, &order)])).await);
    assert_conflict(commit(harness, append([samples::refund(&seeds, &order, 1, NOON)])).await);
    assert_conflict(commit(harness, append([samples::paid_event(&seeds, &order, NOON)])).await);
    assert_eq!(harness.payments().await, [payment]);
    assert_eq!(harness.refunds().await, [refund]);
    assert_eq!(harness.outbox_events().await, [event]);
    Ok(())
}

/// Every field of an event is stored, the body to the byte.
pub async fn every_field_of_events_is_stored(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [a, b, c] = seeds.orders().await?;
    let mut events = [
        samples::paid_event(&seeds, &a, Timestamp::MIN),
        samples::refunded_event(&seeds, &a, 1, Timestamp::MAX),
        samples::paid_event(&seeds, &b, NOON),
        samples::refunded_event(&seeds, &c, 41, NOON),
    ];
    events[2].body = wide(OutboxEvent::BODY_LENGTH_MAX / 4);
    events[3].body = "{\"name\":\"램프 'lamp' \\\"🎈\\\"\"}".to_owned();
    commit(harness, append(events.clone())).await?;
    let mut stored = harness.outbox_events().await;
    stored.sort_by_key(|event| event.id);
    assert!(stored == events, "{:?}", stored.iter().map(|event| (event.id, event.body.len())).collect::<Vec<_>>());
    Ok(())
}

const fn sale(day: Date, product_id: ProductId, quantity: i64, revenue: Money) -> SaleCounted {
    SaleCounted { day, product_id, quantity, revenue }
}

async fn add(harness: &dyn StoreHarness, sales: &[SaleCounted]) -> TestResult {
    commit(harness, append(sales.iter().cloned())).await
}

/// Sales are added exactly, down to 1/10,000 and below zero.
pub async fn sales_add_up_exactly(harness: &dyn StoreHarness) -> TestResult {
    let [a, b] = Seeds::new(harness).lamps().await?;
    let [first, second] = [date(2030, Month::January, 1), date(2030, Month::January, 2)];
    // More digits than a double.
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

/// Most items first, then the higher revenue, then the older product; only products on sale with sales.
pub async fn popular_products_are_ranked_with_ties(harness: &dyn StoreHarness) -> TestResult {
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
