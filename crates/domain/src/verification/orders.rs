use std::collections::BTreeMap;

use crate::coupon::{Coupon, CouponState, CouponTerms, Discount};
use crate::id::{CouponId, OrderId, ProductId, UserId};
use crate::money::{Money, ONE};
use crate::order::{OrderLine, OrderRecord, OrderStatus, PaidTerms};
use crate::payment::{Payment, Refund};
use crate::point::{EntryKind, PointEntry};
use crate::statistics::{QuarterHours, SalesTotals};
use crate::stock::{MovementKind, StockMovement};
use crate::store_error::StoreError;
use crate::time::Timestamp;
use crate::verification::books::EventOutline;
use crate::verification::finding::Finding;
use crate::verification::run::Verification;
use crate::verification::sales::{self, DailySums};
use crate::verification::text::Text;
use crate::verification::walk::{
    EntriesByOrder, Events, List, MovementsByOrder, Orders, Payments, Refunds, StrayOrderLines, StrayRefundLines, Walk,
};

/// Orders per query of their coupons.
const CHUNK: usize = 500;

/// What the orders, payments and refunds sum up to.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) sold: DailySums,
    pub(super) quarters: QuarterHours,
}

/// Compares each order with its dependent rows, and counts.
pub(super) async fn verify(audit: &mut Verification<'_>, taken_at: Timestamp) -> Result<Counted, StoreError> {
    let retained_since = taken_at.saturating_sub(audit.retention.delivered_events);
    let Counted { mut sold, mut quarters } = Counted::default();
    let mut orders = Walk::<Orders>::default();
    let mut belongings = Walks::default();
    let mut paid_with_coupon = Vec::new();
    while let Some(order) = orders.next(audit).await? {
        let own = belongings.of(audit, &order).await?;
        own.count(&mut quarters);
        let Some(line_totals) = order.lines.iter().map(line_total).collect::<Option<Vec<_>>>() else {
            audit.find(finding(order.id, "a line costs more than the largest amount"));
            continue;
        };
        let mut check = Check { audit, order: &order };
        check.amounts(&line_totals);
        check.times(&own);
        check.payment(&own);
        check.refunds(&own.refunds);
        check.refunded_lines(&own.refunds, &line_totals);
        check.entries(&own);
        check.movements(&own);
        check.events(&own, retained_since);
        // An invalid line was reported above: its share is not within its price.
        sales::of_order(&order, &own.refunds).iter().flatten().for_each(|sale| sold.add(sale));
        paid_with_coupon.extend(PaidWithCoupon::of(&order, &own.refunds));
        if paid_with_coupon.len() == CHUNK {
            compare_coupons(audit, &mut paid_with_coupon).await?;
        }
    }
    compare_coupons(audit, &mut paid_with_coupon).await?;
    belongings.rest(audit).await?;
    Ok(Counted { sold, quarters })
}

fn line_total(line: &OrderLine) -> Option<Money> {
    line.unit_price.checked_mul(line.quantity)
}

fn finding(order_id: OrderId, description: impl Into<String>) -> Finding {
    Finding::Order { order_id, description: description.into() }
}

/// The rows that reference one order.
struct Belongings {
    payments: Vec<Payment>,
    refunds: Vec<Refund>,
    entries: Vec<PointEntry>,
    movements: Vec<StockMovement>,
    events: Vec<EventOutline>,
}

impl Belongings {
    fn count(&self, quarters: &mut QuarterHours) {
        for payment in &self.payments {
            quarters.add(payment.paid_at, SalesTotals::of_payment(payment.amount));
        }
        for refund in &self.refunds {
            quarters.add(refund.at, SalesTotals::of_refund(refund.amount, refund.sequence == 1));
        }
    }
}

/// The lists of dependent rows, read in step with the orders.
#[derive(Default)]
struct Walks {
    payments: Walk<Payments>,
    refunds: Walk<Refunds>,
    entries: Walk<EntriesByOrder>,
    movements: Walk<MovementsByOrder>,
    events: Walk<Events>,
}

impl Walks {
    async fn of(&mut self, audit: &mut Verification<'_>, order: &OrderRecord) -> Result<Belongings, StoreError> {
        self.strays_before(audit, Some(order.id)).await?;
        let id = order.id;
        Ok(Belongings {
            payments: self.payments.take_while(audit, |payment| payment.order_id == id).await?,
            refunds: self.refunds.take_while(audit, |refund| refund.order_id == id).await?,
            entries: self.entries.take_while(audit, |entry| entry.order_id == Some(id)).await?,
            movements: self.movements.take_while(audit, |movement| movement.order_id == Some(id)).await?,
            events: self.events.take_while(audit, |event| event.order_id == id).await?,
        })
    }

