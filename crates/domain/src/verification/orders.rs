use std::collections::BTreeMap;

use crate::coupon::{Coupon, CouponState};
use crate::id::{CouponId, OrderId, ProductId};
use crate::money::Money;
use crate::order::{Order, OrderStatus, PaidTerms};
use crate::payment::{Payment, Refund};
use crate::point::{EntryKind, PointEntry};
use crate::sales::SaleCounted;
use crate::stock::{MovementKind, StockMovement};
use crate::store_error::StoreError;
use crate::verification::sales::{self, DailySums};
use crate::verification::walk::{EntriesByOrder, Events, List, MovementsByOrder, Orders, Payments, Refunds, Walk};
use crate::verification::{Audit, EventOutline, Finding};

/// How many orders are compared with their coupons at once.
const CHUNK: usize = 500;

/// Each order against all that belongs to it. Answers what the orders come to, day by day.
pub(super) async fn verify(audit: &mut Audit<'_>) -> Result<DailySums, StoreError> {
    let mut sold = DailySums::default();
    let mut orders = Walk::<Orders>::new();
    let mut belongings = Walks::new();
    let mut paid_with_coupon = Vec::new();
    while let Some(order) = orders.next(audit).await? {
        let Some(line_totals) = order.lines.iter().map(line_total).collect::<Option<Vec<_>>>() else {
            audit.find(finding(order.id, "a line costs more than can be counted"));
            continue;
        };
        let own = belongings.of(audit, &order).await?;
        let mut check = Check { audit, order: &order };
        check.amounts(&line_totals);
        check.times();
        check.payment(&own.payments);
        check.refunds(&own.refunds);
        check.entries(&own);
        check.movements(&own);
        check.events(&own.events);

        sales::of_order(&order).for_each(|sale| sold.add(&sale));
        if let Some(paid) = &order.paid {
            let refunds = own.refunds.iter();
            refunds
                .flat_map(|refund| SaleCounted::of_refund(&refund.lines, paid.sales_day))
                .for_each(|sale| sold.add(&sale));
        }
        paid_with_coupon.extend(order.paid.as_ref().and_then(|paid| Some((paid.coupon_id?, order.id, order.status))));
        if paid_with_coupon.len() == CHUNK {
            compare_coupons(audit, &mut paid_with_coupon).await?;
        }
    }
    compare_coupons(audit, &mut paid_with_coupon).await?;
    belongings.rest(audit).await?;
    Ok(sold)
}

fn line_total(line: &crate::order::OrderLine) -> Option<Money> {
    line.unit_price.checked_mul(line.quantity)
}

fn finding(order_id: OrderId, what: impl Into<String>) -> Finding {
    Finding::Order { order_id, what: what.into() }
}

/// All rows that name one order.
struct Belongings {
    payments: Vec<Payment>,
    refunds: Vec<Refund>,
    entries: Vec<PointEntry>,
    movements: Vec<StockMovement>,
    events: Vec<EventOutline>,
}

/// The lists that belong to orders, each walked in step with them.
struct Walks {
    payments: Walk<Payments>,
    refunds: Walk<Refunds>,
    entries: Walk<EntriesByOrder>,
    movements: Walk<MovementsByOrder>,
    events: Walk<Events>,
}

impl Walks {
    fn new() -> Self {
        Self {
            payments: Walk::new(),
            refunds: Walk::new(),
            entries: Walk::new(),
            movements: Walk::new(),
            events: Walk::new(),
        }
    }

    async fn of(&mut self, audit: &mut Audit<'_>, order: &Order) -> Result<Belongings, StoreError> {
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

    async fn rest(mut self, audit: &mut Audit<'_>) -> Result<(), StoreError> {
        self.strays_before(audit, None).await
    }

    /// Rows before the next order: of orders that are not there.
    async fn strays_before(&mut self, audit: &mut Audit<'_>, next: Option<OrderId>) -> Result<(), StoreError> {
        strays(audit, &mut self.payments, next, |payment| Some(payment.order_id), "a payment").await?;
        strays(audit, &mut self.refunds, next, |refund| Some(refund.order_id), "a refund").await?;
        strays(audit, &mut self.entries, next, |entry| entry.order_id, "a ledger entry").await?;
        strays(audit, &mut self.movements, next, |movement| movement.order_id, "a stock movement").await?;
        strays(audit, &mut self.events, next, |event| Some(event.order_id), "an event").await
    }
}

async fn strays<L: List>(
    audit: &mut Audit<'_>,
    rows: &mut Walk<L>,
    next_order: Option<OrderId>,
    order_of: impl Fn(&L::Row) -> Option<OrderId>,
    what: &str,
) -> Result<(), StoreError> {
    let is_stray = |row: &L::Row| order_of(row).is_none_or(|id| next_order.is_none_or(|next| id < next));
    while let Some(row) = rows.next_if(audit, is_stray).await? {
        if let Some(order_id) = order_of(&row) {
            audit.find(finding(order_id, format!("{what} has no order")));
        }
    }
    Ok(())
}

/// The checks of one order.
struct Check<'a, 'b> {
    audit: &'a mut Audit<'b>,
    order: &'a Order,
}

impl Check<'_, '_> {
    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        let id = self.order.id;
        self.audit.expect(holds, || finding(id, what()));
    }

