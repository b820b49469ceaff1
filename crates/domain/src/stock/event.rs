use crate::id::{MovementId, OrderId, ProductId};
use crate::text::Text;
use crate::time::Timestamp;

/// Why the back office moved a stock, in words.
pub type MovementReason = Text<1, 200>;

/// A change of a stock: written once, never changed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StockMovement {
    /// The movement's id.
    pub id: MovementId,
    /// The product whose stock moved.
    pub product_id: ProductId,
    /// Its place among the movements of that stock: 1, 2, 3 … without gaps.
    pub sequence: u64,
    /// Pieces: above zero into the stock, below zero out of it.
    pub quantity: i64,
    /// What could be ordered after it.
    pub available_after: u32,
    /// Why the stock moved.
    pub kind: MovementKind,
    /// The order that held or returned the pieces.
    pub order_id: Option<OrderId>,
    /// Why, in the words of the back office; an adjustment has one.
    pub reason: Option<MovementReason>,
    /// When it was written.
    pub at: Timestamp,
}

/// Why a stock moved.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum MovementKind {
    /// The back office added or took pieces.
    Adjustment,
    /// An order was placed and holds them.
    Reservation,
    /// The order expired unpaid.
    Expiry,
    /// The order was cancelled before it was paid.
    Cancellation,
    /// Pieces of a paid order came back.
    Refund,
}
