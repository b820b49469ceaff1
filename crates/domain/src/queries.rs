//! The read ports of a store, together.

use std::sync::Arc;

use async_trait::async_trait;

use crate::audit::AuditQueries;
use crate::coupon::CouponQueries;
use crate::delivery::DeliveryQueries;
use crate::order::OrderQueries;
use crate::overview::OverviewQueries;
use crate::point::PointQueries;
use crate::product::ProductQueries;
use crate::sales::SalesQueries;
use crate::statistics::StatisticsQueries;
use crate::stock::StockQueries;
use crate::store_error::StoreError;
use crate::time::Timestamp;
use crate::token::RevocationQueries;

/// The read ports of one store. They return committed data, take no locks, may use a replica, and gate no write.
#[derive(Clone)]
#[expect(missing_docs, reason = "each is the read port of the aggregate in its name")]
pub struct Queries {
    pub points: Arc<dyn PointQueries>,
    pub products: Arc<dyn ProductQueries>,
    pub stocks: Arc<dyn StockQueries>,
    pub coupons: Arc<dyn CouponQueries>,
    pub orders: Arc<dyn OrderQueries>,
    pub sales: Arc<dyn SalesQueries>,
    pub audit: Arc<dyn AuditQueries>,
    pub revocations: Arc<dyn RevocationQueries>,
    pub deliveries: Arc<dyn DeliveryQueries>,
    pub statistics: Arc<dyn StatisticsQueries>,
    pub overview: Arc<dyn OverviewQueries>,
    pub clock: Arc<dyn DatabaseClock>,
}

impl Queries {
    /// The read ports of a store that implements all of them.
    pub fn of<S>(store: S) -> Self
    where
        S: PointQueries + ProductQueries + StockQueries + CouponQueries + OrderQueries + SalesQueries,
        S: AuditQueries
            + RevocationQueries
            + DeliveryQueries
            + StatisticsQueries
            + OverviewQueries
            + DatabaseClock
            + 'static,
    {
        let store = Arc::new(store);
        Self {
            points: store.clone(),
            products: store.clone(),
            stocks: store.clone(),
            coupons: store.clone(),
            orders: store.clone(),
            sales: store.clone(),
            audit: store.clone(),
            revocations: store.clone(),
            deliveries: store.clone(),
            statistics: store.clone(),
            overview: store.clone(),
            clock: store,
        }
    }
}

/// The database's clock, which decides all deadlines.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait DatabaseClock: Send + Sync {
    /// The current time.
    async fn now(&self) -> Result<Timestamp, StoreError>;
}
