use async_trait::async_trait;

use crate::id::ProductId;
use crate::money::Money;
use crate::page::Page;
use crate::product::{Category, OptionName, OptionValue, Product, ProductName};
use crate::store_error::StoreError;
use crate::time::Date;

/// Reads products for display, without locks; gates no write.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait ProductQueries: Send + Sync {
    /// The matching products in the filter's order, each with its page key.
    async fn list(
        &self,
        filter: &ProductFilter,
        page: &Page<ProductKey>,
    ) -> Result<Vec<(ProductListing, ProductKey)>, StoreError>;

    /// The product in any status, with its stock at the time of the read.
    async fn find(&self, id: ProductId) -> Result<Option<ProductListing>, StoreError>;

    /// The existing products among these ids, in any status, unordered.
    async fn find_many(&self, ids: &[ProductId]) -> Result<Vec<ProductListing>, StoreError>;
}

/// A product and its available stock.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct ProductListing {
    pub product: Product,
    /// Items in stock, without reserved ones.
    pub available: u64,
}

/// Selects and sorts products.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct ProductFilter {
    /// Includes products that are not on sale; for the back office.
    pub all_states: bool,
    pub category: Option<Category>,
    /// For every name, one of the values must match.
    pub options: Vec<(OptionName, Vec<OptionValue>)>,
    /// A substring of name or description, ignoring case.
    pub text: Option<ProductName>,
    pub price: PriceRange,
    /// Only products with available stock.
    pub in_stock: bool,
    pub sort: ProductSort,
}

/// Prices from `min` to `max`, both inclusive; `None` is unbounded.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct PriceRange {
    pub min: Option<Money>,
    pub max: Option<Money>,
}

/// The order of a product list; ids break ties, as documented at [`ProductKey`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProductSort {
    /// Newest first.
    Newest,
    /// Cheapest first.
    PriceAscending,
    /// Most expensive first.
    PriceDescending,
    /// By name, in Unicode code point order.
    Name,
    /// By items sold and not refunded since this day, descending.
    Popular {
        /// The first day, inclusive.
        since: Date,
    },
}

/// The page key of a product, of the same variant as the list's [`ProductSort`]. Ids break ties.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum ProductKey {
    /// For [`ProductSort::Newest`], as ids sort by time. Descending.
    Newest(ProductId),
    /// For [`ProductSort::PriceAscending`] (ids ascending) and [`ProductSort::PriceDescending`] (ids descending).
    Price(Money, ProductId),
    /// For [`ProductSort::Name`]. Ids ascending.
    Name(String, ProductId),
    /// For [`ProductSort::Popular`]: items sold. Ids ascending.
    Popular(i64, ProductId),
}
