//! The read ports of a store, together.

use std::sync::Arc;

use async_trait::async_trait;

use crate::audit::AuditQueries;
use crate::coupon::CouponQueries;
use crate::delivery::DeliveryQueries;
use crate::order::OrderQueries;
use crate::point::PointQueries;
use crate::product::ProductQueries;
use crate::sales::SalesQueries;
use crate::stock::StockQueries;
use crate::store_error::StoreError;
use crate::time::Timestamp;

/// The read ports of one store. They answer what was committed, take no lock, may go to a replica, and gate no write.
#[derive(Clone)]
#[expect(missing_docs, reason = "each is the read port of the aggregate that it is named after")]
pub struct Queries {
    pub points: Arc<dyn PointQueries>,
    pub products: Arc<dyn ProductQueries>,
    pub stocks: Arc<dyn StockQueries>,
    pub coupons: Arc<dyn CouponQueries>,
    pub orders: Arc<dyn OrderQueries>,
    pub sales: Arc<dyn SalesQueries>,
    pub audit: Arc<dyn AuditQueries>,
    pub deliveries: Arc<dyn DeliveryQueries>,
    /// The database's clock.
    pub clock: Arc<dyn DatabaseClock>,
}

/// The database's clock, by which all deadlines are decided.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait DatabaseClock: Send + Sync {
    /// The time now.
    async fn now(&self) -> Result<Timestamp, StoreError>;
}
