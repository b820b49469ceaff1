use time::Duration;

use super::*;
use crate::command::scene::{Scene, place};
use crate::command::{ChangeProduct, CouponChoice, ProductChange};
use crate::id::ProductId;
use crate::order::{OrderRecord, OrderRejection, OrderStatus};
use crate::product::{Price, ProductDetails, ProductStatus};
use crate::stock::{MovementKind, Shortage};
use crate::testing::fixtures::{NOON, noon_plus, order_line, product_details, stored_order, user, won};

fn in_status(status: ProductStatus) -> ProductDetails {
    ProductDetails { status, ..product_details("lamp", 1_000) }
}

fn shortages(shortages: &[(ProductId, u32, u64)]) -> Rejection {
    let shortage = |&(product_id, requested, available)| Shortage { product_id, requested, available };
    StockRejection::OutOfStock { shortages: shortages.iter().map(shortage).collect() }.into()
}

#[test]
fn an_order_reserves_its_stock_at_current_prices() {
    let mut scene = Scene::new();
    let [lamp, chair] = [scene.lamp(12_000, 5), scene.lamp(500, 3)];
    let kim = user("kim");
    scene.now = noon_plus(7);
    let reply = scene.decide(place(&kim, &[(chair, 3), (lamp, 2)]));
    let Ok(Reply::OrderPlaced { order, now }) = reply else { panic!("an order is expected, not {reply:?}") };
    assert_eq!(now, noon_plus(7));
    let expected = stored_order(OrderRecord {
        id: order.id,
        user_id: kim.clone(),
        status: OrderStatus::PendingPayment,
        lines: vec![order_line(chair, 3, 500), order_line(lamp, 2, 12_000)],
        total: won(25_500),
        created_at: noon_plus(7),
        expires_at: noon_plus(607),
        paid: None,
        refunded: Money::ZERO,
        refunds: 0,
    });
    assert_eq!(order, expected);
    assert_eq!(*scene.stored_order(expected.id), expected);
    assert_eq!((scene.available(chair), scene.available(lamp)), (0, 3));
    assert_eq!(scene.open_orders(&kim), 1);

    let movements = &scene.tables.written.stock_movements[2..];
    let reserved: Vec<_> = movements.iter().map(|m| (m.product_id, m.quantity, m.available_after)).collect();
    assert_eq!(reserved, [(chair, -3, 0), (lamp, -2, 3)]);
    assert!(movements.iter().all(|m| m.kind == MovementKind::Reservation && m.order_id == Some(expected.id)));
}

#[test]
fn a_later_change_of_a_product_does_not_change_the_order() {
    let mut scene = Scene::new();
    let lamp = scene.lamp(1_000, 5);
    let id = scene.order(&user("kim"), &[(lamp, 1)]);
    let change = ProductChange { price: Some(product_details("dearer", 2_000).price), ..ProductChange::default() };
    let change = ChangeProduct { product_id: lamp, expected_version: None, change };
    scene.decide(change).expect("a valid change");
    assert_eq!(scene.stored_order(id).total, won(1_000));
}

#[test]
fn rejects_an_order_with_every_short_line_listed() {
    let mut scene = Scene::new();
    let [lamp, chair, table] = [scene.lamp(1, 5), scene.lamp(1, 3), scene.lamp(1, 1)];
    let rejection = scene.rejection(place(&user("kim"), &[(chair, 4), (lamp, 5), (table, 2)]));
    assert_eq!(rejection, shortages(&[(chair, 4, 3), (table, 2, 1)]));
}

#[test]
fn the_last_items_are_sold_once() {
    let mut scene = Scene::new();
    let lamp = scene.lamp(1, 2);
    scene.order(&user("kim"), &[(lamp, 2)]);
    assert_eq!(scene.rejection(place(&user("lee"), &[(lamp, 1)])), shortages(&[(lamp, 1, 0)]));
}

