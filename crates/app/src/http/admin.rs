//! The back office, a file for each resource. Every handler requires [`Admin`](crate::http::extract::caller::Admin).

use utoipa_actix_web::scope;
use utoipa_actix_web::service_config::ServiceConfig;

pub mod audit_log;
pub mod campaigns;
pub mod coupons;
pub mod events;
pub mod orders;
pub mod overview;
pub mod points;
pub mod products;
pub mod refunds;
pub mod statistics;
pub mod stocks;
pub mod timeline;
pub mod token_revocations;
pub mod verification;
pub mod verifications;

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(
        scope("/admin")
            .configure(products::routes)
            .configure(stocks::routes)
            .configure(campaigns::routes)
            .configure(coupons::routes)
            .configure(orders::routes)
            .configure(timeline::routes)
            .configure(refunds::routes)
            .configure(points::routes)
            .configure(events::routes)
            .configure(audit_log::routes)
            .configure(token_revocations::routes)
            .configure(statistics::routes)
            .configure(overview::routes)
            .configure(verification::routes)
            .configure(verifications::routes),
    );
}
