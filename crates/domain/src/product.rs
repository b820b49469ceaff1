//! Products. Variants of one item are separate products of the same item group.

use std::collections::BTreeMap;

use async_trait::async_trait;
use thiserror::Error;

use crate::id::ProductId;
use crate::money::Money;
use crate::page::Page;
use crate::store_error::StoreError;
use crate::text::Text;
use crate::time::{Date, Timestamp};

/// The shop's own key of a product: unique, case-sensitive.
pub type Sku = Text<1, 64>;
/// A product's name.
pub type ProductName = Text<1, 200>;
/// A product's description; may be empty.
pub type ProductDescription = Text<0, 10_000>;
/// The category that a product is listed in.
pub type Category = Text<1, 64>;
/// Shared by the variants of one item.
pub type ItemGroupId = Text<1, 64>;
/// The name of an option: `color`.
pub type OptionName = Text<1, 32>;
/// The value of an option: `red`.
pub type OptionValue = Text<1, 255>;

/// A product's options by name, at most [`Options::COUNT_MAX`] of them.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Options(BTreeMap<OptionName, OptionValue>);

impl Options {
    /// Bounds the rows of a product.
    pub const COUNT_MAX: usize = 20;

    /// Ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&OptionName, &OptionValue)> {
        self.0.iter()
    }
}

/// More than [`Options::COUNT_MAX`] options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("more than {} options", Options::COUNT_MAX)]
pub struct TooManyOptions;

impl TryFrom<BTreeMap<OptionName, OptionValue>> for Options {
    type Error = TooManyOptions;

    fn try_from(options: BTreeMap<OptionName, OptionValue>) -> Result<Self, TooManyOptions> {
        if options.len() > Self::COUNT_MAX { Err(TooManyOptions) } else { Ok(Self(options)) }
    }
}

impl From<Options> for BTreeMap<OptionName, OptionValue> {
    fn from(options: Options) -> Self {
        options.0
    }
}

/// The price of one item: zero to [`Price::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Price(Money);

impl Price {
    /// A billion main units, so that the total of the largest order stays within [`Money::MAX`].
    pub const MAX: Money = match Money::from_units(1_000_000_000) {
        Some(money) => money,
        None => unreachable!(),
    };

    /// The price as [`Money`].
    pub fn get(self) -> Money {
        self.0
    }
}

/// Below zero or above [`Price::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a price is between 0 and 1,000,000,000")]
pub struct InvalidPrice;

impl TryFrom<Money> for Price {
    type Error = InvalidPrice;

    fn try_from(money: Money) -> Result<Self, InvalidPrice> {
        if money.is_negative() || money > Self::MAX { Err(InvalidPrice) } else { Ok(Self(money)) }
    }
}

impl From<Price> for Money {
    fn from(price: Price) -> Self {
        price.0
    }
}

/// The visibility and availability of a product.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ProductStatus {
    /// Listed and sold.
    OnSale,
    /// Visible to the back office only.
    Hidden,
    /// No longer listed or sold; still readable by id.
    Discontinued,
}

/// The description of a product by the back office.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct ProductDetails {
    pub sku: Option<Sku>,
    pub name: ProductName,
    pub description: ProductDescription,
    pub category: Category,
    pub options: Options,
    pub item_group_id: Option<ItemGroupId>,
    pub price: Price,
    pub status: ProductStatus,
}

/// A product. Its stock is an aggregate of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct Product {
    pub id: ProductId,
    pub details: ProductDetails,
    /// The number of states of the details: 1 for a new product. The stock does not count.
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Product {
    /// A new product.
    pub fn create(id: ProductId, details: ProductDetails, now: Timestamp) -> Self {
        Self { id, details, version: 1, created_at: now, updated_at: now }
    }

    /// Replaces the details.
    pub fn change(&self, details: ProductDetails, now: Timestamp) -> Self {
        let version = self.version.checked_add(1).expect("a product has fewer than 2^64 versions");
        Self { details, version, updated_at: now, ..self.clone() }
    }

    /// The data needed to order the product.
    pub fn offer(&self) -> ProductOffer {
        let ProductDetails { name, price, status, .. } = &self.details;
        ProductOffer { product_id: self.id, name: name.clone(), price: *price, status: *status }
    }
}

/// The data of a product that an order needs, without long texts.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct ProductOffer {
    pub product_id: ProductId,
    pub name: ProductName,
    pub price: Price,
    pub status: ProductStatus,
}

impl ProductOffer {
    /// The price of a product on sale.
    ///
    /// # Errors
    /// [`ProductRejection::NotOnSale`].
    pub fn price_on_sale(&self) -> Result<Price, ProductRejection> {
        match self.status {
            ProductStatus::OnSale => Ok(self.price),
            ProductStatus::Hidden | ProductStatus::Discontinued => {
                Err(ProductRejection::NotOnSale { product_id: self.product_id })
            }
        }
    }
}

/// Reasons to reject an order or a change of a product.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the variants and fields are named after their contents")]
pub enum ProductRejection {
    #[error("there is no product {product_id}")]
    NotFound { product_id: ProductId },
    #[error("product {product_id} is not on sale")]
    NotOnSale { product_id: ProductId },
    /// The caller has seen another version than the current one.
    #[error("product {product_id} has version {version}")]
    VersionChanged { product_id: ProductId, version: u64 },
    /// Another product has the SKU.
    #[error("product {product_id} has the SKU {}", sku.as_str())]
    SkuTaken { sku: Sku, product_id: ProductId },
}

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

    /// The existing products with these SKUs, in any status, unordered.
    async fn find_by_skus(&self, skus: &[Sku]) -> Result<Vec<ProductListing>, StoreError>;
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
    /// Only products with at most this available stock.
    pub max_available: Option<u64>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SequentialIds;
    use crate::testing::fixtures::{NOON, product_details, won};

    #[test]
    fn a_price_is_between_zero_and_a_billion() {
        for valid in [Money::ZERO, won(1), won(1_000_000_000)] {
            assert_eq!(Price::try_from(valid).map(Price::get), Ok(valid));
        }
        let just_above = won(1_000_000_000).checked_add(Money::from_ten_thousandths(1).expect("in range"));
        for invalid in [won(-1), just_above.expect("in range"), Money::MAX] {
            assert_eq!(Price::try_from(invalid), Err(InvalidPrice));
        }
    }

    #[test]
    fn a_product_has_at_most_20_options() {
        let options = |count: usize| {
            let name = |n: usize| format!("option {n}").try_into().expect("a name");
            let value = || "value".to_owned().try_into().expect("a value");
            Options::try_from((0..count).map(|n| (name(n), value())).collect::<BTreeMap<OptionName, OptionValue>>())
        };
        assert_eq!(options(20).map(|options| options.iter().count()), Ok(20));
        assert_eq!(options(21), Err(TooManyOptions));
    }

    #[test]
    fn only_a_product_on_sale_can_be_ordered() {
        let offer = |status| {
            let details = ProductDetails { status, ..product_details("lamp", 5) };
            Product::create(SequentialIds::id(1).into(), details, NOON).offer()
        };
        assert_eq!(offer(ProductStatus::OnSale).price_on_sale().map(Price::get), Ok(won(5)));
        for status in [ProductStatus::Hidden, ProductStatus::Discontinued] {
            let product_id = SequentialIds::id(1).into();
            assert_eq!(offer(status).price_on_sale(), Err(ProductRejection::NotOnSale { product_id }));
        }
    }
}
