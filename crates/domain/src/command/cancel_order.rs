use crate::command::{Actor, Context, Decide, Decision, Event, Reply};
use crate::coupon::CouponEvent;
use crate::id::{EntryId, EventId, MovementId, OrderId, RefundId};
use crate::money::Money;
use crate::order::{Order, OrderEvent, OrderRefusal, PaidTerms, RefundedLine};
use crate::outbox::OutboxEvent;
use crate::payment::Refund;
use crate::product::ProductRefusal;
use crate::refusal::Refusal;
use crate::sales::SaleCounted;
use crate::stock::{MovementKind, StockMovement};
use crate::working_set::{Locks, OrderOutline, WorkingSet};

/// End an order: give its stock back and, where it was paid, what was paid too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CancelOrder {
    /// The order.
    pub order_id: OrderId,
    /// Who asks.
    pub actor: Actor,
}

impl Decide for CancelOrder {
    fn name_locks(&self, locks: &mut Locks) {
        locks.orders.insert(self.order_id);
    }

    fn order_id(&self) -> Option<OrderId> {
        Some(self.order_id)
    }

    fn name_locks_of_order(&self, order: &OrderOutline, locks: &mut Locks) {
        locks.stocks.extend(&order.product_ids);
        locks.accounts.insert(order.user_id.clone());
        locks.coupons.extend(order.coupon_id);
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Refusal> {
        let visible = |order: &&Order| self.actor.may_see(&order.user_id);
        let order = set.order(self.order_id).filter(visible).ok_or(OrderRefusal::NotFound)?;
        let end = order.cancel(context.rules.currency, context.now)?;
        let mut order_after = order.clone();
        order_after.apply(&end);

        let mut events = match (&end, &order.paid) {
            (OrderEvent::Refunded { lines, .. }, Some(paid)) => refund(order, &order_after, paid, lines, set, context)?,
            _ => restore_stock(order, held_pieces(order), MovementKind::Cancellation, set, context)?,
        };
        events.insert(0, Event::Order(end));
        Ok(Decision { reply: Reply::OrderCancelled { order: order_after, now: context.now }, events })
    }
}

/// What the refund of a whole order brings about, besides the change of the order itself.
fn refund(
    order: &Order,
    order_after: &Order,
    paid: &PaidTerms,
    lines: &[RefundedLine],
    set: &WorkingSet,
    context: &Context<'_>,
) -> Result<Vec<Event>, Refusal> {
    let Context { rules, now, ids } = *context;
    let amount = Money::checked_sum(lines.iter().map(|line| line.amount)).expect("at most what was paid");
    let refund = Refund {
        id: RefundId::next(ids),
        order_id: order.id,
        sequence: order_after.refunds,
        amount,
        restocked: true,
        reason: "cancellation".to_owned(),
        lines: lines.to_vec(),
        at: now,
    };
    let entry = set.account(&order.user_id).refund(amount, order.id, EntryId::next(ids), now)?;
    let coupon = paid.coupon_id.and_then(|id| set.coupon(id)).and_then(|coupon| coupon.restore(order.id, now));
    let event = OutboxEvent::order_refunded(EventId::next(ids), order_after, &refund, rules.currency);

    let pieces = lines.iter().map(|line| (line.product_id, line.quantity));
    let mut events = restore_stock(order, pieces, MovementKind::Refund, set, context)?;
    events.extend([Event::Point(entry), Event::Refund(refund)]);
    events.extend(coupon.map(|coupon| Event::Coupon(CouponEvent::Changed(coupon))));
    events.extend(SaleCounted::of_refund(lines, paid.sales_day).map(Event::Sale));
    events.push(Event::Outbox(Box::new(event)));
    Ok(events)
}

/// The pieces that an unpaid order holds.
pub(super) fn held_pieces(order: &Order) -> impl Iterator<Item = (crate::id::ProductId, u32)> {
    order.lines.iter().map(|line| (line.product_id, line.quantity))
}

/// The movements that bring pieces of an order back into the stock.
pub(super) fn restore_stock(
    order: &Order,
    pieces: impl Iterator<Item = (crate::id::ProductId, u32)>,
    kind: MovementKind,
    set: &WorkingSet,
    context: &Context<'_>,
) -> Result<Vec<Event>, Refusal> {
    let movement = |(product_id, quantity)| -> Result<StockMovement, Refusal> {
        let stock = set.stock(product_id).ok_or(ProductRefusal::NotFound { product_id })?;
        Ok(stock.restore(quantity, kind, order.id, MovementId::next(context.ids), context.now)?)
    };
    pieces.map(|line| movement(line).map(Event::Stock)).collect()
}

#[cfg(test)]
mod tests;
