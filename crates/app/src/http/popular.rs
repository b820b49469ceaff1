//! The popular products: counted at most every few seconds, however many ask.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::get;
use actix_web::web::{Data, Json};
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::http::page::LIMIT_MAX;
use jangteo_domain::product::ProductListing;
use jangteo_domain::time::Date;
use jangteo_domain::{Queries, ShopCalendar, StoreError};

use crate::http::Shop;
use crate::http::edge::Deadline;
use crate::http::products::ProductResponse;
use crate::http::query::InQuery;
use crate::problem::{Fault, Problem, Reason};

/// Days to count over when nothing else is asked for, today included.
pub const DAYS_DEFAULT: u32 = 3;
const DAYS_MAX: i64 = 30;
const LIMIT_DEFAULT: i64 = 5;
/// How old an answer may get in the cache; what is promised is five seconds, and reading takes some of them.
const AGE_MAX: Duration = Duration::from_secs(4);

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_popular_products);
}

/// The products that sold most
#[utoipa::path(
    tag = "products",
    params(PopularQuery),
    security((), ("bearer" = [])),
    responses((status = 200, body = PopularResponse)),
)]
#[get("/products/popular")]
async fn list_popular_products(
    shop: Data<Shop>,
    deadline: Deadline,
    query: InQuery<PopularQuery>,
) -> Result<Json<PopularResponse>, Problem> {
    let (days, limit) = query.0.check()?;
    let ranking = deadline.read(shop.popular.ranking(&shop.queries, &*shop.rules.calendar, days)).await?;
    let currency = shop.rules.currency;
    let data =
        (1_u32..).zip(&ranking.rows).take(limit).map(|(rank, (listing, quantity_sold))| PopularProductResponse {
            rank,
            product: ProductResponse::of_listing(listing, currency),
            quantity_sold: *quantity_sold,
        });
    Ok(Json(PopularResponse { from: ranking.from.to_string(), to: ranking.to.to_string(), data: data.collect() }))
}

/// Rankings that were counted a moment ago, by the days that they count over.
pub struct PopularCache(Cache<u32, Arc<Ranking>>);

/// The products that sold most over some days, as many as anybody may ask for.
struct Ranking {
    from: Date,
    to: Date,
    rows: Vec<(ProductListing, i64)>,
}

impl PopularCache {
    pub fn new() -> Self {
        Self(Cache::builder().time_to_live(AGE_MAX).build())
    }

    /// The ranking over so many days. Of those who ask at once, one asks the database.
    async fn ranking(
        &self,
        queries: &Queries,
        calendar: &dyn ShopCalendar,
        days: u32,
    ) -> Result<Arc<Ranking>, StoreError> {
        let counted = self.0.try_get_with(days, count(queries, calendar, days)).await;
        counted.map_err(|error| (*error).clone())
    }
}

async fn count(queries: &Queries, calendar: &dyn ShopCalendar, days: u32) -> Result<Arc<Ranking>, StoreError> {
    let to = calendar.day_of(queries.clock.now().await?);
    let from = to
        .checked_sub(time::Duration::days(i64::from(days) - 1))
        .ok_or_else(|| StoreError::unexpected("a clock at the beginning of time"))?;
    let sold = queries.sales.popular(from, to, LIMIT_MAX).await?;
    let ids: Vec<_> = sold.iter().map(|row| row.product_id).collect();
    let listings = queries.products.find_many(&ids).await?;
    let mut listings: BTreeMap<_, _> = listings.into_iter().map(|listing| (listing.product.id, listing)).collect();
    let rows = sold.iter().filter_map(|row| Some((listings.remove(&row.product_id)?, row.quantity_sold))).collect();
    Ok(Arc::new(Ranking { from, to, rows }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PopularQuery {
    /// How many days to count over, today included.
    #[param(minimum = 1, maximum = 30, default = 3)]
    days: Option<i64>,
    /// The most rows to answer.
    #[param(minimum = 1, maximum = 100, default = 5)]
    limit: Option<i64>,
}

impl PopularQuery {
    fn check(&self) -> Result<(u32, usize), Problem> {
        let days = self.days.unwrap_or(i64::from(DAYS_DEFAULT));
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        let within = |value: i64, max: i64| (1..=max).contains(&value);
        let checks = [("?days", within(days, DAYS_MAX)), ("?limit", within(limit, i64::from(LIMIT_MAX)))];
        let out_of_range = checks
            .iter()
            .filter(|(_, valid)| !valid)
            .map(|(parameter, _)| Fault { pointer: (*parameter).to_owned(), reason: Reason::OutOfRange });
        let faults: Vec<Fault> = out_of_range.collect();
        match (u32::try_from(days), usize::try_from(limit)) {
            (Ok(days), Ok(limit)) if faults.is_empty() => Ok((days, limit)),
            _ => Err(Problem::of_query(faults)),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct PopularResponse {
    /// The first day that counts, in the shop's time zone.
    #[schema(format = Date)]
    from: String,
    /// The last day that counts: today.
    #[schema(format = Date)]
    to: String,
    data: Vec<PopularProductResponse>,
}

#[derive(Serialize, ToSchema)]
struct PopularProductResponse {
    /// 1 for the one that sold most.
    rank: u32,
    product: ProductResponse,
    /// Pieces in paid orders, net of refunds.
    quantity_sold: i64,
}
