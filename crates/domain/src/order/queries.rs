use std::ops::RangeInclusive;

use async_trait::async_trait;
use time::Duration;
use uuid::Uuid;

use crate::id::{OrderId, UserId, first_id_at};
use crate::order::{Order, OrderStatus};
use crate::page::{AsOf, Page};
use crate::store_error::StoreError;
use crate::time::Timestamp;

/// Selects orders; `None` matches every order.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct OrderFilter {
    pub user_id: Option<UserId>,
    pub status: Option<OrderStatus>,
    /// Placed at this time or later.
    pub from: Option<Timestamp>,
    /// Placed before this time.
    pub to: Option<Timestamp>,
}

impl OrderFilter {
    /// The maximum difference between the server's clock (order ids) and the database's clock (order times).
    const CLOCK_SKEW_MAX: Duration = Duration::days(1);

    /// All orders of a user.
    pub fn of_user(user_id: &UserId) -> Self {
        Self { user_id: Some(user_id.clone()), ..Self::default() }
    }

    /// A range of ids that contains all orders of the time range, for index scans: an id starts with its creation time
    /// (RFC 9562, 5.7).
    pub fn id_range(&self) -> RangeInclusive<OrderId> {
        let from = self.from.map(|from| first_id_at(from.saturating_sub(Self::CLOCK_SKEW_MAX)));
        let to = self.to.map(|to| first_id_at(to.saturating_add(Self::CLOCK_SKEW_MAX)));
        from.unwrap_or(Uuid::nil()).into()..=to.unwrap_or(Uuid::max()).into()
    }
}

/// An unpaid order past its deadline. Sorts by deadline: the longest overdue first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "the fields are those of the order")]
pub struct DueOrder {
    pub expires_at: Timestamp,
    pub id: OrderId,
}

/// Reads orders for display, without locks; gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait OrderQueries: Send + Sync {
    /// The order, with the database's time to compute the time left.
    async fn find(&self, id: OrderId) -> Result<AsOf<Option<Order>>, StoreError>;

    /// The matching orders, newest first; the page's key is an order id.
    async fn list(&self, filter: &OrderFilter, page: &Page<OrderId>) -> Result<AsOf<Vec<Order>>, StoreError>;

    /// Unpaid orders past their deadline by the database's clock, the longest overdue first, from the one after `after`,
    /// at most `limit`. They are read on the primary, and are candidates: expiry is decided under lock.
    async fn due(&self, after: Option<DueOrder>, limit: u32) -> Result<Vec<DueOrder>, StoreError>;
}
