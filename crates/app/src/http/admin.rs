//! The back office: one file a resource. Every handler asks for [`Admin`](crate::http::caller::Admin) first.

use utoipa_actix_web::scope;
use utoipa_actix_web::service_config::ServiceConfig;

pub mod campaigns;
pub mod products;
pub mod refunds;
pub mod stocks;
pub mod verification;

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(
        scope("/admin")
            .configure(products::routes)
            .configure(stocks::routes)
            .configure(campaigns::routes)
            .configure(refunds::routes)
            .configure(verification::routes),
    );
}
