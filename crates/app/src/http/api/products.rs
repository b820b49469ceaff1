use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};
use futures_util::future::try_join;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use jangteo_domain::id::ProductId;
use jangteo_domain::money::Money;
use jangteo_domain::page::Page;
use jangteo_domain::product::{
    OptionName, OptionValue, PriceRange, Product, ProductFilter, ProductKey, ProductListing, ProductSort, ProductStatus,
};
use jangteo_domain::text::{Text, TextError};
use jangteo_domain::time::Date;
use jangteo_domain::{Currency, StoreError};

use crate::http::catalog::RANKING_DAYS_DEFAULT;
use crate::http::deadline::Deadline;
use crate::http::extract::body::Nothing;
use crate::http::extract::caller::OptionalCaller;
use crate::http::extract::page::{self, List, ListResponse};
use crate::http::extract::path::ApiPath;
use crate::http::extract::query::ApiQuery;
use crate::http::respond::cached_response::{CacheControl, CachedResponse};
use crate::http::respond::problem::{FieldError, Problem, ProblemCode, Reason, documented as code};
use crate::http::respond::read_cache::Dated;
use crate::http::state::AppState;
use crate::http::values::{AmountText, Time, WrittenAmount};

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_products).service(show_product);
}

/// List products (상품 목록)
///
/// Returns the products on sale that match all filters; sold-out ones too, unless `in_stock=true`. The page is at most one
/// second old.
#[utoipa::path(
    tag = "products",
    params(ProductsQuery),
    security((), ("bearer" = [])),
    responses((status = 200, body = ListResponse<ProductResponse>), (status = 304)),
)]
#[get("/products")]
async fn list_products(
    state: Data<AppState>,
    deadline: Deadline,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    // The key is the raw query: a cached page needs no parsing.
    let name = || format!("products?{}", request.query_string());
    let page = match state.catalog.pages.find(name()).await {
        Some(page) => page,
        None => {
            let ApiQuery(query) = ApiQuery::of(&request)?;
            let list = Arc::new(ProductList::of(query, &state)?);
            let read = || read_page(Data::clone(&state), Arc::clone(&list));
            deadline.read(state.catalog.pages.get(name(), read)).await?
        }
    };
    Ok(page.value.respond(&request, CacheControl::Briefly).await)
}

async fn read_page(state: Data<AppState>, list: Arc<ProductList>) -> Result<Dated<CachedResponse>, StoreError> {
    let as_of = Instant::now();
    Ok(Dated { value: CachedResponse::of(&list.read(&state).await?), as_of })
}

/// Show a product
///
/// `available` is current; the other fields are at most one second old. A hidden product requires the scope `admin`.
#[utoipa::path(
    tag = "products",
    params(("product_id" = Uuid, Path, description = "Id of the product")),
    security((), ("bearer" = [])),
    responses((status = 200, body = ProductResponse), (status = 304), code::ProductNotFound),
)]
#[get("/products/{product_id}")]
async fn show_product(
    state: Data<AppState>,
    caller: OptionalCaller,
    product_id: ApiPath<ProductId>,
    _query: ApiQuery<Nothing>,
    deadline: Deadline,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let ApiPath(product_id) = product_id;
    let product = state.catalog.products.get(product_id, || {
        let products = Arc::clone(&state.queries.products);
        async move {
            let as_of = Instant::now();
            let found = products.find(product_id).await?;
            Ok(Dated { value: found.map(|listing| listing.product), as_of })
        }
    });
    let (cached, available) =
        try_join(deadline.read(product), state.catalog.availability.of(product_id, deadline)).await?;
    let not_found = || Problem::new(ProblemCode::ProductNotFound).with("product_id", product_id.to_string());
    let (product, available) = cached.value.as_ref().zip(available).ok_or_else(not_found)?;
    let answer = ProductResponse::of(product, available, state.rules.currency);
    match product.details.status {
        ProductStatus::OnSale | ProductStatus::Discontinued => {
            Ok(CachedResponse::of(&answer).respond(&request, CacheControl::Revalidate).await)
        }
        ProductStatus::Hidden if caller.is_admin() => Ok(HttpResponse::Ok().json(answer)),
        ProductStatus::Hidden => Err(not_found()),
    }
}

/// A requested page of products.
pub struct ProductList {
    list: List,
    filter: ProductFilter,
    sort: SortName,
    /// The last key of the previous page and, sorted by popularity, the first day of the sales, fixed by the first page.
    page: Page<(ProductKey, Option<Date>)>,
    currency: Currency,
}

impl ProductList {
    /// Parses the query of the products on sale.
    ///
    /// # Errors
    /// `INVALID_QUERY`; `INVALID_CURSOR` for a cursor of another filter or sort order.
    pub fn of(query: ProductsQuery, state: &AppState) -> Result<Self, Problem> {
        Self::restricted(query, state, |_| {})
    }

