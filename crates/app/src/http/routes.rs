//! The routes of all resources, and the response to unmatched requests.

use actix_web::dev::ResourceDef;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use utoipa::openapi::OpenApi;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::http::respond::problem::{Problem, ProblemCode};
use crate::http::{admin, api};

/// The routes under `/v1`, matched in order: the most frequent first, and static paths before paths with an id.
pub fn resources(config: &mut ServiceConfig<'_>) {
    api::popular::routes(config);
    api::products::routes(config);
    api::quotes::routes(config);
    api::orders::routes(config);
    api::refunds::routes(config);
    api::payments::routes(config);
    api::coupons::routes(config);
    api::points::routes(config);
    api::shop::routes(config);
    admin::routes(config);
}

/// The methods of each path, from the OpenAPI document.
pub struct Methods(Vec<(ResourceDef, Vec<Method>)>);

impl Methods {
    /// The methods of all operations of the document.
    pub fn of(api: &OpenApi) -> Self {
        let routes = api.paths.paths.iter().map(|(path, item)| {
            let operations = [
                (Method::GET, &item.get),
                (Method::POST, &item.post),
                (Method::PUT, &item.put),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
            ];
            let methods = operations.into_iter().filter(|(_, operation)| operation.is_some());
            (ResourceDef::new(path.as_str()), methods.map(|(method, _)| method).collect())
        });
        Self(routes.collect())
    }

    fn allowed(&self, path: &str) -> Vec<&str> {
        let matching = self.0.iter().filter(|(pattern, _)| pattern.is_match(path));
        // Of a static path and one with an id, as `/orders/quote` and `/orders/{order_id}`, the static one is routed.
        let routed = matching.min_by_key(|(pattern, _)| pattern.pattern().map_or(0, |text| text.matches('{').count()));
        let mut methods: Vec<&str> =
            routed.iter().flat_map(|(_, methods)| methods.iter().map(Method::as_str)).collect();
        if methods.contains(&Method::GET.as_str()) {
            methods.push(Method::HEAD.as_str());
        }
        methods.sort_unstable();
        methods
    }
}

/// The response to unmatched requests: 405 where the path supports other methods, else 404.
pub async fn unmatched(request: HttpRequest, methods: web::Data<Methods>) -> Result<HttpResponse, Problem> {
    let allowed = methods.allowed(request.path());
    if allowed.is_empty() {
        return Err(ProblemCode::NotFound.into());
    }
    let allow = HeaderValue::from_str(&allowed.join(", ")).expect("names of methods");
    Err(Problem::new(ProblemCode::MethodNotAllowed).with_header(header::ALLOW, allow))
}
