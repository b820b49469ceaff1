//! The customers' resources, a file for each.

pub mod coupons;
pub mod orders;
pub mod payments;
pub mod points;
pub mod popular;
pub mod products;
pub mod quotes;
pub mod refunds;
pub mod shop;