    fn is_paid(&self) -> bool {
        match self.order.status {
            OrderStatus::Paid | OrderStatus::PartiallyRefunded | OrderStatus::Refunded => true,
            OrderStatus::PendingPayment | OrderStatus::Expired | OrderStatus::Cancelled => false,
        }
    }

    fn amounts(&mut self, line_totals: &[Money]) {
        let order = self.order;
        self.expect(!order.lines.is_empty(), || "has no lines".to_owned());
        let total = Money::checked_sum(line_totals.iter().copied());
        self.expect(total == Some(order.total), || format!("costs {:?}; its lines come to {total:?}", order.total));

        let discount = order.paid.as_ref().map_or(Money::ZERO, |paid| paid.discount);
        let shares = Money::checked_sum(order.lines.iter().map(|line| line.discount_share));
        self.expect(shares == Some(discount), || {
            format!("the discount is {discount:?}; its shares come to {shares:?}")
        });
        for (line, line_total) in order.lines.iter().zip(line_totals) {
            let within = !line.discount_share.is_negative() && line.discount_share <= *line_total;
            self.expect(within, || format!("the discount share of product {} is not within its line", line.product_id));
        }
        if let Some(PaidTerms { discount, amount, .. }) = order.paid {
            let sum = discount.checked_add(amount);
            self.expect(sum == Some(order.total) && !discount.is_negative() && !amount.is_negative(), || {
                format!("discount {discount:?} and amount {amount:?} do not make the total {:?}", order.total)
            });
        }
        self.expect(self.is_paid() == order.paid.is_some(), || {
            format!("is {:?}, but {} payment terms", order.status, if order.paid.is_some() { "has" } else { "has no" })
        });
    }

    fn times(&mut self) {
        let order = self.order;
        self.expect(order.created_at < order.expires_at, || "expires before it was placed".to_owned());
        if let Some(paid) = &order.paid {
            let in_time = order.created_at <= paid.at && paid.at < order.expires_at;
            self.expect(in_time, || format!("was paid at {:?}, out of its time", paid.at));
        }
    }

    fn payment(&mut self, payments: &[Payment]) {
        let expected = usize::from(self.order.paid.is_some());
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
        self.expect(same, || format!("its payment {} says something else", payment.id));
    }

    fn refunds(&mut self, refunds: &[Refund]) {
        let order = self.order;
        let amount = Money::checked_sum(refunds.iter().map(|refund| refund.amount));
        self.expect(amount == Some(order.refunded), || {
            format!("counts {:?} refunded; its refunds come to {amount:?}", order.refunded)
        });
        let paid = order.paid.as_ref().map_or(Money::ZERO, |paid| paid.amount);
        self.expect(order.refunded <= paid, || format!("{:?} was refunded of {paid:?}", order.refunded));
        let in_sequence = refunds.iter().zip(1..).all(|(refund, sequence)| refund.sequence == sequence);
        self.expect(in_sequence && refunds.len() == usize::try_from(order.refunds).unwrap_or(usize::MAX), || {
            format!("counts {} refunds; there are {}", order.refunds, refunds.len())
        });
        for refund in refunds {
            let lines = Money::checked_sum(refund.lines.iter().map(|line| line.amount));
            self.expect(lines == Some(refund.amount), || {
                format!("refund {} is {:?}; its lines come to {lines:?}", refund.sequence, refund.amount)
            });
        }
        let mut pieces = pieces_of(refunds.iter());
        for line in &order.lines {
            let refunded = pieces.remove(&line.product_id).unwrap_or_default();
            self.expect(
                i64::from(line.refunded_quantity) == refunded && line.refunded_quantity <= line.quantity,
                || {
                    let counted = line.refunded_quantity;
                    format!(
                        "counts {counted} refunded pieces of product {}; its refunds say {refunded}",
                        line.product_id
                    )
                },
            );
        }
        self.expect(pieces.is_empty(), || "products were refunded that it does not have".to_owned());
        let whole = order.lines.iter().all(|line| line.refunded_quantity == line.quantity);
        let right_status = match order.status {
            OrderStatus::Refunded => whole && order.refunded == paid,
            OrderStatus::PartiallyRefunded => !whole && !refunds.is_empty(),
            OrderStatus::PendingPayment | OrderStatus::Paid | OrderStatus::Expired | OrderStatus::Cancelled => {
                refunds.is_empty()
            }
        };
        self.expect(right_status, || format!("is {:?} with {} refunds", order.status, refunds.len()));
    }

