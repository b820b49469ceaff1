use jangteo_domain::id::{MovementId, OrderId, ProductId};
use jangteo_domain::stock::{MovementKind, MovementReason, Stock, StockMovement};

use crate::rows::{lookups, rows};
use crate::types::{At, Code, Count, Id, Words, codes};

rows! {
    /// A product's stock.
    StockRow of stocks {
        product_id: Id<ProductId>,
    } {
        available: Count<u32>,
        movements: Count<u64>,
    }

    /// A change of a stock.
    StockMovementRow of stock_movements {
        id: Id<MovementId>,
    } {
        product_id: Id<ProductId>,
        sequence: Count<u64>,
        quantity: Count<i64>,
        available_after: Count<u32>,
        kind: Code<MovementKind>,
        order_id: Option<Id<OrderId>>,
        reason: Option<Words<MovementReason>>,
        created_at: At,
    }
}

lookups! {
    /// A stock by its product.
    StockOf finds StockRow by "PRIMARY" { product_id: Id<ProductId>, }
}

codes! {
    MovementKind {
        Adjustment = "adjustment",
        Hold = "hold",
        Expiry = "expiry",
        Cancellation = "cancellation",
        Refund = "refund",
    }
}

#[cfg(test)]
impl StockRow {
    /// So many pieces of the product with that number.
    pub fn numbered(number: u32) -> Self {
        Self { product_id: Id::numbered(number), available: Count(number), movements: Count(1) }
    }
}

impl From<&Stock> for StockRow {
    fn from(stock: &Stock) -> Self {
        Self { product_id: Id(stock.product_id), available: Count(stock.available), movements: Count(stock.movements) }
    }
}

impl From<StockRow> for Stock {
    fn from(row: StockRow) -> Self {
        Self { product_id: row.product_id.0, available: row.available.0, movements: row.movements.0 }
    }
}

impl From<&StockMovement> for StockMovementRow {
    fn from(movement: &StockMovement) -> Self {
        Self {
            id: Id(movement.id),
            product_id: Id(movement.product_id),
            sequence: Count(movement.sequence),
            quantity: Count(movement.quantity),
            available_after: Count(movement.available_after),
            kind: Code(movement.kind),
            order_id: movement.order_id.map(Id),
            reason: movement.reason.clone().map(Words),
            created_at: At(movement.at),
        }
    }
}

impl From<StockMovementRow> for StockMovement {
    fn from(row: StockMovementRow) -> Self {
        Self {
            id: row.id.0,
            product_id: row.product_id.0,
            sequence: row.sequence.0,
            quantity: row.quantity.0,
            available_after: row.available_after.0,
            kind: row.kind.0,
            order_id: row.order_id.map(|id| id.0),
            reason: row.reason.map(|reason| reason.0),
            at: row.created_at.0,
        }
    }
}
