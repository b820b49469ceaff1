use jangteo_domain::id::{MovementId, OrderId, ProductId};
use jangteo_domain::stock::{MovementKind, MovementReason, Stock, StockMovement};

use crate::rows::{lookups, rows};
use crate::types::{At, Code, Id, Integer, Varchar, codes};

rows! {
    /// A product's stock.
    StockRow of stocks {
        product_id: Id<ProductId>,
    } {
        available: Integer<u32>,
        movements: Integer<u64>,
    }

    /// A change of a stock.
    StockMovementRow of stock_movements {
        id: Id<MovementId>,
    } {
        product_id: Id<ProductId>,
        sequence: Integer<u64>,
        quantity: Integer<i64>,
        available_after: Integer<u32>,
        kind: Code<MovementKind>,
        order_id: Option<Id<OrderId>>,
        reason: Option<Varchar<MovementReason>>,
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
        Reservation = "reservation",
        Expiry = "expiry",
        Cancellation = "cancellation",
        Refund = "refund",
    }
}

#[cfg(test)]
impl StockRow {
    /// So many pieces of the product with that number.
    pub fn numbered(number: u32) -> Self {
        Self { product_id: Id::numbered(number), available: Integer(number), movements: Integer(1) }
    }
}

impl From<&Stock> for StockRow {
    fn from(stock: &Stock) -> Self {
        Self {
            product_id: Id(stock.product_id),
            available: Integer(stock.available),
            movements: Integer(stock.movements),
        }
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
            sequence: Integer(movement.sequence),
            quantity: Integer(movement.quantity),
            available_after: Integer(movement.available_after),
            kind: Code(movement.kind),
            order_id: movement.order_id.map(Id),
            reason: movement.reason.clone().map(Varchar),
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