    async fn rest(mut self, audit: &mut Verification<'_>) -> Result<(), StoreError> {
        self.strays_before(audit, None).await?;
        let mut lines = Walk::<StrayOrderLines>::default();
        while let Some((order_id, product_id)) = lines.next(audit).await? {
            audit.find(finding(order_id, format!("a line of product {product_id} names it, but it does not exist")));
        }
        let mut lines = Walk::<StrayRefundLines>::default();
        while let Some((refund_id, product_id)) = lines.next(audit).await? {
            let description = format!("a line of product {product_id} names it, but it does not exist");
            audit.find(Finding::Refund { refund_id, description });
        }
        Ok(())
    }

    /// Reports rows without an order, before the next order.
    async fn strays_before(&mut self, audit: &mut Verification<'_>, next: Option<OrderId>) -> Result<(), StoreError> {
        strays(audit, &mut self.payments, next, |payment| Some(payment.order_id), "a payment").await?;
        strays(audit, &mut self.refunds, next, |refund| Some(refund.order_id), "a refund").await?;
        strays(audit, &mut self.entries, next, |entry| entry.order_id, "a ledger entry").await?;
        strays(audit, &mut self.movements, next, |movement| movement.order_id, "a stock movement").await?;
        strays(audit, &mut self.events, next, |event| Some(event.order_id), "an event").await
    }
}

async fn strays<L: List>(
    audit: &mut Verification<'_>,
    rows: &mut Walk<L>,
    next_order: Option<OrderId>,
    order_of: impl Fn(&L::Row) -> Option<OrderId>,
    row_name: &str,
) -> Result<(), StoreError> {
    let is_stray = |row: &L::Row| order_of(row).is_none_or(|id| next_order.is_none_or(|next| id < next));
    while let Some(row) = rows.next_if(audit, is_stray).await? {
        if let Some(order_id) = order_of(&row) {
            audit.find(finding(order_id, format!("{row_name} names it, but no such order is readable")));
        }
    }
    Ok(())
}

/// The checks of one order.
struct Check<'a, 'b> {
    audit: &'a mut Verification<'b>,
    order: &'a OrderRecord,
}

impl Check<'_, '_> {
    fn expect(&mut self, holds: bool, description: impl FnOnce() -> String) {
        let id = self.order.id;
        self.audit.expect(holds, || finding(id, description()));
    }

    fn amounts(&mut self, line_totals: &[Money]) {
        let order = self.order;
        self.expect(!order.lines.is_empty(), || "has no lines".to_owned());
        let total = Money::checked_sum(line_totals.iter().copied());
        self.expect(total == Some(order.total), || {
            format!("costs {}, but its lines sum up to {}", order.total.text(), total.text())
        });
        let negative = order.lines.iter().any(|line| line.unit_price.is_negative());
        self.expect(!negative, || "a line costs less than zero".to_owned());

        let discount = order.paid.as_ref().map_or(Money::ZERO, |paid| paid.discount);
        let shares = Money::checked_sum(order.lines.iter().map(|line| line.discount_share));
        self.expect(shares == Some(discount), || {
            format!("the discount is {}, but its shares sum up to {}", discount.text(), shares.text())
        });
        for (line, line_total) in order.lines.iter().zip(line_totals) {
            let within = !line.discount_share.is_negative() && line.discount_share <= *line_total;
            self.expect(within, || format!("the discount share of product {} is not within its line", line.product_id));
        }
        if let Some(PaidTerms { discount, amount, coupon_id, .. }) = order.paid {
            let sum = discount.checked_add(amount);
            self.expect(sum == Some(order.total) && !discount.is_negative() && !amount.is_negative(), || {
                let [discount, amount, total] = [discount, amount, order.total].map(|money| money.text());
                format!("discount {discount} and amount {amount} do not sum up to the total {total}")
            });
            self.expect(coupon_id.is_some() || discount.is_zero(), || {
                format!("has a discount of {} without a coupon", discount.text())
            });
        }
        let is_paid = match order.status {
            OrderStatus::Paid | OrderStatus::PartiallyRefunded | OrderStatus::Refunded => true,
            OrderStatus::PendingPayment | OrderStatus::Expired | OrderStatus::Cancelled => false,
        };
        self.expect(is_paid == order.paid.is_some(), || {
            format!("is {}, but {} payment terms", order.status.text(), if is_paid { "has no" } else { "has" })
        });
    }

