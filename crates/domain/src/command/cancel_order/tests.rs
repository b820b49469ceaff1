use time::Duration;

use super::*;
use crate::command::CouponChoice;
use crate::command::scene::{Scene, cancel};
use crate::coupon::CouponState;
use crate::id::{ProductId, UserId};
use crate::money::Money;
use crate::order::{OrderStatus, RefundedLine};
use crate::outbox::OutboxEvent;
use crate::point::EntryKind;
use crate::testing::PlainEvents;
use crate::testing::fixtures::{NOON, admin, campaign_details, customer, fixed, noon_plus, user, won};

/// A user with points, and an order of two lines for 25,500 won. The first line reserves the whole stock.
struct Ordered {
    scene: Scene,
    kim: UserId,
    lamp: ProductId,
    chair: ProductId,
    id: OrderId,
}

impl Ordered {
    fn new() -> Self {
        let mut scene = Scene::new();
        let kim = scene.user("kim", 100_000);
        let [lamp, chair] = [scene.lamp(12_000, 5), scene.lamp(500, 3)];
        let id = scene.order(&kim, &[(chair, 3), (lamp, 2)]);
        Self { scene, kim, lamp, chair, id }
    }

    #[track_caller]
    fn cancelled(&mut self) -> Order {
        match self.scene.cancel(self.id, &self.kim) {
            Ok(Reply::OrderCancelled { order, now }) => {
                assert_eq!(now, self.scene.now);
                assert_eq!(order, *self.scene.stored_order(self.id));
                order
            }
            other => panic!("an order is expected, not {other:?}"),
        }
    }

    #[track_caller]
    fn rejected(&mut self) -> Rejection {
        self.scene.rejection(cancel(self.id, customer(&self.kim)))
    }
}

#[test]
fn the_cancellation_of_an_unpaid_order_restores_its_stock() {
    let mut ordered = Ordered::new();
    let order = ordered.cancelled();
    assert_eq!((order.status, order.refunded, order.refunds), (OrderStatus::Cancelled, Money::ZERO, 0));
    let scene = &ordered.scene;
    assert_eq!((scene.available(ordered.chair), scene.available(ordered.lamp)), (3, 5));
    assert_eq!((scene.balance(&ordered.kim), scene.open_orders(&ordered.kim)), (won(100_000), 0));

    let written = &scene.tables.written;
    let restored: Vec<_> = written.stock_movements[4..].iter().map(|m| (m.product_id, m.quantity, m.kind)).collect();
    let kind = MovementKind::Cancellation;
    assert_eq!(restored, [(ordered.chair, 3, kind), (ordered.lamp, 2, kind)]);
    assert!(written.refunds.is_empty() && written.outbox.is_empty() && written.sales.is_empty());
    assert_eq!(written.point_entries.len(), 1, "the top-up only");
}