    /// As [`ProductList::of`], with a change of the filter, for the back office.
    ///
    /// # Errors
    /// As [`ProductList::of`].
    pub fn restricted(
        query: ProductsQuery,
        state: &AppState,
        change: impl FnOnce(&mut ProductFilter),
    ) -> Result<Self, Problem> {
        let (limit, cursor, sort) = (query.limit, query.cursor.clone(), query.sort.unwrap_or_default());
        let currency = state.rules.currency;
        let mut filter = query.filter(currency)?;
        change(&mut filter);
        let list = List::new(&state.cursor_keys, format!("products {filter:?} {sort:?}"));
        let page: Page<(ProductKey, Option<Date>)> = list.page(limit, cursor.as_deref())?;
        if matches!((sort, &page.after), (SortName::Popular, Some((_, None)))) {
            return Err(ProblemCode::InvalidCursor.into());
        }
        Ok(Self { list, filter, sort, page, currency })
    }

    /// # Errors
    /// Errors of the store.
    pub async fn read(&self, state: &AppState) -> Result<ListResponse<ProductResponse>, StoreError> {
        let Page { after, limit } = self.page.clone();
        let (after, since) = match after {
            Some((key, since)) => (Some(key), since),
            None => (None, None),
        };
        let (sort, since) = match self.sort {
            SortName::Newest => (ProductSort::Newest, None),
            SortName::Price => (ProductSort::PriceAscending, None),
            SortName::PriceDescending => (ProductSort::PriceDescending, None),
            SortName::Name => (ProductSort::Name, None),
            SortName::Popular => {
                let since = match since {
                    Some(since) => since,
                    None => popular_since(state).await?,
                };
                (ProductSort::Popular { since }, Some(since))
            }
        };
        let filter = ProductFilter { sort, ..self.filter.clone() };
        let rows = state.queries.products.list(&filter, &Page { after, limit }).await?;
        let show = |(listing, _): &(ProductListing, ProductKey)| ProductResponse::of_listing(listing, self.currency);
        Ok(self.list.answer(limit, &rows, |(_, key)| (key.clone(), since), show))
    }
}

/// The first day of the sales in the order of popularity.
async fn popular_since(state: &AppState) -> Result<Date, StoreError> {
    let today = state.rules.calendar.day_of(state.queries.clock.now().await?);
    let days = time::Duration::days(i64::from(RANKING_DAYS_DEFAULT) - 1);
    today.checked_sub(days).ok_or_else(|| StoreError::unexpected("the clock is at its minimum"))
}

/// Defines the query of a list of products. A flattened struct could not reject unknown parameters.
macro_rules! products_query {
    ($name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Deserialize, utoipa::IntoParams)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub struct $name {
            /// Category, by its exact name.
            category: Option<String>,
            /// `name:value`, repeatable: AND across names, OR between values of a name.
            #[serde(default)]
            #[param(example = json!(["color:red"]), max_items = 50)]
            option: Vec<String>,
            /// Text contained in the name or the description, case-insensitive.
            q: Option<String>,
            /// Minimum price, inclusive, as a decimal string.
            #[param(value_type = Option<String>, pattern = r"^(0|[1-9][0-9]*)(\.[0-9]+)?$")]
            min_price: Option<WrittenAmount>,
            /// Maximum price, inclusive, as a decimal string.
            #[param(value_type = Option<String>, pattern = r"^(0|[1-9][0-9]*)(\.[0-9]+)?$")]
            max_price: Option<WrittenAmount>,
            /// `true` excludes sold-out products.
            in_stock: Option<bool>,
            /// Sort order; `-price` is descending.
            #[param(inline)]
            sort: Option<SortName>,
            /// Maximum number of rows; values above 100 count as 100.
            #[param(minimum = 1, default = 20)]
            #[serde(default, deserialize_with = "page::limit")]
            limit: Option<i64>,
            /// `next_cursor` of the previous page.
            cursor: Option<String>,
            $($(#[$meta])* pub $field: $type,)*
        }
    };
}

products_query! {
    ProductsQuery {}
}

products_query! {
    AllProductsQuery {
        /// Only products with at most this quantity in stock: `0` for the sold-out ones.
        max_available: Option<u64>,
    }
}

impl From<AllProductsQuery> for ProductsQuery {
    fn from(query: AllProductsQuery) -> Self {
        let AllProductsQuery {
            category,
            option,
            q,
            min_price,
            max_price,
            in_stock,
            sort,
            limit,
            cursor,
            max_available: _,
        } = query;
        Self { category, option, q, min_price, max_price, in_stock, sort, limit, cursor }
    }
}

#[derive(Clone, Copy, Default, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SortName {
    #[default]
    Newest,
    Price,
    #[serde(rename = "-price")]
    PriceDescending,
    Name,
    Popular,
}