    /// One debit for the payment, one credit for each refund, all in the user's own ledger.
    fn entries(&mut self, own: &Belongings) {
        let order = self.order;
        let own_ledger = own.entries.iter().all(|entry| entry.user_id == order.user_id);
        self.expect(own_ledger, || "another user's ledger has an entry of it".to_owned());
        let amounts = |kind: EntryKind| -> Vec<Money> {
            let mut amounts: Vec<Money> =
                own.entries.iter().filter(|entry| entry.kind == kind).map(|entry| entry.amount).collect();
            amounts.sort_unstable();
            amounts
        };
        let debits: Vec<Money> = order.paid.iter().map(|paid| paid.amount.negated()).collect();
        let found = amounts(EntryKind::Payment);
        self.expect(found == debits, || format!("the ledger has debits {found:?}, not {debits:?}"));
        let mut credits: Vec<Money> = own.refunds.iter().map(|refund| refund.amount).collect();
        credits.sort_unstable();
        let found = amounts(EntryKind::Refund);
        self.expect(found == credits, || format!("the ledger has credits {found:?}, not {credits:?}"));
    }

    /// What it holds or sold went out once, and came back as its state says.
    fn movements(&mut self, own: &Belongings) {
        let order = self.order;
        let moved = |kind: MovementKind| {
            let mut pieces: BTreeMap<ProductId, i64> = BTreeMap::new();
            for movement in own.movements.iter().filter(|movement| movement.kind == kind) {
                *pieces.entry(movement.product_id).or_default() += movement.quantity;
            }
            pieces
        };
        let ordered = |sign: i64| -> BTreeMap<ProductId, i64> {
            order.lines.iter().map(|line| (line.product_id, sign * i64::from(line.quantity))).collect()
        };
        let back_when = |status: OrderStatus| if order.status == status { ordered(1) } else { BTreeMap::new() };
        let restocked = pieces_of(own.refunds.iter().filter(|refund| refund.restocked));
        for (kind, expected) in [
            (MovementKind::Hold, ordered(-1)),
            (MovementKind::Expiry, back_when(OrderStatus::Expired)),
            (MovementKind::Cancellation, back_when(OrderStatus::Cancelled)),
            (MovementKind::Refund, restocked),
            (MovementKind::Adjustment, BTreeMap::new()),
        ] {
            let found = moved(kind);
            self.expect(found == expected, || format!("{kind:?} moved {found:?}, not {expected:?}"));
        }
    }

    /// The event of its payment, then one of each refund.
    fn events(&mut self, events: &[EventOutline]) {
        let order = self.order;
        let paid = order.paid.iter().map(|_| "jangteo.order.paid.v1");
        let refunds = (0..order.refunds).map(|_| "jangteo.order.refunded.v1");
        let expected: Vec<(u32, &str)> = (1..).zip(paid.chain(refunds)).collect();
        let found: Vec<(u32, &str)> = events.iter().map(|event| (event.sequence, event.event_type.as_str())).collect();
        self.expect(found == expected, || format!("has the events {found:?}, not {expected:?}"));
    }
}

/// Refunded pieces by product.
fn pieces_of<'a>(refunds: impl Iterator<Item = &'a Refund>) -> BTreeMap<ProductId, i64> {
    let mut pieces = BTreeMap::new();
    for line in refunds.flat_map(|refund| &refund.lines) {
        *pieces.entry(line.product_id).or_default() += i64::from(line.quantity);
    }
    pieces
}

/// Compares orders with the coupons that they say they were paid with, and forgets them. A coupon whose order was
/// wholly refunded may have been given back, and used again by another.
async fn compare_coupons(
    audit: &mut Audit<'_>,
    orders: &mut Vec<(CouponId, OrderId, OrderStatus)>,
) -> Result<(), StoreError> {
    if orders.is_empty() {
        return Ok(());
    }
    let ids: Vec<CouponId> = orders.iter().map(|(coupon_id, ..)| *coupon_id).collect();
    let page = audit.books.coupons_of(&ids).await?;
    let coupons: BTreeMap<CouponId, Coupon> = audit.take(page).into_iter().map(|coupon| (coupon.id, coupon)).collect();
    for (coupon_id, order_id, status) in orders.drain(..) {
        let coupon = coupons.get(&coupon_id);
        let used_by_it = coupon
            .is_some_and(|coupon| matches!(coupon.state, CouponState::Used { order_id: by, .. } if by == order_id));
        let given_back = coupon.is_some() && status == OrderStatus::Refunded;
        audit.expect(used_by_it || given_back, || {
            finding(order_id, format!("was paid with coupon {coupon_id}, which does not say so"))
        });
    }
    Ok(())
}
