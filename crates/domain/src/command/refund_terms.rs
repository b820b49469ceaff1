//! The effect of a refund, shared by the refund and the cancellation of a paid order.

use crate::command::decide::Context;
use crate::id::{OrderId, ProductId};
use crate::order::{Order, OrderStatus, RefundedOrder};
use crate::outbox::OutboxEvent;
use crate::payment::{Refund, RefundReason};
use crate::product::ProductRejection;
use crate::rejection::Rejection;
use crate::sales::SaleCounted;
use crate::stock::{MovementKind, Stock, StockMovement};
use crate::transaction::{Appended, States};
use crate::working_set::WorkingSet;

/// The terms of a refund.
pub(super) struct RefundTerms {
    pub restock: bool,
    pub reason: RefundReason,
}

impl RefundTerms {
    /// Returns the refund, the refunded order and all changes.
    pub(super) fn effect_on(
        self,
        refunded: RefundedOrder,
        set: &WorkingSet,
        context: &Context<'_>,
    ) -> Result<(Refund, Order, States, Appended), Rejection> {
        let Context { rules, now, events, .. } = *context;
        let RefundedOrder { order, lines, amount, paid } = refunded;
        let refund = Refund {
            id: context.new_id(),
            order_id: order.id,
            sequence: order.refunds,
            amount,
            restocked: self.restock,
            reason: self.reason,
            lines,
            at: now,
        };
        let (account, entry) = set.account(&order.user_id).refund(amount, order.id, context.new_id(), now)?;
        let (stocks, stock_movements) = if self.restock {
            let items = refund.lines.iter().map(|line| (line.product_id, line.quantity));
            restore_stock(order.id, items, MovementKind::Refund, set, context)?
        } else {
            (vec![], vec![])
        };
        let used = paid.coupon_id.filter(|_| order.status == OrderStatus::Refunded);
        let restored = used.and_then(|id| set.coupon(id)).and_then(|coupon| coupon.restore(order.id, now));
        let event = OutboxEvent::order_refunded(context.new_id(), &order, &refund, rules.currency, events);
        let states = States {
            orders: vec![order.clone()],
            accounts: vec![account],
            stocks,
            coupons: restored.into_iter().collect(),
            ..States::default()
        };
        let appended = Appended {
            point_entries: vec![entry],
            stock_movements,
            sales: refund.lines.iter().map(|line| SaleCounted::of_refund(line, paid.sales_day)).collect(),
            refunds: vec![refund.clone()],
            outbox: vec![event],
            ..Appended::default()
        };
        Ok((refund, order, states, appended))
    }
}

/// Returns items of an order to their stocks. Each product may occur only once.
pub(super) fn restore_stock(
    order_id: OrderId,
    items: impl Iterator<Item = (ProductId, u32)>,
    kind: MovementKind,
    set: &WorkingSet,
    context: &Context<'_>,
) -> Result<(Vec<Stock>, Vec<StockMovement>), Rejection> {
    let restore = |(product_id, quantity)| -> Result<(Stock, StockMovement), Rejection> {
        let stock = set.stock(product_id).ok_or(ProductRejection::NotFound { product_id })?;
        Ok(stock.restore(quantity, kind, order_id, context.new_id(), context.now))
    };
    items.map(restore).collect()
}
