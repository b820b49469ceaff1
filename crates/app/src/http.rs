//! The HTTP interface. Handlers parse, ask the domain and tell its answer; no rule lives here.
//!
//! | file | what lives there |
//! |---|---|
//! | `edge`, `admission` | what happens to every request: ids, errors, panics; tokens and limits |
//! | `caller`, `path`, `query`, `body`, `page`, `amount`, `write` | parts of requests, parsed |
//! | `answer`, `reply` | the answer to each command, as it is stored and sent |
//! | `cached_response`, `compression` | answers that are the same for everybody; long answers |
//! | `kept`, `availability` | what many ask for, read once for all of them |
//! | `points`, `products`, `popular`, `coupons`, `orders`, `quotes`, `payments`, `admin` | one resource each |
//! | `health`, `document` | for operators and for readers |

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::{App, Error, web};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use utoipa_actix_web::service_config::ServiceConfig;
use utoipa_actix_web::{AppExt, scope};

use jangteo_domain::id::ProductId;
use jangteo_domain::product::Product;
use jangteo_domain::{IdSource, Queries, ShopRules};

use crate::auth::Authenticator;
use crate::idempotency::InFlight;
use crate::lanes::Lanes;
use crate::verification::Verifier;

mod admin;
mod admission;
pub(crate) mod amount;
mod answer;
mod availability;
mod body;
mod cached_response;
mod caller;
mod compression;
mod coupons;
mod document;
mod edge;
mod health;
mod orders;
mod page;
mod path;
mod payments;
mod points;
mod popular;
mod products;
mod query;
mod quotes;
mod read_cache;
mod reply;
mod write;

pub use document::openapi;
pub use health::{DatabaseHealth, PoolStatistics, Readiness, metrics_app};

use availability::Availability;
use cached_response::SharedAnswer;
use popular::Ranking;
use read_cache::ReadCache;

/// What the handlers work with.
pub struct AppState {
    rules: Arc<ShopRules>,
    queries: Queries,
    lanes: Lanes,
    ids: Arc<dyn IdSource>,
    authenticator: Authenticator,
    in_flight: InFlight,
    rate_limiter: Option<DefaultKeyedRateLimiter<String>>,
    /// Pages of products as they are sent, by the list's name and what was asked of it.
    pages: ReadCache<String, SharedAnswer>,
    /// Popular products, by the days that they are counted over.
    rankings: ReadCache<u32, Ranking>,
    /// Products by their ids; `None` for an id that nobody has.
    products: ReadCache<ProductId, Option<Product>>,
    availability: Availability,
    verifier: Arc<Verifier>,
    health: Arc<dyn DatabaseHealth>,
    readiness: Readiness,
    options: Options,
}

/// What an operator chose about the interface.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long a request may take.
    pub request_timeout: Duration,
    /// Whether every write must carry an `Idempotency-Key`.
    pub require_idempotency_key: bool,
    /// How many requests a caller may send; `None` for no limit.
    pub rate_limit: Option<Quota>,
    /// Whether the metrics are served beside the API.
    pub serve_metrics: bool,
}

/// What the interface needs from outside.
pub struct AppStateParts {
    /// The shop's rules.
    pub rules: Arc<ShopRules>,
    /// The read ports.
    pub queries: Queries,
    /// The write path.
    pub lanes: Lanes,
    /// Where new ids come from.
    pub ids: Arc<dyn IdSource>,
    /// Who may call.
    pub authenticator: Authenticator,
    /// Who verifies the books.
    pub verifier: Arc<Verifier>,
    /// Whether the database can be used.
    pub health: Arc<dyn DatabaseHealth>,
    /// Whether this server takes requests.
    pub readiness: Readiness,
}

/// The most bytes that are kept of pages, of rankings and of products.
const PAGES_BYTES_MAX: u64 = 32 << 20;
const RANKINGS_BYTES_MAX: u64 = 8 << 20;
const PRODUCTS_BYTES_MAX: u64 = 8 << 20;

impl AppState {
    /// Puts the parts together. To be called on the main runtime.
    pub fn new(parts: AppStateParts, options: Options) -> Self {
        let catalogue = parts.lanes.catalogue().clone();
        Self {
            pages: ReadCache::new(catalogue.clone(), PAGES_BYTES_MAX, |name, page| name.len() + page.weight()),
            rankings: ReadCache::new(catalogue.clone(), RANKINGS_BYTES_MAX, |_, ranking| ranking.weight()),
            products: ReadCache::new(catalogue, PRODUCTS_BYTES_MAX, |_, product| products::weight(product.as_ref())),
            availability: Availability::start(&parts.queries.stocks),
            rules: parts.rules,
            queries: parts.queries,
            lanes: parts.lanes,
            ids: parts.ids,
            authenticator: parts.authenticator,
            in_flight: InFlight::default(),
            rate_limiter: options.rate_limit.map(RateLimiter::keyed),
            verifier: parts.verifier,
            health: parts.health,
            readiness: parts.readiness,
            options,
        }
    }

    /// Forgets the callers whose allowance is whole again. To be called from time to time.
    pub fn forget_idle_callers(&self) {
        if let Some(limiter) = &self.rate_limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// The application with all its routes.
pub fn app(
    shop: web::Data<AppState>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let serve_metrics = shop.options.serve_metrics;
    let (app, api) = App::new()
        .app_data(shop)
        .into_utoipa_app()
        .service(
            scope("/v1").wrap(from_fn(admission::admit)).configure(resources).default_service(web::to(edge::unmatched)),
        )
        .configure(|config| health::routes(config, serve_metrics))
        .configure(document::routes)
        .split_for_parts();
    let api = document::complete(api);
    app.app_data(web::Data::new(edge::Routes::of(&api)))
        .app_data(web::Data::new(document::Document::of(&api)))
        .configure(document::page)
        .default_service(web::to(edge::unmatched))
        .wrap(from_fn(edge::answer_every_request))
}

/// Everything under `/v1`. Routes are tried one after the other: what is asked for most comes first, and what is named
/// exactly before what an id could match.
fn resources(config: &mut ServiceConfig<'_>) {
    popular::routes(config);
    products::routes(config);
    orders::routes(config);
    payments::routes(config);
    coupons::routes(config);
    points::routes(config);
    quotes::routes(config);
    admin::routes(config);
}

#[cfg(test)]
mod tests;
