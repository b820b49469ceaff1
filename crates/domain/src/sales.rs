//! Sales: how many pieces of each product were sold and not refunded, day by day in the shop's time zone.

mod event;
mod queries;
mod repository;
mod state;

pub use event::SaleCounted;
pub use queries::{PopularProduct, SalesQueries};
pub use repository::SalesRepository;
pub use state::DailySales;

#[cfg(any(test, feature = "mock"))]
pub use {queries::MockSalesQueries, repository::MockSalesRepository};
