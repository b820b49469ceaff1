use jangteo_domain::id::{MovementId, OrderId, ProductId};
use jangteo_domain::stock::{MovementKind, MovementReason, Stock, StockMovement};

use crate::rows::{lookups, mappings, rows};
use crate::types::{At, Code, Id, Integer, Varchar, codes};

rows! {
    StockRow of stocks {
        product_id: Id<ProductId>,
    } {
        available: Integer<u64>,
        movements: Integer<u64>,
    }

    StockMovementRow of stock_movements {
        id: Id<MovementId>,
    } {
        product_id: Id<ProductId>,
        sequence: Integer<u64>,
        quantity: Integer<i64>,
        available_after: Integer<u64>,
        kind: Code<MovementKind>,
        order_id: Option<Id<OrderId>>,
        reason: Option<Varchar<MovementReason>>,
        created_at: At,
    }
}

lookups! {
    StockOf finds StockRow by "PRIMARY" { product_id: Id<ProductId>, }
}

codes! {
    MovementKind {
        Adjustment = "adjustment",
        Reservation = "reservation",
        Expiry = "expiry",
        Cancellation = "cancellation",
        Refund = "refund",
    }
}

#[cfg(test)]
impl StockRow {
    /// A stock of `number` items.
    pub fn numbered(number: u32) -> Self {
        Self { product_id: Id::numbered(number), available: Integer(number.into()), movements: Integer(1) }
    }
}

mappings! {
    Stock as StockRow {
        product_id: product_id, available: available, movements: movements,
    }
    StockMovement as StockMovementRow {
        id: id, product_id: product_id, sequence: sequence, quantity: quantity, available_after: available_after,
        kind: kind, order_id: order_id, reason: reason, at: created_at,
    }
}
