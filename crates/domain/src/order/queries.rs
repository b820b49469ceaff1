use async_trait::async_trait;

use crate::id::{OrderId, UserId};
use crate::order::{Order, OrderStatus};
use crate::page::{AsOf, Page};
use crate::store_error::StoreError;

/// Reads orders for showing; takes no lock and gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait OrderQueries: Send + Sync {
    /// The order of that id, with the database's time, from which the time left follows.
    async fn find(&self, id: OrderId) -> Result<AsOf<Option<Order>>, StoreError>;

    /// A user's orders, all or those in one status, newest first; the page's key is an order's id.
    async fn of_user(
        &self,
        user_id: &UserId,
        status: Option<OrderStatus>,
        page: &Page<OrderId>,
    ) -> Result<AsOf<Vec<Order>>, StoreError>;

    /// Unpaid orders whose time is over by the database's clock, the longest overdue first, at most `limit`. They are
    /// candidates: whether one expires is decided under its lock.
    async fn due(&self, limit: u32) -> Result<Vec<OrderId>, StoreError>;
}
