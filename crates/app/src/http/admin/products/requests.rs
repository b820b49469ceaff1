use std::collections::BTreeMap;

use jangteo_domain::Currency;
use jangteo_domain::command::{ProductChange, PutProduct};
use jangteo_domain::product::{
    Category, ItemGroupId, Options, ProductDescription, ProductDetails, ProductName, ProductStatus, Sku,
};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use crate::http::api::products::ProductStatusName;
use crate::http::extract::body::present;
use crate::http::respond::problem::{FieldErrors, Problem};
use crate::http::values::WrittenAmount;
use crate::import::details::{CheckedDetails, WrittenDetails, price, stock, take_options};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProductRequest {
    /// The shop's own key, unique.
    #[schema(min_length = 1, max_length = 64)]
    sku: Option<String>,
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    #[schema(max_length = 10_000)]
    #[serde(default)]
    description: String,
    #[schema(min_length = 1, max_length = 64)]
    category: String,
    #[serde(default)]
    #[schema(schema_with = options)]
    options: BTreeMap<String, String>,
    /// Shared by the variants of one item.
    #[schema(min_length = 1, max_length = 64)]
    item_group_id: Option<String>,
    price: WrittenAmount,
    /// The initial status; `on_sale` if absent.
    status: Option<ProductStatusName>,
}

impl CreateProductRequest {
    pub fn details(&self, currency: Currency) -> Result<ProductDetails, Problem> {
        let mut field_errors = FieldErrors::default();
        let sku = field_errors.take_optional("/sku", self.sku.as_deref().map(Sku::parse));
        let written = WrittenDetails {
            name: Some(&self.name),
            description: Some(&self.description),
            category: Some(&self.category),
            options: Some(&self.options),
            item_group_id: self.item_group_id.as_deref(),
            price: Some(self.price),
        };
        let details = written.check(currency, &mut field_errors);
        let status = self.status.map_or(ProductStatus::OnSale, ProductStatus::from);
        field_errors.check(sku.zip(details).map(|(sku, details)| details.with(sku, status)))
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutProductRequest {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    #[schema(max_length = 10_000)]
    #[serde(default)]
    description: String,
    #[schema(min_length = 1, max_length = 64)]
    category: String,
    #[serde(default)]
    #[schema(schema_with = options)]
    options: BTreeMap<String, String>,
    /// Shared by the variants of one item.
    #[schema(min_length = 1, max_length = 64)]
    item_group_id: Option<String>,
    price: WrittenAmount,
    /// Unchanged if absent; that of a new product is `on_sale`.
    status: Option<ProductStatusName>,
    /// The stock of a new product. Orders have changed that of an existing one.
    #[schema(minimum = 0, maximum = 4_294_967_295_i64)]
    #[serde(default)]
    stock: i64,
}

impl PutProductRequest {
    pub fn command(&self, sku: Sku, currency: Currency) -> Result<PutProduct, Problem> {
        let mut field_errors = FieldErrors::default();
        let written = WrittenDetails {
            name: Some(&self.name),
            description: Some(&self.description),
            category: Some(&self.category),
            options: Some(&self.options),
            item_group_id: self.item_group_id.as_deref(),
            price: Some(self.price),
        };
        let details = written.check(currency, &mut field_errors);
        let stock = field_errors.take("/stock", stock(self.stock));
        let (details, stock) = field_errors.check(details.zip(stock))?;
        let CheckedDetails { name, description, category, options, item_group_id, price } = details;
        let status = self.status.map(ProductStatus::from);
        Ok(PutProduct { sku, name, description, category, options, item_group_id, price, status, stock })
    }
}

/// The fields to change; absent ones are unchanged.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeProductRequest {
    /// `null` removes the SKU.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    sku: Option<Option<String>>,
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    #[serde(default, deserialize_with = "present")]
    name: Option<String>,
    #[schema(max_length = 10_000, nullable = false)]
    #[serde(default, deserialize_with = "present")]
    description: Option<String>,
    #[schema(min_length = 1, max_length = 64, nullable = false)]
    #[serde(default, deserialize_with = "present")]
    category: Option<String>,
    #[schema(schema_with = options)]
    #[serde(default, deserialize_with = "present")]
    options: Option<BTreeMap<String, String>>,
    /// `null` removes the product from its group.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    item_group_id: Option<Option<String>>,
    #[schema(nullable = false)]
    #[serde(default, deserialize_with = "present")]
    price: Option<WrittenAmount>,
    #[schema(nullable = false)]
    #[serde(default, deserialize_with = "present")]
    status: Option<ProductStatusName>,
}

impl ChangeProductRequest {
    pub fn change(&self, currency: Currency) -> Result<ProductChange, Problem> {
        let mut field_errors = FieldErrors::default();
        let sku = match &self.sku {
            None => Some(None),
            Some(sku) => field_errors.take_optional("/sku", sku.as_deref().map(Sku::parse)).map(Some),
        };
        let name = field_errors.take_optional("/name", self.name.as_deref().map(ProductName::parse));
        let description = self.description.as_deref().map(ProductDescription::parse);
        let description = field_errors.take_optional("/description", description);
        let category = field_errors.take_optional("/category", self.category.as_deref().map(Category::parse));
        let options = match &self.options {
            None => Some(None),
            Some(options) => take_options(options, &mut field_errors).map(Some),
        };
        let item_group_id = match &self.item_group_id {
            None => Some(None),
            Some(group) => {
                let group = group.as_deref().map(ItemGroupId::parse);
                field_errors.take_optional("/item_group_id", group).map(Some)
            }
        };
        let price = field_errors.take_optional("/price", self.price.map(|written| price(written, currency)));
        let status = self.status.map(ProductStatus::from);
        let change = (|| {
            Some(ProductChange {
                sku: sku?,
                name: name?,
                description: description?,
                category: category?,
                options: options?,
                item_group_id: item_group_id?,
                price: price?,
                status,
            })
        })();
        field_errors.check(change)
    }
}

/// The schema of options.
fn options() -> Object {
    let text = || ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
    ObjectBuilder::new()
        .property_names(Some(text().max_length(Some(32)).pattern(Some("^[^:]*$"))))
        .additional_properties(Some(text().max_length(Some(255))))
        .max_properties(Some(Options::COUNT_MAX))
        .description(Some(
            "The options of this variant, such as `{\"color\": \"red\"}`: at most 20, with names of 1 to 32 characters \
             without a colon, and values of 1 to 255. A change replaces all of them.",
        ))
        .build()
}
