use proptest::prelude::*;

use super::*;
use crate::id::IdSource;
use crate::testing::SequentialIds;
use crate::testing::fixtures::{
    NOON, noon_plus, order_line, order_lines, order_with, pending_order, stored_order, user, won, won_currency,
};

const STATUSES: [OrderStatus; 6] = [
    OrderStatus::PendingPayment,
    OrderStatus::Paid,
    OrderStatus::Expired,
    OrderStatus::Cancelled,
    OrderStatus::PartiallyRefunded,
    OrderStatus::Refunded,
];

/// An order with lines of these quantities and prices.
fn order(lines: &[(u32, i64)]) -> Order {
    let ids = SequentialIds::new();
    let line = |&(quantity, price): &(u32, i64)| order_line(ids.next_id().into(), quantity, price);
    let lines = lines.iter().map(line).collect();
    pending_order(ids.next_id().into(), &user("kim"), lines, NOON)
}

/// The order after payment with this discount.
fn paid(order: &Order, discount: i64) -> Order {
    let payment = Payment {
        id: SequentialIds::id(9).into(),
        order_id: order.id,
        user_id: order.user_id.clone(),
        total: order.total,
        discount: won(discount),
        amount: order.total.checked_sub(won(discount)).expect("a discount is at most the total"),
        coupon_id: None,
        balance_after: Money::ZERO,
        paid_at: NOON,
        sales_day: Date::MIN,
    };
    order.payable(NOON).expect("an order that can be paid").pay(&payment, won_currency())
}

/// An order of one lamp for 100 won.
fn in_status(status: OrderStatus) -> Order {
    let pending = order(&[(1, 100)]);
    let order = if status.is_paid() { paid(&pending, 0) } else { pending };
    order_with(&order, |record| record.status = status)
}

/// Refunds items of one line and returns the amount.
fn refund(order: &mut Order, line: usize, quantity: u32) -> Money {
    let lines = order_lines(&[(order.lines[line].product_id, quantity)]);
    let refunded = order.refund(&lines, won_currency()).expect("refundable items");
    assert_eq!(Money::checked_sum(refunded.lines.iter().map(|line| line.amount)), Some(refunded.amount));
    *order = refunded.order;
    refunded.amount
}

/// Refunds all remaining items.
fn refund_rest(order: &mut Order) -> Vec<RefundedLine> {
    let Ok(Cancellation::Paid(refunded)) = order.cancel(won_currency(), NOON) else {
        panic!("a paid order can be cancelled");
    };
    *order = refunded.order;
    refunded.lines
}

#[test]
fn only_a_pending_order_can_be_paid_before_its_deadline() {
    for status in STATUSES {
        let order = in_status(status);
        let [in_time, late] = [noon_plus(599), noon_plus(600)].map(|now| order.payable(now).map(|_| ()));
        let (expected, expected_late) = match status {
            OrderStatus::PendingPayment => (Ok(()), Err(PaymentRejection::OrderExpired)),
            OrderStatus::Expired => (Err(PaymentRejection::OrderExpired), Err(PaymentRejection::OrderExpired)),
            OrderStatus::Cancelled => (Err(PaymentRejection::OrderCancelled), Err(PaymentRejection::OrderCancelled)),
            OrderStatus::Paid | OrderStatus::PartiallyRefunded | OrderStatus::Refunded => {
                (Err(PaymentRejection::OrderAlreadyPaid), Err(PaymentRejection::OrderAlreadyPaid))
            }
        };
        assert_eq!((in_time, late), (expected, expected_late), "{status:?}");
    }
}

#[test]
fn only_a_pending_order_expires_at_its_deadline() {
    for status in STATUSES {
        let order = in_status(status);
        assert_eq!(order.expire(noon_plus(599)), Err(OrderRejection::NotDue));
        let waits = status == OrderStatus::PendingPayment;
        let expired = OrderRecord { status: OrderStatus::Expired, ..OrderRecord::clone(&order) };
        let expected = if waits { Ok(stored_order(expired)) } else { Err(OrderRejection::NotDue) };
        assert_eq!(order.expire(noon_plus(600)), expected, "{status:?}");
    }
}