    /// Placed, then paid, cancelled or expired, then refunded, each within its period.
    fn times(&mut self, own: &Belongings) {
        let OrderRecord { created_at, expires_at, .. } = *self.order;
        self.expect(created_at <= expires_at, || "expires before it was placed".to_owned());
        let in_time = |at: Timestamp| created_at <= at && at < expires_at;
        let paid_at = self.order.paid.as_ref().map(|paid| paid.at);
        self.expect(paid_at.is_none_or(in_time), || {
            format!("was paid at {}, outside its payment period", paid_at.text())
        });
        let mut last = paid_at.unwrap_or(created_at);
        for refund in &own.refunds {
            self.expect(last <= refund.at, || {
                format!("refund {} was before the payment or an earlier refund", refund.sequence)
            });
            last = refund.at;
        }
        for movement in &own.movements {
            let StockMovement { at, kind, .. } = *movement;
            let right = match kind {
                MovementKind::Reservation => at == created_at,
                MovementKind::Expiry => expires_at <= at,
                MovementKind::Cancellation => in_time(at),
                MovementKind::Refund => own.refunds.iter().any(|refund| refund.restocked && refund.at == at),
                MovementKind::Adjustment => false,
            };
            self.expect(right, || {
                let StockMovement { product_id, .. } = movement;
                format!("the {} of product {product_id} was at {}, outside its period", kind.text(), at.text())
            });
        }
    }

    /// A paid order has one payment with the same values, an unpaid order has none.
    fn payment(&mut self, own: &Belongings) {
        let expected = usize::from(self.order.paid.is_some());
        let payments = &own.payments[..];
        self.expect(payments.len() == expected, || format!("has {} payments, not {expected}", payments.len()));
        let (Some(paid), [payment]) = (&self.order.paid, payments) else { return };
        let order = self.order;
        let same = payment.id == paid.payment_id
            && payment.user_id == order.user_id
            && payment.total == order.total
            && payment.discount == paid.discount
            && payment.amount == paid.amount
            && payment.coupon_id == paid.coupon_id
            && payment.paid_at == paid.at
            && payment.sales_day == paid.sales_day;
        self.expect(same, || format!("its payment {} does not match", payment.id));
        let debit = own.entries.iter().find(|entry| entry.kind == EntryKind::Payment);
        let same_balance = debit.is_none_or(|debit| debit.balance_after == payment.balance_after);
        self.expect(same_balance, || format!("its payment {} and its debit have different balances", payment.id));
    }

    fn refunds(&mut self, refunds: &[Refund]) {
        let order = self.order;
        let amount = Money::checked_sum(refunds.iter().map(|refund| refund.amount));
        self.expect(amount == Some(order.refunded), || {
            format!("the refunded amount is {}, but its refunds sum up to {}", order.refunded.text(), amount.text())
        });
        let paid = order.paid.as_ref().map_or(Money::ZERO, |paid| paid.amount);
        self.expect(order.refunded <= paid, || {
            format!("more was refunded than paid: {} of {}", order.refunded.text(), paid.text())
        });
        let in_sequence = refunds.iter().zip(1..).all(|(refund, sequence)| refund.sequence == sequence);
        self.expect(in_sequence && refunds.len() == usize::try_from(order.refunds).unwrap_or(usize::MAX), || {
            format!("counts {} refunds, but there are {}", order.refunds, refunds.len())
        });
        for refund in refunds {
            let lines = Money::checked_sum(refund.lines.iter().map(|line| line.amount));
            self.expect(lines == Some(refund.amount), || {
                let [amount, lines] = [refund.amount.text(), lines.text()];
                format!("refund {} is {amount}, but its lines sum up to {lines}", refund.sequence)
            });
            let positive = refund.lines.iter().all(|line| line.quantity > 0 && !line.amount.is_negative());
            self.expect(positive && !refund.lines.is_empty(), || {
                format!("refund {} has no line, or an empty or negative one", refund.sequence)
            });
        }
        let whole = order.lines.iter().all(|line| line.refunded_quantity == line.quantity);
        let right_status = match order.status {
            OrderStatus::Refunded => whole && order.refunded == paid,
            OrderStatus::PartiallyRefunded => !whole && !refunds.is_empty(),
            OrderStatus::PendingPayment | OrderStatus::Paid | OrderStatus::Expired | OrderStatus::Cancelled => {
                refunds.is_empty()
            }
        };
        self.expect(right_status, || format!("is {} with {} refunds", order.status.text(), refunds.len()));
    }

