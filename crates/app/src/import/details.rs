use std::collections::BTreeMap;

use jangteo_domain::Currency;
use jangteo_domain::product::{
    Category, ItemGroupId, OptionName, OptionValue, Options, Price, ProductDescription, ProductDetails, ProductName,
    ProductStatus, Sku,
};

use crate::http::extract::body::push_key;
use crate::http::respond::problem::{FieldErrors, Reason};
use crate::http::values::WrittenAmount;

/// The details of a product, as written.
#[derive(Clone, Copy, Default)]
pub struct WrittenDetails<'a> {
    pub name: Option<&'a str>,
    pub description: Option<&'a str>,
    pub category: Option<&'a str>,
    pub options: Option<&'a BTreeMap<String, String>>,
    pub item_group_id: Option<&'a str>,
    pub price: Option<WrittenAmount>,
}

/// The details of a product apart from SKU and status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckedDetails {
    pub name: ProductName,
    pub description: ProductDescription,
    pub category: Category,
    pub options: Options,
    pub item_group_id: Option<ItemGroupId>,
    pub price: Price,
}

impl WrittenDetails<'_> {
    /// The details; or `None`, and each invalid field is added.
    pub fn check(&self, currency: Currency, field_errors: &mut FieldErrors) -> Option<CheckedDetails> {
        let name = field_errors.take("/name", present(self.name).and_then(|name| Ok(ProductName::parse(name)?)));
        let description = ProductDescription::parse(self.description.unwrap_or_default());
        let description = field_errors.take("/description", description);
        let category = present(self.category).and_then(|category| Ok(Category::parse(category)?));
        let category = field_errors.take("/category", category);
        let options = match self.options {
            Some(options) => take_options(options, field_errors),
            None => Some(Options::default()),
        };
        let group = self.item_group_id.map(ItemGroupId::parse);
        let item_group_id = field_errors.take_optional("/item_group_id", group);
        let price = field_errors.take("/price", present(self.price).and_then(|written| price(written, currency)));
        Some(CheckedDetails {
            name: name?,
            description: description?,
            category: category?,
            options: options?,
            item_group_id: item_group_id?,
            price: price?,
        })
    }
}

impl CheckedDetails {
    /// With SKU and status.
    pub fn with(self, sku: Option<Sku>, status: ProductStatus) -> ProductDetails {
        let Self { name, description, category, options, item_group_id, price } = self;
        ProductDetails { sku, name, description, category, options, item_group_id, price, status }
    }
}

fn present<T>(written: Option<T>) -> Result<T, Reason> {
    written.ok_or(Reason::Missing)
}

pub fn take_options(written: &BTreeMap<String, String>, field_errors: &mut FieldErrors) -> Option<Options> {
    let mut options = BTreeMap::new();
    for (name, value) in written {
        let mut pointer = "/options".to_owned();
        push_key(&mut pointer, name);
        let name = field_errors.take(pointer.clone(), option_name(name));
        let value = field_errors.take(pointer.clone(), OptionValue::parse(value));
        if let Some((name, value)) = name.zip(value)
            && options.insert(name, value).is_some()
        {
            field_errors.add(pointer, Reason::DuplicateKey);
        }
    }
    field_errors.take("/options", Options::try_from(options))
}

/// A name without a colon, which ends it in the filter `option=name:value`.
fn option_name(written: &str) -> Result<OptionName, Reason> {
    if written.contains(':') { Err(Reason::Invalid) } else { Ok(OptionName::parse(written)?) }
}

pub fn price(written: WrittenAmount, currency: Currency) -> Result<Price, Reason> {
    Ok(Price::try_from(written.in_currency(currency)?)?)
}

/// The stock of a new product.
pub fn stock(written: i64) -> Result<u32, Reason> {
    u32::try_from(written).map_err(|_| Reason::OutOfRange)
}
