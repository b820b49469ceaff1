use thiserror::Error;

/// Why an order cannot be paid, in the order in which it is checked. The points have rejections of their own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum PaymentRejection {
    /// It was paid before.
    #[error("the order is paid already")]
    OrderAlreadyPaid,
    /// It was cancelled.
    #[error("the order is cancelled")]
    OrderCancelled,
    /// Its time to be paid is over, whether or not its stock is back.
    #[error("the order has expired")]
    OrderExpired,
}
