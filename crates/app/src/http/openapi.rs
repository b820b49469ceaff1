//! The OpenAPI document, generated from the handlers, and the page that shows it.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::middleware::DefaultHeaders;
use actix_web::{HttpRequest, HttpResponse, get, web};
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ContactBuilder, Info, InfoBuilder, LicenseBuilder, OpenApi, RefOr, Schema, ServerBuilder};
use utoipa_actix_web::service_config::ServiceConfig;
use utoipa_actix_web::{AppExt, scope};
use utoipa_swagger_ui::{Config, SwaggerFile, serve};

use crate::http::health;
use crate::http::respond::cached_files::CachedFiles;
use crate::http::respond::cached_response::{CacheControl, CachedResponse};
use crate::http::respond::problem::{Problem, ProblemCode};
use crate::http::respond::redirect::moved_to;
use crate::http::routes::resources;

mod examples;
mod operation;
mod problem;

#[cfg(test)]
pub use examples::of as example_of;
#[cfg(test)]
pub use operation::{common_problems, of as operations_of};

/// The path of the page.
pub const PAGE: &str = "/docs/";

const DESCRIPTION: &str = "\
The transaction core of a shop: points, products and their stock, coupons, orders and payments.

- Amounts are decimal strings in the shop's currency; times are RFC 3339 in UTC.
- Text is trimmed at both ends and composed (Unicode NFC) before its length counts; CRLF becomes LF, and other control \
  characters but tab are rejected.
- An empty query parameter counts as absent; unknown ones are rejected.
- Errors are problem details (RFC 9457) with a stable `code`. Each operation lists its codes by status.
- Writes accept an `Idempotency-Key`: a retry with the same key has one effect, and the same response.
- Lists are paged by `limit` and `cursor`.
- A `GET` with the scope `admin` and `Cache-Control: max-age=1` accepts a response up to a second old, which many polls \
  share; it has an `ETag`.";

/// The tags in the order of the document, with their descriptions.
const TAGS: &[(&str, &str)] = &[
    ("points", "유저 포인트: balances, top-ups (충전) and the ledger."),
    ("products", "상품: products on sale, and the most popular ones (인기 상품)."),
    ("coupons", "쿠폰: campaigns, first come, first served, and the coupons of users."),
    ("orders", "주문과 결제: orders, quotes, payments by points, and cancellations."),
    ("admin", "백오피스: requires the scope `admin`. Changes are recorded in the audit log."),
    ("operation", "운영: health, metrics, and this document."),
];

/// The document, without a running server.
pub fn openapi() -> OpenApi {
    let (_, api) = actix_web::App::new()
        .into_utoipa_app()
        .service(scope("/v1").configure(resources))
        .configure(|config| health::routes(config, true))
        .configure(routes)
        .split_for_parts();
    complete(api)
}

/// Adds everything that no handler declares: the parts that operations share, examples, and the head of the document.
pub fn complete(mut api: OpenApi) -> OpenApi {
    api.info = info();
    api.servers = Some(vec![ServerBuilder::new().url("/").description(Some("The server of this document")).build()]);
    let tags = TAGS.iter().map(|(name, text)| TagBuilder::new().name(*name).description(Some(*text)).build());
    api.tags = Some(tags.collect());
    let components = api.components.get_or_insert_default();
    components.schemas.extend(problem::schemas());
    close_variants(components.schemas.get_mut("DiscountRequest"));
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operation::of(item) {
            operation::complete(path, &method, operation);
            examples::add(operation);
        }
    }
    api
}

/// Forbids unknown members in the variants of an enum of a request, which the derived schema leaves open.
fn close_variants(schema: Option<&mut RefOr<Schema>>) {
    let Some(RefOr::T(Schema::OneOf(variants))) = schema else { return };
    for variant in &mut variants.items {
        if let RefOr::T(Schema::Object(object)) = variant {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
}

fn info() -> Info {
    let license = env!("CARGO_PKG_LICENSE");
    InfoBuilder::new()
        .title("Jangteo")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .contact(Some(ContactBuilder::new().name(Some("The maintainers of Jangteo")).build()))
        .license(Some(LicenseBuilder::new().name(license).identifier(Some(license)).build()))
        .build()
}

/// The document, serialized once.
pub struct Document(CachedResponse);

impl Document {
    pub fn of(api: &OpenApi) -> Self {
        Self(CachedResponse::of(api))
    }
}

pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(show_document);
}

/// Show this document
///
/// Returns the OpenAPI document of this server. `/docs/` shows it as a page.
#[utoipa::path(
    tag = "operation",
    security(()),
    responses((status = 200, body = std::collections::BTreeMap<String, serde_json::Value>), (status = 304)),
)]
#[get("/openapi.json")]
async fn show_document(document: web::Data<Document>, request: HttpRequest) -> HttpResponse {
    document.0.respond(&request, CacheControl::Revalidate).await
}

/// Serves the page of the document, which loads nothing from other servers.
pub fn page(config: &mut web::ServiceConfig) {
    let policy = DefaultHeaders::new().add((
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ));
    config
        .route("/docs", web::get().to(|| async { moved_to(PAGE) }))
        .service(web::scope("/docs").wrap(policy).route("/{file:.*}", web::get().to(show_page)));
}

/// A file of the page, which browsers store and revalidate.
async fn show_page(request: HttpRequest) -> Result<HttpResponse, Problem> {
    static FILES: CachedFiles = CachedFiles::new();

    let name = request.match_info().query("file");
    let file = FILES.find(name, || {
        let SwaggerFile { bytes, content_type, .. } = serve(name, Arc::new(Config::from("/openapi.json"))).ok()??;
        Some((bytes.into_owned().into(), content_type.parse().ok()?))
    });
    Ok(file.ok_or(ProblemCode::NotFound)?.respond(&request, CacheControl::Revalidate).await)
}

#[cfg(test)]
mod tests;
