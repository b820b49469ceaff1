//! The HTTP interface. Handlers parse a request, call the domain and respond; no rule lives here.
//!
//! | module | contents |
//! |---|---|
//! | `middleware` | every request: id, language, deadline, tokens, limits, headers, logs and metrics |
//! | `extract` | parts of requests, parsed: callers, ids, queries, bodies, pages, writes |
//! | `respond` | problems, rendered answers, cached responses, compression |
//! | `values` | money and times as JSON |
//! | `api`, `admin` | a file for each resource |
//! | `replies` | the success of each command |
//! | `routes`, `openapi` | all resources under their paths, and the document of them |
//! | `listener`, `connection` | the server, and the limits of its connections |
//! | `console` | the back office and the demo shop in the browser |
//! | `state` | shared state of handlers: `catalog` (cached reads), `access` (callers), `cors` (origins), `operations` (this server) |

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::{App, Error, web};
use utoipa_actix_web::{AppExt, scope};

pub(crate) mod access;
mod admin;
pub(crate) mod api;
pub(crate) mod catalog;
pub(crate) mod connection;
pub(crate) mod console;
pub(crate) mod cors;
mod deadline;
pub(crate) mod extract;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod headers;
mod health;
pub(crate) mod listener;
mod middleware;
mod openapi;
pub(crate) mod operations;
mod replies;
pub mod respond;
mod routes;
pub(crate) mod state;
pub(crate) mod values;

pub(crate) use health::metrics_app;
pub(crate) use openapi::openapi;
pub(crate) use replies::success;

use state::AppState;

/// The application with all its routes.
pub(crate) fn app(
    state: web::Data<AppState>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let serve_metrics = state.options.serve_metrics;
    let console = state.clone();
    let (app, api) = App::new()
        .app_data(state)
        .into_utoipa_app()
        .service(
            scope("/v1")
                .wrap(from_fn(middleware::admit))
                .configure(routes::resources)
                .default_service(web::to(routes::unmatched)),
        )
        .configure(|config| health::routes(config, serve_metrics))
        .configure(openapi::routes)
        .split_for_parts();
    let api = openapi::complete(api);
    app.app_data(web::Data::new(routes::Methods::of(&api)))
        .app_data(web::Data::new(openapi::Document::of(&api)))
        .configure(openapi::page)
        .configure(|config| console::pages(config, &console.console))
        .default_service(web::to(routes::unmatched))
        .wrap(from_fn(middleware::respond_to_every_request))
}

#[cfg(test)]
mod tests;