    /// Of each line at most its quantity and its price are refunded, and with the last item the whole price.
    fn refunded_lines(&mut self, refunds: &[Refund], line_totals: &[Money]) {
        let mut refunded: BTreeMap<ProductId, (u64, Option<Money>)> = BTreeMap::new();
        for line in refunds.iter().flat_map(|refund| &refund.lines) {
            let (items, amount) = refunded.entry(line.product_id).or_insert((0, Some(Money::ZERO)));
            *items = items.saturating_add(line.quantity.into());
            *amount = amount.and_then(|amount| amount.checked_add(line.amount));
        }
        for (line, line_total) in self.order.lines.iter().zip(line_totals) {
            let product_id = line.product_id;
            let (items, amount) = refunded.remove(&product_id).unwrap_or((0, Some(Money::ZERO)));
            let counted = line.refunded_quantity;
            self.expect(u64::from(counted) == items && counted <= line.quantity, || {
                format!("counts {counted} refunded items of product {product_id}, but its refunds sum up to {items}")
            });
            let paid = line_total.checked_sub(line.discount_share);
            let right = if counted == line.quantity { amount == paid } else { amount.is_some() && amount <= paid };
            self.expect(right, || {
                let ([amount, paid], quantity) = ([amount, paid].map(|money| money.text()), line.quantity);
                format!("{amount} was refunded for {items} of {quantity} items of product {product_id} at {paid}")
            });
        }
        self.expect(refunded.is_empty(), || "products were refunded that it does not contain".to_owned());
    }

    /// One debit for the payment and one credit for each refund, at the same times, in the ledger of the user.
    fn entries(&mut self, own: &Belongings) {
        let order = self.order;
        let own_ledger = own.entries.iter().all(|entry| entry.user_id == order.user_id);
        self.expect(own_ledger, || "another user's ledger has an entry of it".to_owned());
        let debit = order.paid.iter().map(|paid| (paid.at, EntryKind::Payment, paid.amount.negated()));
        let credits = own.refunds.iter().map(|refund| (refund.at, EntryKind::Refund, refund.amount));
        let mut expected: Vec<(Timestamp, EntryKind, Money)> = debit.chain(credits).collect();
        let mut found: Vec<(Timestamp, EntryKind, Money)> =
            own.entries.iter().map(|entry| (entry.at, entry.kind, entry.amount)).collect();
        // The ids of several servers are not in order of time.
        let chronologically =
            |(at, kind, amount): &(Timestamp, EntryKind, Money)| (*at, *kind == EntryKind::Refund, *amount);
        expected.sort_by_key(chronologically);
        found.sort_by_key(chronologically);
        self.expect(found == expected, || format!("the ledger entries are {}, not {}", found.text(), expected.text()));
    }

    /// Each line was reserved once, and restored once where the state of the order requires it.
    fn movements(&mut self, own: &Belongings) {
        let order = self.order;
        let ordered = |sign: i64| {
            order
                .lines
                .iter()
                .map(move |line| (line.product_id, sign.saturating_mul(line.quantity.into())))
                .collect::<Vec<_>>()
        };
        let restored_when = |status: OrderStatus| if order.status == status { ordered(1) } else { Vec::new() };
        let restocked = own.refunds.iter().filter(|refund| refund.restocked).flat_map(|refund| &refund.lines);
        for (kind, mut expected) in [
            (MovementKind::Reservation, ordered(-1)),
            (MovementKind::Expiry, restored_when(OrderStatus::Expired)),
            (MovementKind::Cancellation, restored_when(OrderStatus::Cancelled)),
            (MovementKind::Refund, restocked.map(|line| (line.product_id, i64::from(line.quantity))).collect()),
            (MovementKind::Adjustment, Vec::new()),
        ] {
            let of_kind = own.movements.iter().filter(|movement| movement.kind == kind);
            let mut found: Vec<(ProductId, i64)> =
                of_kind.map(|movement| (movement.product_id, movement.quantity)).collect();
            found.sort_unstable();
            expected.sort_unstable();
            self.expect(found == expected, || {
                format!("the {} movements are {}, not {}", kind.text(), found.text(), expected.text())
            });
        }
    }

