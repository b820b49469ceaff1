use super::*;
use crate::command::scene::Scene;
use crate::command::CouponChoice;
use crate::coupon::CouponState;
use crate::id::{CouponId, ProductId, UserId};
use crate::order::{OrderStatus, RefundedLine};
use crate::outbox::OutboxEvent;
use crate::payment::Refund;
use crate::point::EntryKind;
use crate::stock::MovementKind;
use crate::testing::PlainEvents;
use crate::testing::fixtures::{NOON, campaign_details, fixed, noon_plus, order_lines, text, won};

/// An order of 3 chairs for 500 and 2 lamps for 12,000, paid with a coupon of 500.
struct Paid {
    scene: Scene,
    kim: UserId,
    chair: ProductId,
    lamp: ProductId,
    coupon: CouponId,
    id: OrderId,
}

impl Paid {
    fn new() -> Self {
        let mut scene = Scene::new();
        let kim = scene.user("kim", 100_000);
        let [lamp, chair] = [scene.lamp(12_000, 5), scene.lamp(500, 3)];
        let id = scene.order(&kim, &[(chair, 3), (lamp, 2)]);
        let coupon = scene.coupon(campaign_details(fixed(500), 1), &kim);
        scene.pay(id, &kim, CouponChoice::Named(coupon)).expect("payable");
        Self { scene, kim, chair, lamp, coupon, id }
    }

    #[track_caller]
    fn refund(&mut self, lines: &[(ProductId, u32)], restock: bool) -> Refund {
        match self.scene.decide(command(self.id, lines, restock)) {
            Ok(Reply::OrderRefunded { refund, order }) => {
                assert_eq!(order, *self.scene.stored_order(self.id));
                refund
            }
            other => panic!("a refund is expected, not {other:?}"),
        }
    }
}

fn command(order_id: OrderId, lines: &[(ProductId, u32)], restock: bool) -> RefundOrder {
        RefundOrder { order_id, lines: order_lines(lines), restock, reason: text("broken") }
}

#[test]
fn items_are_refunded_at_their_discounted_price() {
    let mut paid = Paid::new();
    paid.scene.now = noon_plus(60);
    // Three chairs were paid with 1,471.
    let refund = paid.refund(&[(paid.chair, 1)], true);
    let line = RefundedLine { product_id: paid.chair, quantity: 1, amount: won(490) };
    let expected = Refund {
        id: refund.id,
        order_id: paid.id,
        sequence: 1,
        amount: won(490),
        restocked: true,
        reason: text("broken"),
        lines: vec![line],
        at: noon_plus(60),
    };
    assert_eq!(refund, expected);
    let scene = &paid.scene;
    let order = scene.stored_order(paid.id);
    assert_eq!((order.status, order.refunded, order.refunds), (OrderStatus::PartiallyRefunded, won(490), 1));
    assert_eq!((scene.balance(&paid.kim), scene.available(paid.chair)), (won(75_490), 1));
    assert_eq!(scene.open_orders(&paid.kim), 0);
    let used = CouponState::Used { order_id: paid.id, at: NOON };
    assert_eq!(scene.stored_coupon(paid.coupon).state, used, "used until the full refund");

    let written = &scene.tables.written;
    let credit = written.point_entries.last().expect("a credit");
    assert_eq!((credit.kind, credit.amount, credit.order_id), (EntryKind::Refund, won(490), Some(paid.id)));
    let movement = written.stock_movements.last().expect("a movement");
    assert_eq!((movement.product_id, movement.quantity, movement.kind), (paid.chair, 1, MovementKind::Refund));
    assert_eq!(written.refunds, std::slice::from_ref(&refund));
    let chairs = written.sales.iter().find(|sale| sale.product_id == paid.chair).expect("chairs were sold");
    assert_eq!((chairs.quantity, chairs.revenue), (2, won(1_471 - 490)));
    let [_, event] = &written.outbox[..] else { panic!("a payment and a refund, not {:?}", written.outbox) };
    let expected = OutboxEvent::order_refunded(event.id, order, &refund, scene.rules.currency, &PlainEvents);
    assert_eq!((event, event.sequence), (&expected, 2));
}

#[test]
fn a_refund_without_restocking_leaves_the_stock_unchanged() {
    let mut paid = Paid::new();
    let movements = paid.scene.tables.written.stock_movements.len();
    let refund = paid.refund(&[(paid.lamp, 1), (paid.chair, 3)], false);
    assert!(!refund.restocked);
    assert_eq!((paid.scene.available(paid.chair), paid.scene.available(paid.lamp)), (0, 3));
    assert_eq!(paid.scene.tables.written.stock_movements.len(), movements);
    assert_eq!(paid.scene.tables.written.sales.iter().map(|sale| sale.quantity).sum::<i64>(), 1);
}

#[test]
fn the_last_item_completes_the_refund_and_restores_the_coupon() {
    let mut paid = Paid::new();
    let chairs = [paid.refund(&[(paid.chair, 1)], true), paid.refund(&[(paid.chair, 2)], true)];
    assert_eq!(chairs.map(|refund| refund.amount), [won(490), won(981)]);
    assert!(matches!(paid.scene.stored_coupon(paid.coupon).state, CouponState::Used { .. }));
    assert_eq!(paid.refund(&[(paid.lamp, 2)], true).sequence, 3);
    let order = paid.scene.stored_order(paid.id);
    assert_eq!((order.status, order.refunded), (OrderStatus::Refunded, won(25_000)));
    assert_eq!(paid.scene.balance(&paid.kim), won(100_000));
    assert_eq!(paid.scene.stored_coupon(paid.coupon).state, CouponState::Unused);
}

#[test]
fn the_cancellation_of_a_partly_refunded_order_refunds_the_rest() {
    let mut paid = Paid::new();
    paid.refund(&[(paid.chair, 1)], true);
    paid.scene.cancel(paid.id, &paid.kim).expect("cancellable");
    assert_eq!(paid.scene.balance(&paid.kim), won(100_000));
    assert_eq!((paid.scene.available(paid.chair), paid.scene.available(paid.lamp)), (3, 5));
    let amounts: Vec<_> = paid.scene.tables.written.refunds.iter().map(|refund| refund.amount).collect();
    assert_eq!(amounts, [won(490), won(25_000 - 490)]);
}

#[test]
fn checks_existence_then_payment_then_the_refundable_quantity() {
    let mut paid = Paid::new();
    let absent: OrderId = paid.scene.id();
    let too_many = [(paid.chair, 4)];
    assert_eq!(paid.scene.rejection(command(absent, &too_many, true)), OrderRejection::NotFound.into());
    let unpaid = paid.scene.order(&paid.kim, &[(paid.lamp, 1)]);
    assert_eq!(paid.scene.rejection(command(unpaid, &[(paid.lamp, 2)], true)), OrderRejection::NotPaid.into());
    let rejection = OrderRejection::RefundTooLarge { product_id: paid.chair, requested: 4, refundable: 3 };
    assert_eq!(paid.scene.rejection(command(paid.id, &too_many, true)), rejection.into());
}
