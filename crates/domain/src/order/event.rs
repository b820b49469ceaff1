use crate::id::{OrderId, ProductId};
use crate::money::Money;
use crate::order::{Order, PaidTerms};

/// What happens to an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OrderEvent {
    /// It was placed; its user has one more open order.
    Placed(Order),
    /// It was paid; its user has one open order less.
    Paid {
        /// The order.
        order_id: OrderId,
        /// How it was paid.
        terms: PaidTerms,
        /// Each line's share of the discount, in the order of the lines.
        discount_shares: Vec<Money>,
    },
    /// It was not paid in time; its user has one open order less.
    Expired {
        /// The order.
        order_id: OrderId,
    },
    /// It was cancelled before it was paid; its user has one open order less.
    Cancelled {
        /// The order.
        order_id: OrderId,
    },
    /// Pieces of it were refunded.
    Refunded {
        /// The order.
        order_id: OrderId,
        /// What was refunded of which line.
        lines: Vec<RefundedLine>,
    },
}

impl OrderEvent {
    /// The order that it happens to.
    pub fn order_id(&self) -> OrderId {
        match self {
            Self::Placed(order) => order.id,
            Self::Paid { order_id, .. }
            | Self::Expired { order_id }
            | Self::Cancelled { order_id }
            | Self::Refunded { order_id, .. } => *order_id,
        }
    }
}

/// Pieces of a line that were refunded together.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RefundedLine {
    /// The product of the line.
    pub product_id: ProductId,
    /// Pieces, at least one.
    pub quantity: u32,
    /// What came back for them.
    pub amount: Money,
}