    /// One event of the payment, then one of each refund. Events before `retained_since` may be pruned.
    fn events(&mut self, own: &Belongings, retained_since: Timestamp) {
        let paid = self.order.paid.iter().map(|paid| (paid.at, "jangteo.order.paid.v1"));
        let refunds = own.refunds.iter().map(|refund| (refund.at, "jangteo.order.refunded.v1"));
        let is_there = |sequence: u32| own.events.iter().any(|event| event.sequence == sequence);
        let retained =
            (1..).zip(paid.chain(refunds)).filter(|(sequence, (at, _))| *at > retained_since || is_there(*sequence));
        let expected: Vec<(u32, &str)> = retained.map(|(sequence, (_, event_type))| (sequence, event_type)).collect();
        let found: Vec<(u32, &str)> =
            own.events.iter().map(|event| (event.sequence, event.event_type.as_str())).collect();
        self.expect(found == expected, || format!("the events are {}, not {}", found.text(), expected.text()));
    }
}

/// The coupon data of a paid order.
struct PaidWithCoupon {
    order_id: OrderId,
    user_id: UserId,
    total: Money,
    coupon_id: CouponId,
    discount: Money,
    paid_at: Timestamp,
    /// Time of the last refund of a fully refunded order.
    refunded_at: Option<Timestamp>,
}

impl PaidWithCoupon {
    fn of(order: &OrderRecord, refunds: &[Refund]) -> Option<Self> {
        let paid = order.paid.as_ref()?;
        let is_refunded = order.status == OrderStatus::Refunded;
        Some(Self {
            order_id: order.id,
            user_id: order.user_id.clone(),
            total: order.total,
            coupon_id: paid.coupon_id?,
            discount: paid.discount,
            paid_at: paid.at,
            refunded_at: refunds.last().filter(|_| is_refunded).map(|refund| refund.at),
        })
    }

    /// The coupon belongs to the user and was applicable. It is used by this order, unless a full refund before its
    /// expiry restored it; then another order may have used it since.
    fn compare(&self, audit: &mut Verification<'_>, coupon: Option<&Coupon>) {
        let wrong =
            |problem: &str| finding(self.order_id, format!("was paid with coupon {}, {problem}", self.coupon_id));
        let Some(coupon) = coupon else {
            audit.find(wrong("which does not exist"));
            return;
        };
        let used_by_it = matches!(coupon.state, CouponState::Used { order_id, .. } if order_id == self.order_id);
        let restored = self.refunded_at.is_some_and(|at| at < coupon.valid_until);
        audit.expect(used_by_it || restored, || wrong("which is not used by it"));
        audit.expect(!(used_by_it && restored), || wrong("which was not restored by the refund"));
        audit.expect(coupon.user_id == self.user_id, || wrong("which is another user's"));
        audit.expect(coupon.issued_at <= self.paid_at && self.paid_at < coupon.valid_until, || {
            wrong("outside the validity of the coupon")
        });
        audit.expect(coupon.terms.min_order_amount.is_none_or(|min| min.get() <= self.total), || {
            wrong("which requires a larger order")
        });
        audit.expect(discount_fits(&coupon.terms, self.total, self.discount), || {
            wrong(&format!("with a discount of {}, contrary to its terms", self.discount.text()))
        });
    }
}

/// Whether a discount matches the terms. The currency and its rounding are unknown here, so a percentage is checked to
/// within one main unit.
#[expect(clippy::arithmetic_side_effects, reason = "sums and products of i64 in i128")]
fn discount_fits(terms: &CouponTerms, total: Money, discount: Money) -> bool {
    match terms.discount {
        Discount::Fixed { amount } => discount == amount.get().min(total),
        Discount::Percent { percent, cap } => {
            let hundredfold = |money: Money| 100 * i128::from(money.ten_thousandths());
            let share = i128::from(percent.get()) * i128::from(total.ten_thousandths());
            let expected = cap.map_or(share, |cap| share.min(hundredfold(cap.get())));
            (hundredfold(discount) - expected).abs() < 100 * i128::from(ONE)
                && cap.is_none_or(|cap| discount <= cap.get())
        }
    }
}

/// Compares orders with the coupons of their payments and clears the list.
async fn compare_coupons(audit: &mut Verification<'_>, orders: &mut Vec<PaidWithCoupon>) -> Result<(), StoreError> {
    if orders.is_empty() {
        return Ok(());
    }
    let ids: Vec<CouponId> = orders.iter().map(|order| order.coupon_id).collect();
    let page = audit.books.coupons_of(&ids).await?;
    let coupons = audit.take_again(page).into_iter();
    let coupons: BTreeMap<CouponId, Coupon> = coupons.map(|coupon| (coupon.id, coupon)).collect();
    for order in orders.drain(..) {
        order.compare(audit, coupons.get(&order.coupon_id));
    }
    Ok(())
}
