//! Reads that many callers share: pages of products, rankings, products, and their stock.

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
const RANKINGS_BYTES_MAX: u64 = 8 << 20;
const PRODUCTS_BYTES_MAX: u64 = 8 << 20;

/// The number of days of popular products, today included, unless requested otherwise.
pub const RANKING_DAYS_DEFAULT: u32 = 3;

/// Cached reads of products.
pub struct Catalog {
    /// Pages of products as they are sent, by the list's name and its query.
    pub pages: ReadCache<String, CachedResponse>,
    /// Popular products, by the number of days.
    pub rankings: ReadCache<u32, Ranking>,
    /// Products by id; `None` for an unknown id.
    pub products: ReadCache<ProductId, Option<Product>>,
    /// Stock, never cached.
    pub availability: Availability,
}

impl Catalog {
    /// An empty cache whose entries expire with each new version. Must be called on the main runtime.
    pub fn start(version: &CatalogVersion, stocks: &Arc<dyn StockQueries>) -> Self {
        Self {
            pages: ReadCache::new(version.clone(), PAGES_BYTES_MAX, |name, page| name.len() + page.weight()),
            rankings: ReadCache::new(version.clone(), RANKINGS_BYTES_MAX, |_, ranking| ranking.weight()),
            products: ReadCache::new(version.clone(), PRODUCTS_BYTES_MAX, |_, product| weight(product.as_ref())),
            availability: Availability::start(stocks),
        }
    }
}

/// The best-selling products of some days, up to the longest list that a caller may request.
pub struct Ranking {
    /// The first day.
    pub from: Date,
    /// The last day.
    pub to: Date,
    /// Products with their quantity sold, the best-selling first.
    pub rows: Vec<(ProductListing, i64)>,
}

impl Ranking {
    /// Its size in memory, in bytes, roughly.
    fn weight(&self) -> usize {
        let rows = self.rows.iter().map(|(listing, _)| weight(Some(&listing.product)));
        size_of::<Self>() + rows.sum::<usize>()
    }
}

/// The size of a product in memory, in bytes, roughly.
fn weight(product: Option<&Product>) -> usize {
    let texts = product.map_or(0, |Product { details, .. }| {
        let options = details.options.iter().map(|(name, value)| name.as_str().len() + value.as_str().len() + 64);
        let group = details.item_group_id.as_ref().map_or(0, |id| id.as_str().len());
        let fixed = [details.name.as_str(), details.description.as_str(), details.category.as_str()].map(str::len);
        fixed.iter().sum::<usize>() + group + options.sum::<usize>()
    });
    size_of::<Product>() + texts
}
