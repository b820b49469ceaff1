use thiserror::Error;

use crate::id::ProductId;
use crate::money::Money;

/// Why an order is not placed, found or ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum OrderRejection {
    /// The caller has no such order.
    #[error("there is no such order")]
    NotFound,
    /// Its total is not what the caller expects.
    #[error("the total is {total:?}, not {expected_total:?}")]
    PriceChanged {
        /// What the caller expects.
        expected_total: Money,
        /// What it is.
        total: Money,
    },
    /// The user has as many unpaid orders as the shop allows.
    #[error("a user may have at most {open_orders_max} unpaid orders")]
    TooManyOpenOrders {
        /// The most unpaid orders.
        open_orders_max: u32,
    },
    /// It was not paid in time.
    #[error("the order has expired")]
    Expired,
    /// It was cancelled, or wholly refunded, before.
    #[error("the order is cancelled already")]
    AlreadyCancelled,
    /// It was not paid, so there is nothing to refund.
    #[error("the order is not paid")]
    NotPaid,
    /// More pieces than are left of that line, or of a product that was not ordered.
    #[error("{refundable} pieces of product {product_id} are left to refund, not {requested}")]
    RefundTooLarge {
        /// The product.
        product_id: ProductId,
        /// Pieces asked for.
        requested: u32,
        /// Pieces left.
        refundable: u32,
    },
    /// It is not waiting to be paid, or still may be paid: there is nothing to expire.
    #[error("the order is not due to expire")]
    NotDue,
}
