//! Products: what is sold and counted. Variants of one item are products that share an item group.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::id::ProductId;
use crate::money::Money;
use crate::text::Text;
use crate::time::Timestamp;

mod queries;

#[cfg(any(test, feature = "mock"))]
pub use queries::MockProductQueries;
pub use queries::{PriceRange, ProductFilter, ProductKey, ProductListing, ProductQueries, ProductSort};

/// A product's name.
pub type ProductName = Text<1, 200>;
/// A product's description; may be empty.
pub type ProductDescription = Text<0, 10_000>;
/// The category that a product is listed in.
pub type Category = Text<1, 64>;
/// What groups the variants of one item.
pub type ItemGroupId = Text<1, 64>;
/// The name of an option: `color`.
pub type OptionName = Text<1, 32>;
/// The value of an option: `red`.
pub type OptionValue = Text<1, 64>;

/// A product's options by name, at most [`Options::COUNT_MAX`] of them.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Options(BTreeMap<OptionName, OptionValue>);

impl Options {
    /// The most options of a product, so that its rows stay few.
    pub const COUNT_MAX: usize = 20;

    /// The options in order of their names.
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

/// What one piece costs: zero to [`Price::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Price(Money);

impl Price {
    /// A billion of the currency's main unit, so that the dearest order's total stays within [`Money::MAX`].
    pub const MAX: Money = match Money::from_units(1_000_000_000) {
        Some(money) => money,
        None => unreachable!(),
    };

    /// The amount.
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

/// Whether a product can be seen and bought.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ProductStatus {
    /// Listed and sold.
    OnSale,
    /// Seen by the back office only.
    Hidden,
    /// No longer sold; still found by those who know it.
    Discontinued,
}

/// What the back office says about a product.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProductDetails {
    /// What it is called.
    pub name: ProductName,
    /// What it is.
    pub description: ProductDescription,
    /// Where it is listed.
    pub category: Category,
    /// What sets it apart from the other variants of its item.
    pub options: Options,
    /// The item that it is a variant of.
    pub item_group_id: Option<ItemGroupId>,
    /// What one piece costs.
    pub price: Price,
    /// Whether it can be seen and bought.
    pub status: ProductStatus,
}

/// A product. Its stock is an aggregate of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Product {
    /// The product's id.
    pub id: ProductId,
    /// What the back office says about it.
    pub details: ProductDetails,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl Product {
    /// A product as it is made.
    pub fn create(id: ProductId, details: ProductDetails, now: Timestamp) -> Self {
        Self { id, details, created_at: now, updated_at: now }
    }

    /// The product once it is described anew.
    pub fn change(&self, details: ProductDetails, now: Timestamp) -> Self {
        Self { details, updated_at: now, ..self.clone() }
    }

    /// What buyers are offered.
    pub fn offer(&self) -> ProductOffer {
        let ProductDetails { name, price, status, .. } = &self.details;
        ProductOffer { product_id: self.id, name: name.clone(), price: *price, status: *status }
    }
}

/// What an order needs to know of a product: all but what may be long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProductOffer {
    /// The product.
    pub product_id: ProductId,
    /// What it is called.
    pub name: ProductName,
    /// What one piece costs.
    pub price: Price,
    /// Whether it can be bought.
    pub status: ProductStatus,
}

impl ProductOffer {
    /// What one piece costs somebody who orders now.
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

/// Why a product cannot be bought.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProductRejection {
    /// There is no such product.
    #[error("there is no product {product_id}")]
    NotFound {
        /// The id that was asked for.
        product_id: ProductId,
    },
    /// It is not sold now.
    #[error("product {product_id} is not on sale")]
    NotOnSale {
        /// The product.
        product_id: ProductId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SequentialIds;
    use crate::testing::fixtures::{NOON, product_details, won};

    #[test]
    fn a_price_is_between_nothing_and_a_billion() {
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
    fn only_what_is_on_sale_has_a_price_for_buyers() {
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
