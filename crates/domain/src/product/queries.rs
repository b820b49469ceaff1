use async_trait::async_trait;

use crate::id::ProductId;
use crate::money::Money;
use crate::page::Page;
use crate::product::{Category, OptionName, OptionValue, Product, ProductName};
use crate::store_error::StoreError;
use crate::time::Date;

/// Reads products for showing; takes no lock and gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait ProductQueries: Send + Sync {
    /// The products that pass the filter, in its order.
    async fn list(
        &self,
        filter: &ProductFilter,
        page: &Page<ProductKey>,
    ) -> Result<Vec<(ProductListing, ProductKey)>, StoreError>;

    /// The product of that id, in whatever state, with its stock at the time of the read.
    async fn find(&self, id: ProductId) -> Result<Option<ProductListing>, StoreError>;

    /// The products of these ids that exist, in whatever state, in no order.
    async fn find_many(&self, ids: &[ProductId]) -> Result<Vec<ProductListing>, StoreError>;
}

/// A product and how many pieces can be ordered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProductListing {
    /// The product.
    pub product: Product,
    /// Pieces in stock that nobody holds.
    pub available: u32,
}

/// Which products to list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProductFilter {
    /// Also those that are not on sale; for the back office.
    pub all_states: bool,
    /// Only those of this category.
    pub category: Option<Category>,
    /// For each name one of the values must match; all names must.
    pub options: Vec<(OptionName, Vec<OptionValue>)>,
    /// Text that the name or the description must hold, in any case.
    pub text: Option<ProductName>,
    /// Only those that cost as much.
    pub price: PriceRange,
    /// Only those that can be ordered now.
    pub in_stock: bool,
    /// In which order.
    pub sort: ProductSort,
}

/// Prices from `min` to `max`, both included; no bound where `None`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct PriceRange {
    /// The lowest price.
    pub min: Option<Money>,
    /// The highest price.
    pub max: Option<Money>,
}

/// The order of a product list; products that are equal in it stand in order of their ids, as the key says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProductSort {
    /// The newest first.
    Newest,
    /// The cheapest first.
    PriceAscending,
    /// The dearest first.
    PriceDescending,
    /// By name, in Unicode code point order.
    Name,
    /// By pieces sold and not refunded since this day, most first.
    Popular {
        /// The first day that counts.
        since: Date,
    },
}

/// The place of a product in a list; of the same kind as the list's sort. Ids break ties.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum ProductKey {
    /// In [`ProductSort::Newest`]: ids are made in order of time, so the id is the key. Descending.
    Newest(ProductId),
    /// In [`ProductSort::PriceAscending`] (ids ascending) and [`ProductSort::PriceDescending`] (ids descending).
    Price(Money, ProductId),
    /// In [`ProductSort::Name`]. Ids ascending.
    Name(String, ProductId),
    /// In [`ProductSort::Popular`]: pieces sold. Ids ascending.
    Popular(i64, ProductId),
}
