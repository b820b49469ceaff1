use thiserror::Error;

use crate::money::Money;

/// Why points do not move.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum PointRejection {
    /// One top-up may add at most so much.
    #[error("one top-up may add at most {top_up_max:?}")]
    TopUpLimitExceeded {
        /// The most that one top-up may add.
        top_up_max: Money,
    },
    /// The balance after the top-up would be above the limit.
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
