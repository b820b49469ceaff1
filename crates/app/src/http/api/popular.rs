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
use crate::http::extract::page::LIMIT_MAX;
use crate::http::extract::query::ApiQuery;
use crate::http::respond::cached_response::{CacheControl, CachedResponse};
use crate::http::respond::problem::{FieldError, Problem, Reason};
use crate::http::respond::read_cache::Dated;
use crate::http::state::AppState;

const DAYS_MAX: i64 = 30;
const LIMIT_DEFAULT: i64 = 5;

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
async fn render(state: Data<AppState>, days: u32, limit: usize) -> Result<Dated<CachedResponse>, StoreError> {
    let ranking = state.catalog.rankings.get(days, || count(Data::clone(&state), days)).await?;
    let answer = show(&ranking.value, limit, state.rules.currency);
    Ok(Dated { value: CachedResponse::of(&answer), as_of: ranking.as_of })
}

fn show(ranking: &Ranking, limit: usize, currency: Currency) -> PopularResponse {
    let rows = (1_u32..).zip(&ranking.rows).take(limit);
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
struct PopularQuery {
    /// Number of days, today included.
    #[param(minimum = 1, maximum = 30, default = 3)]
    days: Option<i64>,
    /// Maximum number of rows.
    #[param(minimum = 1, maximum = 100, default = 5)]
    limit: Option<i64>,
}

impl PopularQuery {
    fn check(&self) -> Result<(u32, usize), Problem> {
        let days = self.days.unwrap_or(i64::from(RANKING_DAYS_DEFAULT));
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        let within = |value: i64, max: i64| (1..=max).contains(&value);
        let checks = [("?days", within(days, DAYS_MAX)), ("?limit", within(limit, i64::from(LIMIT_MAX)))];
        let out_of_range = checks
            .iter()
            .filter(|(_, valid)| !valid)
            .map(|(parameter, _)| FieldError { pointer: (*parameter).to_owned(), reason: Reason::OutOfRange });
        let field_errors: Vec<FieldError> = out_of_range.collect();
        match (u32::try_from(days), usize::try_from(limit)) {
            (Ok(days), Ok(limit)) if field_errors.is_empty() => Ok((days, limit)),
            _ => Err(Problem::of_query(field_errors)),
        }
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