#[test]
fn rejects_products_that_are_not_on_sale() {
    for status in [ProductStatus::Hidden, ProductStatus::Discontinued] {
        let mut scene = Scene::new();
        let product_id = scene.product(in_status(status), 5);
        let rejection = scene.rejection(place(&user("kim"), &[(product_id, 1)]));
        assert_eq!(rejection, ProductRejection::NotOnSale { product_id }.into(), "{status:?}");
    }
}

#[test]
fn rejects_a_total_other_than_the_expected_one() {
    let mut scene = Scene::new();
    let lamp = scene.lamp(1_000, 5);
    for wrong in [1_999, 2_001] {
        let place = PlaceOrder { expected_total: Some(won(wrong)), ..place(&user("kim"), &[(lamp, 2)]) };
        let rejection = OrderRejection::PriceChanged { expected_total: won(wrong), total: won(2_000) };
        assert_eq!(scene.rejection(place), rejection.into());
    }
    let place = PlaceOrder { expected_total: Some(won(2_000)), ..place(&user("kim"), &[(lamp, 2)]) };
    assert!(scene.decide(place).is_ok());
}

#[test]
fn rejects_more_open_orders_than_a_user_may_have() {
    let mut scene = Scene::new();
    scene.rules.open_orders_max = 2;
    let lamp = scene.lamp(1_000, 9);
    let [kim, lee] = [scene.user("kim", 1_000), user("lee")];
    let first = scene.order(&kim, &[(lamp, 1)]);
    scene.order(&kim, &[(lamp, 1)]);
    let third = place(&kim, &[(lamp, 1)]);
    let rejection = OrderRejection::TooManyOpenOrders { open_orders_max: 2 };
    assert_eq!(scene.rejection(third.clone()), rejection.into());
    scene.order(&lee, &[(lamp, 1)]);

    scene.cancel(first, &kim).expect("cancellable");
    scene.decide(third).expect("one open order");
}

#[test]
fn rejects_more_reserved_items_than_a_user_may_have() {
    let mut scene = Scene::new();
    scene.rules.reserved_quantity_max = 5;
    let [lamp, chair] = [scene.lamp(1, 9), scene.lamp(1, 9)];
    let kim = scene.user("kim", 100);
    let limit = |reserved, requested| {
        Rejection::from(OrderRejection::ReservationLimitExceeded { reserved, requested, reserved_quantity_max: 5 })
    };
    assert_eq!(scene.rejection(place(&kim, &[(lamp, 3), (chair, 3)])), limit(0, 6));
    let paid = scene.order(&kim, &[(lamp, 2), (chair, 1)]);
    let cancelled = scene.order(&kim, &[(lamp, 2)]);
    assert_eq!(scene.rejection(place(&kim, &[(lamp, 1)])), limit(5, 1));
    scene.cancel(cancelled, &kim).expect("cancellable");
    assert_eq!(scene.rejection(place(&kim, &[(lamp, 3)])), limit(3, 3));
    scene.pay(paid, &kim, CouponChoice::None).expect("payable");
    let expired = scene.order(&kim, &[(lamp, 5)]);
    scene.advance(Duration::minutes(10));
    scene.expire(expired).expect("past its deadline");
    assert_eq!(scene.stored_account(&kim).reserved_quantity, 0);
}

#[test]
fn rejects_more_orders_of_a_day_than_a_user_may_leave_unpaid() {
    let mut scene = Scene::new();
    scene.rules.unpaid_orders_max = 2;
    let lamp = scene.lamp(1, 9);
    let [kim, lee] = [scene.user("kim", 100), user("lee")];
    let limit = Rejection::from(OrderRejection::TooManyUnpaidOrders { unpaid_orders_max: 2 });
    for _ in 0..2 {
        let order = scene.order(&kim, &[(lamp, 1)]);
        scene.cancel(order, &kim).expect("cancellable");
    }
    assert_eq!(scene.rejection(place(&kim, &[(lamp, 1)])), limit);
    scene.order(&lee, &[(lamp, 1)]);

    scene.advance(Duration::days(1));
    let paid = scene.order(&kim, &[(lamp, 1)]);
    scene.pay(paid, &kim, CouponChoice::None).expect("payable");
    let late = scene.order(&kim, &[(lamp, 1)]);
    scene.order(&kim, &[(lamp, 1)]);
    assert_eq!(scene.rejection(place(&kim, &[(lamp, 1)])), limit, "paid orders do not count");
    scene.cancel(late, &kim).expect("cancellable");
    assert_eq!(scene.rejection(place(&kim, &[(lamp, 1)])), limit, "cancelled ones do");
}

