use proptest::prelude::*;

use super::*;
use crate::command::scene::Scene;
use crate::command::{Command, CouponChoice};
use crate::coupon::CouponState;
use crate::id::{CouponId, ProductId, UserId};
use crate::point::EntryKind;
use crate::testing::fixtures::{campaign_details, fixed, text, user, won};

/// A paid order of three chairs and two lamps for 25,500 won less a coupon of 500.
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
        let coupon = scene.coupon(campaign_details(fixed(500), 1), &kim);
        let id = scene.order(&kim, &[(chair, 3), (lamp, 2)]);
        scene.pay(id, &kim, CouponChoice::Named(coupon)).expect("it can be paid");
        Self { scene, kim, chair, lamp, coupon, id }
    }

    fn command(&self, pieces: &[(ProductId, i64)], restock: bool) -> Command {
        let lines = OrderLines::new(pieces.iter().copied(), &self.scene.rules).expect("lines that can be");
        Command::RefundOrder(RefundOrder { order_id: self.id, lines, restock, reason: text("damaged") })
    }

    #[track_caller]
    fn refunded(&mut self, pieces: &[(ProductId, i64)], restock: bool) -> (Refund, Order) {
        let command = self.command(pieces, restock);
        match self.scene.decide(command) {
            Ok(Reply::OrderRefunded { refund, order }) => {
                assert_eq!(order, *self.scene.stored_order(self.id));
                (refund, order)
            }
            other => panic!("the refund is answered, not {other:?}"),
        }
    }
}

#[test]
fn pieces_come_back_with_their_part_of_the_discount() {
    let mut paid = Paid::new();
    let (refund, order) = paid.refunded(&[(paid.lamp, 1)], true);
    // The lamps cost 24,000 less 471 of the discount: half of that, rounded down.
    assert_eq!(refund.amount, won(11_764));
    assert_eq!((order.status, order.refunded, order.refunds), (OrderStatus::PartiallyRefunded, won(11_764), 1));
    assert_eq!(paid.scene.balance(&paid.kim), won(75_000 + 11_764));
    assert_eq!((paid.scene.available(paid.lamp), paid.scene.available(paid.chair)), (4, 0));
    assert!(matches!(paid.scene.stored_coupon(paid.coupon).state, CouponState::Used { .. }), "not all came back");

    let (refund, order) = paid.refunded(&[(paid.lamp, 1), (paid.chair, 3)], false);
    assert_eq!(refund.amount, won(25_000 - 11_764));
    assert_eq!((order.status, order.refunded, order.refunds), (OrderStatus::Refunded, won(25_000), 2));
    assert_eq!(paid.scene.balance(&paid.kim), won(100_000));
    assert_eq!((paid.scene.available(paid.lamp), paid.scene.available(paid.chair)), (4, 0), "not restocked");
    assert_eq!(paid.scene.stored_coupon(paid.coupon).state, CouponState::Unused);

    let written = paid.scene.set.written();
    assert_eq!(written.outbox.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(written.sales.iter().all(|sale| sale.quantity == 0 && sale.revenue.is_zero()), "the sale's day is even");
}

#[test]
fn refuses_to_refund_what_was_not_paid() {
    let mut paid = Paid::new();
    paid.scene.refusal(paid.command(&[(paid.lamp, 3)], true));
    let lee = user("lee");
    paid.scene.user("lee", 1_000);
    paid.id = paid.scene.order(&lee, &[(paid.lamp, 1)]);
    assert_eq!(paid.scene.refusal(paid.command(&[(paid.lamp, 1)], true)), OrderRefusal::NotPaid.into());
    paid.scene.cancel(paid.id, &lee).expect("it is not paid");
    assert_eq!(paid.scene.refusal(paid.command(&[(paid.lamp, 1)], true)), OrderRefusal::NotPaid.into());
    paid.id = paid.scene.id();
    assert_eq!(paid.scene.refusal(paid.command(&[(paid.lamp, 1)], true)), OrderRefusal::NotFound.into());
}

#[test]
fn refuses_more_than_is_left_and_refunds_nothing_of_it() {
    let mut paid = Paid::new();
    let too_large = |product_id, requested, refundable| -> Refusal {
        OrderRefusal::RefundTooLarge { product_id, requested, refundable }.into()
    };
    let refusal = paid.scene.refusal(paid.command(&[(paid.chair, 1), (paid.lamp, 3)], true));
    assert_eq!(refusal, too_large(paid.lamp, 3, 2));
    paid.refunded(&[(paid.lamp, 2)], true);
    assert_eq!(paid.scene.refusal(paid.command(&[(paid.lamp, 1)], true)), too_large(paid.lamp, 1, 0));
    let stranger = paid.scene.lamp(1, 1);
    assert_eq!(paid.scene.refusal(paid.command(&[(stranger, 1)], true)), too_large(stranger, 1, 0));
    paid.scene.cancel(paid.id, &paid.kim).expect("the chairs are left");
    assert_eq!(paid.scene.refusal(paid.command(&[(paid.chair, 1)], true)), too_large(paid.chair, 1, 0));
    assert_eq!(paid.scene.balance(&paid.kim), won(100_000));
}

proptest! {
    /// Whatever the prices, the discount, the steps and their order: what came back is what was paid, to the unit,
    /// and no step takes more than was left.
    #[test]
    fn all_steps_add_up_to_what_was_paid(
        lines in prop::collection::vec((0_i64..50_000, 1_u32..20), 1..5),
        discount in 1_i64..100_000,
        steps in prop::collection::vec((0_usize..5, 1_u32..8), 0..40),
    ) {
        let mut scene = Scene::new();
        scene.rules.balance_max = won(100_000_000);
        scene.rules.charge_max = won(100_000_000);
        let kim = scene.user("kim", 10_000_000);
        let ordered: Vec<(ProductId, u32)> =
            lines.iter().map(|(price, quantity)| (scene.lamp(*price, 100), *quantity)).collect();
        let coupon = scene.coupon(campaign_details(fixed(discount), 1), &kim);
        let id = scene.order(&kim, &ordered);
        scene.pay(id, &kim, CouponChoice::Named(coupon)).expect("it can be paid");
        let amount = scene.stored_order(id).paid.as_ref().expect("it is paid").amount;

        let mut paid = Paid { kim: kim.clone(), chair: ordered[0].0, lamp: ordered[0].0, coupon, id, scene };
        for (line, quantity) in steps {
            let line = &paid.scene.stored_order(id).lines[line % ordered.len()];
            let (product_id, quantity) = (line.product_id, quantity.min(line.refundable()));
            if quantity > 0 {
                let (refund, order) = paid.refunded(&[(product_id, quantity.into())], true);
                prop_assert!(!refund.amount.is_negative() && order.refunded <= amount);
            }
        }
        if paid.scene.stored_order(id).status != OrderStatus::Refunded {
            paid.scene.cancel(id, &kim).expect("something is left");
        }
        prop_assert_eq!(paid.scene.stored_order(id).refunded, amount);
        prop_assert_eq!(paid.scene.balance(&kim), won(10_000_000));
        let credits = paid.scene.set.written().point_entries.iter().filter(|entry| entry.kind == EntryKind::Refund);
        prop_assert_eq!(Money::checked_sum(credits.map(|entry| entry.amount)), Some(amount));
    }
}
