use std::ops::RangeInclusive;

use async_trait::async_trait;
use time::Duration;
use uuid::Uuid;

use crate::id::{OrderId, UserId, first_id_at};
use crate::order::{Order, OrderStatus};
use crate::page::{AsOf, Page};
use crate::store_error::StoreError;
use crate::time::Timestamp;

/// Which orders to list; what is `None` does not matter.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct OrderFilter {
    /// Those of this user.
    pub user_id: Option<UserId>,
    /// Those in this status.
    pub status: Option<OrderStatus>,
    /// Those placed at this time or later.
    pub from: Option<Timestamp>,
    /// Those placed before this time.
    pub to: Option<Timestamp>,
}

impl OrderFilter {
    /// How far the clock that an order's id was made by may be from the database's, by which it was placed.
    const CLOCK_SKEW_MAX: Duration = Duration::days(1);

    /// All orders of a user.
    pub fn of_user(user_id: &UserId) -> Self {
        Self { user_id: Some(user_id.clone()), ..Self::default() }
    }

    /// The ids between which all orders are that were placed in the wanted time, so that a store need not look at the
    /// others: an id begins with the time at which it was made (RFC 9562, 5.7).
    pub fn id_range(&self) -> RangeInclusive<OrderId> {
        let from = self.from.map(|from| first_id_at(from.saturating_sub(Self::CLOCK_SKEW_MAX)));
        let to = self.to.map(|to| first_id_at(to.saturating_add(Self::CLOCK_SKEW_MAX)));
        from.unwrap_or(Uuid::nil()).into()..=to.unwrap_or(Uuid::max()).into()
    }
}

/// Reads orders for showing; takes no lock and gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait OrderQueries: Send + Sync {
    /// The order of that id, with the database's time, from which the time left follows.
    async fn find(&self, id: OrderId) -> Result<AsOf<Option<Order>>, StoreError>;

    /// The orders that the filter lets through, newest first; the page's key is an order's id.
    async fn list(&self, filter: &OrderFilter, page: &Page<OrderId>) -> Result<AsOf<Vec<Order>>, StoreError>;

    /// Unpaid orders whose time is over by the database's clock, the longest overdue first, at most `limit`. They are
    /// candidates: whether one expires is decided under its lock.
    async fn due(&self, limit: u32) -> Result<Vec<OrderId>, StoreError>;
}