#[test]
fn a_payment_on_a_later_day_does_not_count_for_that_day() {
    let mut scene = Scene::new();
    scene.rules.order_ttl = Duration::days(2);
    let lamp = scene.lamp(1, 9);
    let kim = scene.user("kim", 100);
    let first = scene.order(&kim, &[(lamp, 1)]);
    scene.advance(Duration::days(1));
    scene.order(&kim, &[(lamp, 1)]);
    scene.pay(first, &kim, CouponChoice::None).expect("payable");
    assert_eq!(scene.stored_account(&kim).unpaid_orders, 1);
}

#[test]
fn paid_and_expired_orders_are_not_open() {
    let mut scene = Scene::new();
    let lamp = scene.lamp(1_000, 9);
    let kim = scene.user("kim", 1_000);
    let [paid, expired] = [scene.order(&kim, &[(lamp, 1)]), scene.order(&kim, &[(lamp, 1)])];
    assert_eq!(scene.open_orders(&kim), 2);
    scene.pay(paid, &kim, CouponChoice::None).expect("payable");
    assert_eq!(scene.open_orders(&kim), 1);
    scene.advance(Duration::minutes(10));
    scene.expire(expired).expect("past its deadline");
    assert_eq!(scene.open_orders(&kim), 0);
}

/// Each order has one fault less than the one before, so the rejections show the order of the checks.
#[test]
fn checks_existence_then_sale_then_stock_then_price_then_open_orders() {
    let mut scene = Scene::new();
    scene.rules.open_orders_max = 1;
    let kim = user("kim");
    let lamp = scene.lamp(1_000, 1);
    scene.order(&kim, &[(lamp, 1)]);
    let hidden = scene.product(in_status(ProductStatus::Hidden), 9);
    let chair = scene.lamp(10, 9);
    let absent: ProductId = scene.id();
    let mut rejection = |lines: &[_], expected_total| {
        let place = PlaceOrder { expected_total: Some(won(expected_total)), ..place(&kim, lines) };
        scene.rejection(place)
    };
    let [lamp_line, hidden_line, absent_line, chair_line] = [(lamp, 1), (hidden, 1), (absent, 1), (chair, 1)];
    let all = [lamp_line, hidden_line, chair_line, absent_line];
    assert_eq!(rejection(&all, 1), ProductRejection::NotFound { product_id: absent }.into());
    assert_eq!(rejection(&all[..3], 1), ProductRejection::NotOnSale { product_id: hidden }.into());
    assert_eq!(rejection(&[lamp_line, chair_line], 1), shortages(&[(lamp, 1, 0)]));
    let changed = OrderRejection::PriceChanged { expected_total: won(1), total: won(10) };
    assert_eq!(rejection(&[chair_line], 1), changed.into());
    assert_eq!(rejection(&[chair_line], 10), OrderRejection::TooManyOpenOrders { open_orders_max: 1 }.into());
}

#[test]
fn the_largest_order_within_the_rules_can_be_placed() {
    let mut scene = Scene::new();
    scene.rules.check().expect("the defaults fit together");
    scene.rules.reserved_quantity_max = 100_000;
    let details = ProductDetails {
        price: Price::try_from(Price::MAX).expect("the highest price"),
        ..product_details("yacht", 1)
    };
    let products: Vec<_> = (0..100).map(|_| scene.product(details.clone(), 1_000)).collect();
    let lines: Vec<_> = products.into_iter().map(|product_id| (product_id, 1_000)).collect();
    let id = scene.order(&user("kim"), &lines);
    assert_eq!(scene.stored_order(id).total, won(100_000_000_000_000));
    assert_eq!(scene.stored_order(id).created_at, NOON);
}
