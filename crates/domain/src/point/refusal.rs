use thiserror::Error;

use crate::money::Money;

/// Why points do not move.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum PointRefusal {
    /// One charge may add at most so much.
    #[error("one charge may add at most {charge_max:?}")]
    ChargeLimitExceeded {
        /// The most that one charge may add.
        charge_max: Money,
    },
    /// The balance after the charge would be above the limit.
    #[error("the balance {balance:?} may not go above {balance_max:?}")]
    BalanceLimitExceeded {
        /// The balance now.
        balance: Money,
        /// The most that it may be.
        balance_max: Money,
    },
    /// The account does not hold what the payment takes.
    #[error("the balance {balance:?} does not cover {required:?}")]
    InsufficientPoints {
        /// The balance now.
        balance: Money,
        /// What the payment takes.
        required: Money,
    },
}