#[test]
fn only_an_order_that_is_pending_before_its_deadline_or_paid_can_be_cancelled() {
    for status in STATUSES {
        let order = in_status(status);
        let [in_time, late] = [noon_plus(599), noon_plus(600)].map(|now| order.cancel(won_currency(), now));
        match status {
            OrderStatus::PendingPayment => {
                let cancelled = OrderRecord { status: OrderStatus::Cancelled, ..OrderRecord::clone(&order) };
                assert_eq!(in_time, Ok(Cancellation::Unpaid(stored_order(cancelled))));
                assert_eq!(late, Err(OrderRejection::Expired));
            }
            OrderStatus::Expired => {
                assert_eq!([in_time, late], [Err(OrderRejection::Expired), Err(OrderRejection::Expired)])
            }
            OrderStatus::Cancelled | OrderStatus::Refunded => {
                assert_eq!(
                    [in_time, late],
                    [Err(OrderRejection::AlreadyCancelled), Err(OrderRejection::AlreadyCancelled)]
                );
            }
            OrderStatus::Paid | OrderStatus::PartiallyRefunded => {
                assert!(matches!(&in_time, Ok(Cancellation::Paid(refunded)) if refunded.amount == won(100)));
                assert_eq!(in_time, late);
            }
        }
    }
}

#[test]
fn cancelling_after_a_refund_refunds_the_rest() {
    let mut order = paid(&order(&[(3, 100), (2, 50)]), 1);
    assert_eq!(order.lines[0].paid_amount(), won(299));
    assert_eq!(refund(&mut order, 0, 1), won(99), "99.67 is rounded down");
    assert_eq!((order.status, order.refunded, order.refunds), (OrderStatus::PartiallyRefunded, won(99), 1));
    assert_eq!(refund(&mut order, 1, 2), won(100), "the paid amount of the line");

    let product_id = order.lines[0].product_id;
    assert_eq!(refund_rest(&mut order), [RefundedLine { product_id, quantity: 2, amount: won(200) }]);
    assert_eq!((order.status, order.refunded, order.refunds), (OrderStatus::Refunded, won(399), 3));
}

#[test]
fn rejects_a_refund_of_an_unpaid_order() {
    for status in STATUSES {
        let order = in_status(status);
        let refunded = order.refund(&order_lines(&[(order.lines[0].product_id, 1)]), won_currency());
        let is_paid = matches!(status, OrderStatus::Paid | OrderStatus::PartiallyRefunded | OrderStatus::Refunded);
        assert_eq!(refunded.err(), (!is_paid).then_some(OrderRejection::NotPaid), "{status:?}");
    }
}

#[test]
fn rejects_a_refund_of_more_items_than_refundable() {
    let mut order = paid(&order(&[(3, 100), (2, 50)]), 0);
    refund(&mut order, 0, 2);
    let [first, second] = [order.lines[0].product_id, order.lines[1].product_id];
    let rejected = |lines: &[_]| order.refund(&order_lines(lines), won_currency()).expect_err("too many");
    let too_large =
        |product_id, requested, refundable| OrderRejection::RefundTooLarge { product_id, requested, refundable };
    assert_eq!(rejected(&[(second, 2), (first, 2)]), too_large(first, 2, 1));
    assert_eq!(rejected(&[(second, 3), (first, 2)]), too_large(second, 3, 2), "the first invalid line");
    let never_ordered = SequentialIds::id(99).into();
    assert_eq!(rejected(&[(never_ordered, 1)]), too_large(never_ordered, 1, 0));
    refund(&mut order, 0, 1);
    refund(&mut order, 1, 2);
    assert_eq!(order.status, OrderStatus::Refunded);
    let again = order.refund(&order_lines(&[(first, 1)]), won_currency());
    assert_eq!(again, Err(too_large(first, 1, 0)));
}

#[test]
fn a_payment_changes_only_status_terms_and_shares() {
    let pending = order(&[(3, 500), (2, 12_000)]);
    let paid = paid(&pending, 500);
    let terms = PaidTerms {
        payment_id: SequentialIds::id(9).into(),
        discount: won(500),
        amount: won(25_000),
        coupon_id: None,
        at: NOON,
        sales_day: Date::MIN,
    };
    let lines = pending.lines.iter().zip([won(29), won(471)]);
    let lines = lines.map(|(line, discount_share)| OrderLine { discount_share, ..line.clone() }).collect();
    let expected = OrderRecord { status: OrderStatus::Paid, lines, paid: Some(terms), ..OrderRecord::clone(&pending) };
    assert_eq!(*paid, expected);
}

