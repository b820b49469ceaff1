//! The limits and terms of one shop, set by its operator.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use time::Duration;

use crate::money::{Currency, Money};
use crate::order::LineLimits;
use crate::product::Price;
use crate::time::{Date, Timestamp};

/// The shop's calendar.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait ShopCalendar: Send + Sync {
    /// The day of that time in the shop's time zone.
    fn day_of(&self, at: Timestamp) -> Date;
}

/// The rules of one shop. Every limit has a reason; the settings' documentation has the defaults.
#[derive(Clone)]
pub struct ShopRules {
    /// Of every amount.
    pub currency: Currency,
    /// The maximum of one top-up: bounds a typing error.
    pub top_up_max: Money,
    /// The maximum balance after a top-up. Refunds may exceed it: a payment is always refundable.
    pub balance_max: Money,
    /// How long an unpaid order reserves its stock.
    pub order_ttl: Duration,
    /// The maximum of lines in an order: bounds the rows of a request.
    pub order_lines_max: u32,
    /// The maximum quantity of one product in an order.
    pub order_quantity_max: u32,
    /// The maximum of unpaid orders of a user: bounds the stock that one user can reserve without paying.
    pub open_orders_max: u32,
    /// The maximum of orders of a user and a day that are not paid: bounds the rows that one user can write for nothing.
    pub unpaid_orders_max: u32,
    /// The maximum of items that the unpaid orders of a user reserve.
    pub reserved_quantity_max: u32,
    /// The calendar that assigns a sale to its day.
    pub calendar: Arc<dyn ShopCalendar>,
}

impl ShopRules {
    /// The limits of a new order.
    pub fn line_limits(&self) -> LineLimits {
        LineLimits { lines_max: self.order_lines_max, quantity_max: self.order_quantity_max }
    }

    /// Validates that the limits fit together.
    ///
    /// # Errors
    /// The first limit that is zero or negative, or so large that an order's total could leave the range of
    /// [`Money`].
    pub fn check(&self) -> Result<(), InvalidRules> {
        let positive = [
            ("top_up_max", self.top_up_max.is_positive()),
            ("balance_max", self.balance_max.is_positive()),
            ("order_ttl", self.order_ttl.is_positive()),
            ("order_lines_max", self.order_lines_max > 0),
            ("order_quantity_max", self.order_quantity_max > 0),
            ("open_orders_max", self.open_orders_max > 0),
            ("unpaid_orders_max", self.unpaid_orders_max > 0),
            ("reserved_quantity_max", self.reserved_quantity_max > 0),
        ];
        if let Some((name, _)) = positive.into_iter().find(|(_, positive)| !positive) {
            return Err(InvalidRules::NotPositive { name });
        }
        Price::MAX
            .checked_mul(self.order_quantity_max)
            .and_then(|line| line.checked_mul(self.order_lines_max))
            .map(|_| ())
            .ok_or(InvalidRules::OrderTooLarge)
    }
}

impl fmt::Debug for ShopRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShopRules")
            .field("currency", &self.currency.code())
            .field("top_up_max", &self.top_up_max)
            .field("balance_max", &self.balance_max)
            .field("order_ttl", &self.order_ttl)
            .field("order_lines_max", &self.order_lines_max)
            .field("order_quantity_max", &self.order_quantity_max)
            .field("open_orders_max", &self.open_orders_max)
            .field("unpaid_orders_max", &self.unpaid_orders_max)
            .field("reserved_quantity_max", &self.reserved_quantity_max)
            .finish_non_exhaustive()
    }
}

/// Contradictory rules.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidRules {
    /// A limit that allows nothing.
    #[error("{name} must be above zero")]
    NotPositive {
        /// The name of the limit.
        name: &'static str,
    },
    /// The total of the largest order could leave the range of money.
    #[error("order_lines_max times order_quantity_max is too large: an order's total would leave the range of money")]
    OrderTooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fixtures::won;
    use crate::testing::rules;

    #[test]
    fn the_defaults_fit_together() {
        assert_eq!(rules().check(), Ok(()));
    }

    #[test]
    fn rejects_a_limit_that_allows_nothing() {
        for (rules, name) in [
            (ShopRules { top_up_max: Money::ZERO, ..rules() }, "top_up_max"),
            (ShopRules { balance_max: won(-1), ..rules() }, "balance_max"),
            (ShopRules { order_ttl: Duration::ZERO, ..rules() }, "order_ttl"),
            (ShopRules { order_lines_max: 0, ..rules() }, "order_lines_max"),
            (ShopRules { order_quantity_max: 0, ..rules() }, "order_quantity_max"),
            (ShopRules { open_orders_max: 0, ..rules() }, "open_orders_max"),
            (ShopRules { unpaid_orders_max: 0, ..rules() }, "unpaid_orders_max"),
            (ShopRules { reserved_quantity_max: 0, ..rules() }, "reserved_quantity_max"),
        ] {
            assert_eq!(rules.check(), Err(InvalidRules::NotPositive { name }));
        }
    }

    #[test]
    fn rejects_limits_whose_largest_order_leaves_the_range_of_money() {
        let largest = ShopRules { order_lines_max: 900, order_quantity_max: 1_000, ..rules() };
        assert_eq!(largest.check(), Ok(()));
        for (order_lines_max, order_quantity_max) in [(901, 1_000), (1, 900_001), (u32::MAX, u32::MAX)] {
            let rules = ShopRules { order_lines_max, order_quantity_max, ..rules() };
            assert_eq!(rules.check(), Err(InvalidRules::OrderTooLarge));
        }
    }
}
