use crate::id::{OrderId, RefundId};
use crate::money::Money;
use crate::order::RefundedLine;
use crate::text::Text;
use crate::time::Timestamp;

/// Why a payment came back, in words.
pub type RefundReason = Text<1, 200>;

/// What came back of a payment at one time: written once, never changed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Refund {
    /// The refund's id.
    pub id: RefundId,
    /// The order.
    pub order_id: OrderId,
    /// Its place among the refunds of that order: 1, 2, 3 …
    pub sequence: u32,
    /// What came back.
    pub amount: Money,
    /// Whether the pieces went back into the stock.
    pub restocked: bool,
    /// Why, in words.
    pub reason: RefundReason,
    /// What was refunded of which line.
    pub lines: Vec<RefundedLine>,
    /// When.
    pub at: Timestamp,
}