#[test]
fn an_invalid_record_is_rejected() {
    let valid = OrderRecord::clone(&paid(&order(&[(2, 100)]), 1));
    let with_line = |line: OrderLine| OrderRecord { lines: vec![line], ..valid.clone() };
    let line = valid.lines[0].clone();
    assert_eq!(Order::from_stored(valid.clone()).as_deref(), Ok(&valid));
    let all_refunded = with_line(OrderLine { refunded_quantity: 2, discount_share: won(200), ..line.clone() });
    assert!(Order::from_stored(all_refunded).is_ok());

    let status = InvalidRecord("an order whose status contradicts its payment");
    let share = InvalidRecord("a discount share outside its line");
    for (record, invalid) in [
        (OrderRecord { paid: None, ..valid.clone() }, status),
        (OrderRecord { status: OrderStatus::PendingPayment, ..valid.clone() }, status),
        (OrderRecord { status: OrderStatus::Cancelled, ..valid.clone() }, status),
        (with_line(OrderLine { discount_share: won(201), ..line.clone() }), share),
        (with_line(OrderLine { discount_share: won(-1), ..line.clone() }), share),
        (
            with_line(OrderLine { refunded_quantity: 3, ..line.clone() }),
            InvalidRecord("more items refunded than ordered"),
        ),
        (with_line(OrderLine { unit_price: Money::MAX, ..line.clone() }), InvalidRecord("a line out of range")),
    ] {
        assert_eq!(Order::from_stored(record), Err(invalid));
    }
}

/// Refunds an order in steps of a line and a quantity, then the rest. No refund is negative, the running sum never exceeds
/// the payment, and the total equals it exactly.
fn refund_in_steps(lines: &[(u32, i64)], discount: impl Fn(i64) -> i64, steps: impl Iterator<Item = (usize, u32)>) {
    let order = order(lines);
    let total = order.total.ten_thousandths() / 10_000;
    let mut order = paid(&order, discount(total));
    let amount = order.paid.clone().expect("it is paid").amount;
    assert_eq!(Money::checked_sum(order.lines.iter().map(OrderLine::paid_amount)), Some(amount));
    let mut refunded = Money::ZERO;
    for (line, quantity) in steps {
        let left = order.lines[line].quantity - order.lines[line].refunded_quantity;
        if left == 0 {
            continue;
        }
        let step = refund(&mut order, line, quantity.min(left));
        assert!(!step.is_negative());
        refunded = refunded.checked_add(step).expect("in range");
        assert!(refunded <= amount && order.refunded == refunded);
    }
    if order.status != OrderStatus::Refunded {
        refund_rest(&mut order);
    }
    assert_eq!((order.status, order.refunded), (OrderStatus::Refunded, amount));
}

proptest! {
    #[test]
    fn partial_refunds_add_up_to_the_payment(
        lines in prop::collection::vec((1_u32..12, 0_i64..500), 1..5),
        part in 0.0..=1.0_f64,
        steps in prop::collection::vec((any::<prop::sample::Index>(), 1_u32..6), 0..30),
    ) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "any part will do")]
        let discount = |total| ((total as f64) * part) as i64;
        let steps = steps.into_iter().map(|(line, quantity)| (line.index(lines.len()), quantity));
        refund_in_steps(&lines, discount, steps);
    }
}

/// A million orders: a rounding error in one of a hundred thousand orders would occur daily.
#[test]
fn partial_refunds_of_a_million_orders_add_up_to_the_payment() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for seed in (thread..1_000_000).step_by(threads) {
                    refund_in_random_steps(seed);
                }
            });
        }
    });
}

/// Draws the order, its discount and the refund steps from the seed.
fn refund_in_random_steps(seed: usize) {
    let mut state = u64::try_from(seed).expect("64 bits");
    // SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    let mut below = move |bound: u32| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) % u64::from(bound)).expect("below the bound")
    };
    let count = 1 + below(4);
    let lines: Vec<(u32, i64)> = (0..count).map(|_| (1 + below(11), i64::from(below(500)))).collect();
    let part = i64::from(below(101));
    let steps: Vec<(usize, u32)> = (0..below(6)).map(|_| (below(count) as usize, 1 + below(5))).collect();
    refund_in_steps(&lines, |total| total * part / 100, steps.into_iter());
}