impl ProductsQuery {
    pub fn filter(self, currency: Currency) -> Result<ProductFilter, Problem> {
        let mut field_errors = Vec::new();
        let mut take = |parameter: &str, valid: bool| {
            if !valid {
                field_errors.push(FieldError { pointer: format!("?{parameter}"), reason: Reason::Invalid });
            }
        };
        let category = parse_filled(self.category.as_deref());
        take("category", category.is_ok());
        let text = parse_filled(self.q.as_deref());
        take("q", text.is_ok());
        let options = parse_options(&self.option);
        take("option", options.is_some());
        let price = |written: Option<WrittenAmount>| match written.map(|amount| amount.in_currency(currency)) {
            None => Ok(None),
            Some(Ok(amount)) if !amount.is_negative() => Ok(Some(amount)),
            Some(_) => Err(()),
        };
        let (min, max): (Result<Option<Money>, ()>, _) = (price(self.min_price), price(self.max_price));
        take("min_price", min.is_ok());
        take("max_price", max.is_ok());
        match (category, text, options, min, max) {
            (Ok(category), Ok(text), Some(options), Ok(min), Ok(max)) => Ok(ProductFilter {
                all_states: false,
                category,
                options,
                text,
                price: PriceRange { min, max },
                in_stock: self.in_stock.unwrap_or(false),
                max_available: None,
                sort: ProductSort::Newest,
            }),
            _ => Err(Problem::of_query(field_errors)),
        }
    }
}

/// The text of a parameter; a blank one counts as absent.
fn parse_filled<const MIN: usize, const MAX: usize>(
    written: Option<&str>,
) -> Result<Option<Text<MIN, MAX>>, TextError> {
    written.filter(|text| !text.trim().is_empty()).map(Text::parse).transpose()
}

/// `name:value` pairs, grouped and sorted by name.
fn parse_options(pairs: &[String]) -> Option<Vec<(OptionName, Vec<OptionValue>)>> {
    let mut options: BTreeMap<OptionName, Vec<OptionValue>> = BTreeMap::new();
    if pairs.len() > OPTIONS_MAX {
        return None;
    }
    for pair in pairs.iter().filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once(':')?;
        let name = OptionName::parse(name).ok()?;
        options.entry(name).or_default().push(OptionValue::parse(value).ok()?);
    }
    Some(options.into_iter().collect())
}

/// The maximum number of options of a query, which bounds its statement.
const OPTIONS_MAX: usize = 50;

#[derive(Clone, Serialize, ToSchema)]
pub struct ProductResponse {
    product_id: Uuid,
    /// The shop's own key, unique.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sku: Option<String>,
    /// The number of states of the details, from 1; the stock does not count. For `If-Match`, in quotes.
    version: u64,
    name: String,
    description: String,
    category: String,
    options: BTreeMap<String, String>,
    /// Shared by the variants of one item.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    item_group_id: Option<String>,
    price: AmountText,
    currency: &'static str,
    /// The quantity in stock.
    available: u64,
    status: ProductStatusName,
    created_at: Time,
    updated_at: Time,
}

impl ProductResponse {
    pub fn of_listing(listing: &ProductListing, currency: Currency) -> Self {
        Self::of(&listing.product, listing.available, currency)
    }

    pub fn of(product: &Product, available: u64, currency: Currency) -> Self {
        let details = &product.details;
        let options = details.options.iter();
        Self {
            product_id: product.id.uuid(),
            sku: details.sku.as_ref().map(|sku| sku.as_str().to_owned()),
            version: product.version,
            name: details.name.as_str().to_owned(),
            description: details.description.as_str().to_owned(),
            category: details.category.as_str().to_owned(),
            options: options.map(|(name, value)| (name.as_str().to_owned(), value.as_str().to_owned())).collect(),
            item_group_id: details.item_group_id.as_ref().map(|id| id.as_str().to_owned()),
            price: AmountText::of(details.price.get(), currency),
            currency: currency.code(),
            available,
            status: details.status.into(),
            created_at: product.created_at.into(),
            updated_at: product.updated_at.into(),
        }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProductStatusName {
    OnSale,
    Hidden,
    Discontinued,
}

impl From<ProductStatus> for ProductStatusName {
    fn from(status: ProductStatus) -> Self {
        match status {
            ProductStatus::OnSale => Self::OnSale,
            ProductStatus::Hidden => Self::Hidden,
            ProductStatus::Discontinued => Self::Discontinued,
        }
    }
}

impl From<ProductStatusName> for ProductStatus {
    fn from(name: ProductStatusName) -> Self {
        match name {
            ProductStatusName::OnSale => Self::OnSale,
            ProductStatusName::Hidden => Self::Hidden,
            ProductStatusName::Discontinued => Self::Discontinued,
        }
    }
}
