use std::collections::BTreeMap;

use jangteo_domain::StoreError;
use jangteo_domain::id::ProductId;
use jangteo_domain::product::{
    Category, ItemGroupId, OptionName, OptionValue, Options, Product, ProductDescription, ProductDetails, ProductName,
    ProductOffer, ProductStatus, Sku,
};

use crate::rows::{corrupt, lookups, rows};
use crate::types::{Amount, At, Code, Id, Integer, LongText, Varchar, codes};

rows! {
    ProductRow of products {
        id: Id<ProductId>,
    } {
        sku: Option<Varchar<Sku>>,
        name: Varchar<ProductName>,
        description: Varchar<ProductDescription>,
        category: Varchar<Category>,
        options: LongText,
        item_group_id: Option<Varchar<ItemGroupId>>,
        price: Amount,
        status: Code<ProductStatus>,
        version: Integer<u64>,
        created_at: At,
        updated_at: At,
    }

    /// The product columns of an order line.
    ProductOfferRow of products {
        id: Id<ProductId>,
    } {
        name: Varchar<ProductName>,
        price: Amount,
        status: Code<ProductStatus>,
    }

    /// The key of a product by its SKU.
    ProductSkuRow of products {
        id: Id<ProductId>,
    } {
        sku: Option<Varchar<Sku>>,
    }

    /// A product option, indexed for filters.
    ProductOptionRow of product_options {
        product_id: Id<ProductId>,
        name: Varchar<OptionName>,
    } {
        value: Varchar<OptionValue>,
    }
}

lookups! {
    ProductById finds ProductRow by "PRIMARY" { id: Id<ProductId>, }
    OfferOf finds ProductOfferRow by "PRIMARY" { id: Id<ProductId>, }
    ProductOfSku finds ProductSkuRow by "uq_products_sku" { sku: Varchar<Sku>, }
    OptionsOf finds ProductOptionRow by "PRIMARY" { product_id: Id<ProductId>, }
}

codes! {
    ProductStatus {
        OnSale = "on_sale",
        Hidden = "hidden",
        Discontinued = "discontinued",
    }
}

/// Options as a JSON object.
fn options_json(options: &Options) -> String {
    let entries = options.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_str().into()));
    serde_json::Value::Object(entries.collect()).to_string()
}

fn options_from_json(json: &str) -> Result<Options, StoreError> {
    let entries: BTreeMap<String, String> = serde_json::from_str(json).map_err(corrupt)?;
    let option = |(name, value)| {
        Ok((OptionName::try_from(name).map_err(corrupt)?, OptionValue::try_from(value).map_err(corrupt)?))
    };
    let options: BTreeMap<_, _> = entries.into_iter().map(option).collect::<Result<_, StoreError>>()?;
    Options::try_from(options).map_err(corrupt)
}

impl From<&Product> for ProductRow {
    fn from(product: &Product) -> Self {
        let ProductDetails { sku, name, description, category, options, item_group_id, price, status } =
            &product.details;
        Self {
            id: Id(product.id),
            sku: sku.clone().map(Varchar),
            name: Varchar(name.clone()),
            description: Varchar(description.clone()),
            category: Varchar(category.clone()),
            options: LongText(options_json(options)),
            item_group_id: item_group_id.clone().map(Varchar),
            price: Amount(price.get()),
            status: Code(*status),
            version: Integer(product.version),
            created_at: At(product.created_at),
            updated_at: At(product.updated_at),
        }
    }
}

impl TryFrom<ProductRow> for Product {
    type Error = StoreError;

    fn try_from(row: ProductRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.0,
            details: ProductDetails {
                sku: row.sku.map(|sku| sku.0),
                name: row.name.0,
                description: row.description.0,
                category: row.category.0,
                options: options_from_json(&row.options.0)?,
                item_group_id: row.item_group_id.map(|id| id.0),
                price: row.price.0.try_into().map_err(corrupt)?,
                status: row.status.0,
            },
            version: row.version.0,
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
        })
    }
}

impl TryFrom<ProductOfferRow> for ProductOffer {
    type Error = StoreError;

    fn try_from(row: ProductOfferRow) -> Result<Self, StoreError> {
        let price = row.price.0.try_into().map_err(corrupt)?;
        Ok(Self { product_id: row.id.0, name: row.name.0, price, status: row.status.0 })
    }
}

impl ProductOptionRow {
    pub(crate) fn of(product: &Product) -> impl Iterator<Item = Self> {
        product.details.options.iter().map(|(name, value)| Self {
            product_id: Id(product.id),
            name: Varchar(name.clone()),
            value: Varchar(value.clone()),
        })
    }
}
