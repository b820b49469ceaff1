//! Popular products, ranked at most once a second.

use std::collections::BTreeMap;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use jangteo_domain::product::ProductListing;
use jangteo_domain::{Currency, StoreError};

use crate::http::api::products::ProductResponse;
use crate::http::catalog::{RANKING_DAYS_DEFAULT, Ranking};
use crate::http::deadline::Deadline;
use crate::http::extract::page::{self, LIMIT_MAX};
use crate::http::extract::query::ApiQuery;
use crate::http::respond::cached_response::{CacheControl, CachedResponse};
use crate::http::respond::problem::{FieldErrors, Problem, Reason};
use crate::http::respond::read_cache::Dated;
use crate::http::state::AppState;

const DAYS_MAX: u32 = 30;
const LIMIT_DEFAULT: u32 = 5;

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_popular_products);
}

/// List popular products (인기 상품)
///
/// Ranks products by quantity sold over the last `days` days, net of refunds. The ranking is at most one second old.
#[utoipa::path(
    tag = "products",
    params(PopularQuery),
    security((), ("bearer" = [])),
    responses((status = 200, body = PopularResponse), (status = 304)),
)]
#[get("/products/popular")]
async fn list_popular_products(
    state: Data<AppState>,
    deadline: Deadline,
    request: HttpRequest,
    query: ApiQuery<PopularQuery>,
) -> Result<HttpResponse, Problem> {
    let (days, limit) = query.0.check()?;
    let page = state.catalog.pages.get(format!("popular {days} {limit}"), || render(Data::clone(&state), days, limit));
    Ok(deadline.read(page).await?.value.respond(&request, CacheControl::Briefly).await)
}

/// The first products of the ranking, cached or computed.
async fn render(state: Data<AppState>, days: u32, limit: u32) -> Result<Dated<CachedResponse>, StoreError> {
    let ranking = state.catalog.rankings.get(days, || count(Data::clone(&state), days)).await?;
    let answer = show(&ranking.value, limit, state.rules.currency);
    Ok(Dated { value: CachedResponse::of(&answer), as_of: ranking.as_of })
}

fn show(ranking: &Ranking, limit: u32, currency: Currency) -> PopularResponse {
    let rows = (1..=limit).zip(&ranking.rows);
    let show = |(rank, (listing, quantity_sold)): (u32, &(ProductListing, i64))| PopularProductResponse {
        rank,
        product: ProductResponse::of_listing(listing, currency),
        quantity_sold: *quantity_sold,
    };
    PopularResponse { from: ranking.from.to_string(), to: ranking.to.to_string(), data: rows.map(show).collect() }
}

async fn count(state: Data<AppState>, days: u32) -> Result<Dated<Ranking>, StoreError> {
    let as_of = Instant::now();
    let queries = &state.queries;
    let to = state.rules.calendar.day_of(queries.clock.now().await?);
    let from = to
        .checked_sub(time::Duration::days(i64::from(days) - 1))
        .ok_or_else(|| StoreError::unexpected("the clock is at its minimum"))?;
    let sold = queries.sales.popular(from, to, LIMIT_MAX).await?;
    let ids: Vec<_> = sold.iter().map(|row| row.product_id).collect();
    let listings = queries.products.find_many(&ids).await?;
    let mut listings: BTreeMap<_, _> = listings.into_iter().map(|listing| (listing.product.id, listing)).collect();
    let rows = sold.iter().filter_map(|row| Some((listings.remove(&row.product_id)?, row.quantity_sold))).collect();
    Ok(Dated { value: Ranking { from, to, rows }, as_of })
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PopularQuery {
    /// Number of days, today included.
    #[param(minimum = 1, maximum = 30, default = 3)]
    days: Option<i64>,
    /// Maximum number of rows; values above 100 count as 100.
    #[param(minimum = 1, default = 5)]
    #[serde(default, deserialize_with = "page::limit")]
    limit: Option<i64>,
}

impl PopularQuery {
    pub fn check(&self) -> Result<(u32, u32), Problem> {
        let days = self.days.map_or(Some(RANKING_DAYS_DEFAULT), |days| u32::try_from(days).ok());
        let mut field_errors = FieldErrors::default();
        let days = days.filter(|days| (1..=DAYS_MAX).contains(days)).ok_or(Reason::OutOfRange);
        let days = field_errors.take("?days", days);
        let limit = field_errors.take("?limit", page::rows_max(self.limit, LIMIT_DEFAULT));
        field_errors.check_query(days.zip(limit))
    }
}

#[derive(Serialize, ToSchema)]
struct PopularResponse {
    /// The first day, in the time zone of the shop.
    #[schema(format = Date)]
    from: String,
    /// The last day: today.
    #[schema(format = Date)]
    to: String,
    data: Vec<PopularProductResponse>,
}

#[derive(Serialize, ToSchema)]
struct PopularProductResponse {
    /// From 1, the best-selling product.
    rank: u32,
    product: ProductResponse,
    /// The quantity in paid orders, net of refunds.
    quantity_sold: i64,
}