#[test]
fn the_cancellation_of_a_paid_order_restores_stock_points_and_coupon() {
    let mut ordered = Ordered::new();
    let coupon = ordered.scene.coupon(campaign_details(fixed(500), 1), &ordered.kim);
    ordered.scene.pay(ordered.id, &ordered.kim, CouponChoice::Named(coupon)).expect("payable");
    ordered.scene.now = noon_plus(86_400);
    let order = ordered.cancelled();

    assert_eq!((order.status, order.refunded, order.refunds), (OrderStatus::Refunded, won(25_000), 1));
    assert!(order.lines.iter().all(|line| line.refunded_quantity == line.quantity));
    let scene = &ordered.scene;
    assert_eq!((scene.available(ordered.chair), scene.available(ordered.lamp)), (3, 5));
    assert_eq!((scene.balance(&ordered.kim), scene.open_orders(&ordered.kim)), (won(100_000), 0));
    assert_eq!(scene.stored_coupon(coupon).state, CouponState::Unused);

    let written = &scene.tables.written;
    let credit = written.point_entries.last().expect("a credit");
    assert_eq!((credit.kind, credit.amount, credit.order_id), (EntryKind::Refund, won(25_000), Some(ordered.id)));
    let line = |product_id, quantity, amount| RefundedLine { product_id, quantity, amount: won(amount) };
    let lines = vec![line(ordered.chair, 3, 1_500 - 29), line(ordered.lamp, 2, 24_000 - 471)];
    let [refund] = &written.refunds[..] else { panic!("one refund, not {:?}", written.refunds) };
    assert_eq!((refund.order_id, refund.sequence, refund.amount), (ordered.id, 1, won(25_000)));
    assert_eq!((&refund.lines, refund.restocked, refund.at), (&lines, true, noon_plus(86_400)));
    assert!(written.sales.iter().all(|sale| sale.quantity == 0 && sale.revenue.is_zero()), "the sales cancel out");
    assert_eq!(written.sales.iter().count(), 2);
    let [_, event] = &written.outbox[..] else { panic!("a payment and a refund, not {:?}", written.outbox) };
    let expected = OutboxEvent::order_refunded(event.id, &order, refund, scene.rules.currency, &PlainEvents);
    assert_eq!((event, event.sequence), (&expected, 2));
    assert_eq!(written.stock_movements.last().map(|movement| movement.kind), Some(MovementKind::Refund));
}

#[test]
fn an_expired_coupon_is_not_restored() {
    let mut ordered = Ordered::new();
    let coupon = ordered.scene.coupon(campaign_details(fixed(500), 1), &ordered.kim);
    ordered.scene.pay(ordered.id, &ordered.kim, CouponChoice::Named(coupon)).expect("payable");
    ordered.scene.now = NOON.saturating_add(Duration::days(30));
    ordered.cancelled();
    let used = CouponState::Used { order_id: ordered.id, at: NOON };
    assert_eq!(ordered.scene.stored_coupon(coupon).state, used);
    assert_eq!(ordered.scene.balance(&ordered.kim), won(100_000), "the points are refunded");
}

#[test]
fn a_refund_may_raise_the_balance_above_its_limit() {
    let mut ordered = Ordered::new();
    ordered.scene.pay(ordered.id, &ordered.kim, CouponChoice::None).expect("payable");
    ordered.scene.rules.balance_max = won(80_000);
    ordered.cancelled();
    assert_eq!(ordered.scene.balance(&ordered.kim), won(100_000));
}

#[test]
fn rejects_an_expired_order_before_and_after_the_sweep() {
    let mut ordered = Ordered::new();
    ordered.scene.now = noon_plus(600);
    assert_eq!(ordered.rejected(), OrderRejection::Expired.into());
    assert_eq!(ordered.scene.available(ordered.chair), 0, "the sweeper restores the stock, once");
    ordered.scene.expire(ordered.id).expect("past its deadline");
    assert_eq!(ordered.rejected(), OrderRejection::Expired.into());
    assert_eq!(ordered.scene.available(ordered.chair), 3);
}

#[test]
fn rejects_a_second_cancellation() {
    let mut ordered = Ordered::new();
    ordered.cancelled();
    assert_eq!(ordered.rejected(), OrderRejection::AlreadyCancelled.into());
    ordered.scene.now = noon_plus(600);
    assert_eq!(ordered.rejected(), OrderRejection::AlreadyCancelled.into(), "not expired");

    let mut paid = Ordered::new();
    paid.scene.pay(paid.id, &paid.kim, CouponChoice::None).expect("payable");
    paid.cancelled();
    assert_eq!(paid.rejected(), OrderRejection::AlreadyCancelled.into());
}

#[test]
fn only_the_owner_and_the_back_office_can_cancel() {
    let mut ordered = Ordered::new();
    let stranger = cancel(ordered.id, customer(&user("lee")));
    assert_eq!(ordered.scene.rejection(stranger), OrderRejection::NotFound.into());
    let absent = cancel(ordered.scene.id(), admin());
    assert_eq!(ordered.scene.rejection(absent), OrderRejection::NotFound.into());
    assert!(ordered.scene.decide(cancel(ordered.id, admin())).is_ok());
}
