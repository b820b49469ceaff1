//! Reads shared by many callers: pages, rankings, products and stock, and polls of the back office.

use std::sync::Arc;

use jangteo_domain::id::ProductId;
use jangteo_domain::product::{Product, ProductListing};
use jangteo_domain::stock::StockQueries;
use jangteo_domain::time::Date;

use crate::catalog_version::CatalogVersion;
use crate::http::respond::cached_response::CachedResponse;
use crate::http::respond::read_cache::ReadCache;

mod availability;

use availability::Availability;

const PAGES_BYTES_MAX: u64 = 32 << 20;
const POLLS_BYTES_MAX: u64 = 16 << 20;
const RANKINGS_BYTES_MAX: u64 = 8 << 20;
const PRODUCTS_BYTES_MAX: u64 = 8 << 20;

/// The default number of days of popular products, today included.
pub const RANKING_DAYS_DEFAULT: u32 = 3;

/// Cached reads of products.
pub struct Catalog {
    /// Serialized pages of products, by list and query string.
    pub pages: ReadCache<String, CachedResponse>,
    /// Responses to polls of the back office, by path and query string.
    pub polls: ReadCache<String, CachedResponse>,
    /// Popular products, by number of days.
    pub rankings: ReadCache<u32, Ranking>,
    /// Products by id; `None` for an unknown id.
    pub products: ReadCache<ProductId, Option<Product>>,
    /// Current stock: never cached, but concurrent reads share a statement.
    pub availability: Availability,
}

impl Catalog {
    /// An empty cache; each new version of the catalog invalidates it. Requires the main runtime.
    pub fn start(version: &CatalogVersion, stocks: &Arc<dyn StockQueries>) -> Self {
        Self {
            pages: ReadCache::new(version.clone(), PAGES_BYTES_MAX, |name, page| name.len() + page.weight()),
            polls: ReadCache::new(version.clone(), POLLS_BYTES_MAX, |target, poll| target.len() + poll.weight()),
            rankings: ReadCache::new(version.clone(), RANKINGS_BYTES_MAX, |_, ranking| ranking.weight()),
            products: ReadCache::new(version.clone(), PRODUCTS_BYTES_MAX, |_, product| weight(product.as_ref())),
            availability: Availability::start(stocks),
        }
    }
}

/// The best-selling products of a period, up to the maximum length of a list.
pub struct Ranking {
    pub from: Date,
    /// The last day, inclusive; today unless it is cached over midnight.
    pub to: Date,
    /// Products with their quantity sold, best-selling first.
    pub rows: Vec<(ProductListing, i64)>,
}

impl Ranking {
    /// The approximate size in memory, in bytes.
    fn weight(&self) -> usize {
        let rows = self.rows.iter().map(|(listing, _)| weight(Some(&listing.product)));
        size_of::<Self>() + rows.sum::<usize>()
    }
}

/// The approximate size of a product in memory, in bytes.
fn weight(product: Option<&Product>) -> usize {
    let texts = product.map_or(0, |Product { details, .. }| {
        let options = details.options.iter().map(|(name, value)| name.as_str().len() + value.as_str().len() + 64);
        let group = details.item_group_id.as_ref().map_or(0, |id| id.as_str().len());
        let fixed = [details.name.as_str(), details.description.as_str(), details.category.as_str()].map(str::len);
        fixed.iter().sum::<usize>() + group + options.sum::<usize>()
    });
    size_of::<Product>() + texts
}
