//! The pages in the browser: the back office at `/console/` and, of a demo, the shop at `/shop/`. They are static files
//! and use the same API as any client. Outside of `/v1` are only their settings and the sign-in to a demo.

use std::sync::{Arc, OnceLock};

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{self, Bytes, Data, Json};
use actix_web::{HttpRequest, HttpResponse, guard, mime};
use jangteo_console::{ASSETS, BACK_OFFICE, SHOP};
use jangteo_domain::UserId;
use serde::{Deserialize, Serialize};

use crate::demo::DemoSignIn;
use crate::http::extract::body::Body;
use crate::http::openapi;
use crate::http::respond::cached_files::CachedFiles;
use crate::http::respond::cached_response::CacheControl;
use crate::http::respond::problem::{Problem, ProblemCode};
use crate::http::respond::redirect::{moved_to, see};
use crate::http::state::AppState;
use crate::settings::{ConsoleSettings, OidcSettings};

mod issuer;

const BACK_OFFICE_PATH: &str = "/console/";
const SHOP_PATH: &str = "/shop/";
/// In front of the sources of `connect-src`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'";

/// The pages that are served, and how their users sign in.
pub struct Console {
    is_served: bool,
    oidc: Option<OidcSettings>,
    /// The policy with the origins of the OpenID provider, once it has named them.
    discovered_policy: OnceLock<HeaderValue>,
    demo: Option<Arc<DemoSignIn>>,
}

impl Console {
    pub fn new(settings: &ConsoleSettings, demo: Option<Arc<DemoSignIn>>) -> Self {
        let ConsoleSettings { is_served, oidc } = settings.clone();
        // Only the back office signs in at a provider.
        Self { is_served, oidc: oidc.filter(|_| is_served), discovered_policy: OnceLock::new(), demo }
    }

    /// Allows the pages to connect to the addresses that the OpenID provider names in its discovery document. Returns
    /// when they are known; until then pages connect to the issuer's origin only.
    pub async fn discover_issuer(&self) {
        if let Some(oidc) = &self.oidc {
            let policy = policy(&issuer::origins(&oidc.issuer).await);
            // Set only here.
            let _was_unset = self.discovered_policy.set(policy);
        }
    }

    fn policy(&self) -> HeaderValue {
        let until_then = || policy(&self.oidc.iter().map(|oidc| issuer::origin(&oidc.issuer)).collect::<Vec<_>>());
        self.discovered_policy.get().cloned().unwrap_or_else(until_then)
    }
}

/// Origins are ASCII without separators.
fn policy(origins: &[String]) -> HeaderValue {
    let policy = [POLICY].into_iter().chain(origins.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    HeaderValue::try_from(policy).expect("ASCII")
}

/// The pages that the settings ask for, and `/`, which leads a browser to the first of them.
pub fn pages(config: &mut web::ServiceConfig, console: &Console) {
    // Programs, which accept anything or JSON, receive 404 instead: for them there is no resource at `/`.
    let home = web::resource("/").guard(guard::Get()).guard(guard::Acceptable::new(mime::TEXT_HTML));
    let first = match console {
        Console { demo: Some(_), .. } => SHOP_PATH,
        Console { is_served: true, .. } => BACK_OFFICE_PATH,
        _ => openapi::PAGE,
    };
    config.service(home.to(move || async move { see(first) }));
    if console.is_served {
        config
            .route("/console", web::get().to(|| async { moved_to(BACK_OFFICE_PATH) }))
            .route(BACK_OFFICE_PATH, web::get().to(|state, request| show_page(state, request, BACK_OFFICE)));
    }
    if console.demo.is_some() {
        config
            .route("/shop", web::get().to(|| async { moved_to(SHOP_PATH) }))
            .route(SHOP_PATH, web::get().to(|state, request| show_page(state, request, SHOP)))
            .route("/console/demo/code", web::post().to(exchange_code))
            .route("/console/demo/user", web::post().to(sign_in_user));
    }
    if console.is_served || console.demo.is_some() {
        config
            .route("/console/settings.json", web::get().to(show_settings))
            .route("/console/assets/{name}", web::get().to(show_asset));
    }
}

async fn show_page(state: Data<AppState>, request: HttpRequest, page: &'static str) -> Result<HttpResponse, Problem> {
    let mut response = respond(page, &request, CacheControl::Revalidate).await?;
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, state.console.policy());
    Ok(response)
}

async fn show_asset(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let path = format!("{ASSETS}{}", request.match_info().query("name"));
    respond(&path, &request, CacheControl::Immutable).await
}

async fn respond(path: &str, request: &HttpRequest, cache_control: CacheControl) -> Result<HttpResponse, Problem> {
    static FILES: CachedFiles = CachedFiles::new();

    let file = FILES.find(path, || {
        let file = jangteo_console::file(path)?;
        Some((Bytes::from_static(file.bytes), HeaderValue::from_static(file.media_type)))
    });
    Ok(file.ok_or(ProblemCode::NotFound)?.respond(request, cache_control).await)
}

/// Everything here is public: a browser needs it before its user signs in.
#[derive(Serialize)]
struct SettingsResponse {
    /// Whether tokens are to be had for the asking.
    demo: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    oidc: Option<OidcResponse>,
}

#[derive(Serialize)]
struct OidcResponse {
    issuer: String,
    client_id: String,
    scopes: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
}

async fn show_settings(state: Data<AppState>) -> Json<SettingsResponse> {
    let oidc = state.console.oidc.as_ref().map(|oidc| OidcResponse {
        issuer: oidc.issuer.to_string(),
        client_id: oidc.client_id.clone(),
        scopes: oidc.scopes.clone(),
        audience: oidc.audience.clone(),
    });
    Json(SettingsResponse { demo: state.console.demo.is_some(), oidc })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CodeRequest {
    code: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserRequest {
    user_id: String,
}

#[derive(Serialize)]
struct TokenResponse {
    token: String,
}

/// Exchanges the code of the link that `serve --dev` prints for a token of the back office.
async fn exchange_code(
    state: Data<AppState>,
    request: HttpRequest,
    body: Body<CodeRequest>,
) -> Result<Json<TokenResponse>, Problem> {
    let demo = demo_of(&state, &request)?;
    let token = demo.exchange(&body.value.code).ok_or(ProblemCode::NotFound)?;
    Ok(Json(TokenResponse { token: token.map_err(|_| ProblemCode::InternalError)? }))
}

/// A token of any customer of the demo. Its scope is empty.
async fn sign_in_user(
    state: Data<AppState>,
    request: HttpRequest,
    body: Body<UserRequest>,
) -> Result<Json<TokenResponse>, Problem> {
    let demo = demo_of(&state, &request)?;
    let user: UserId = body.value.user_id.parse().map_err(|_| ProblemCode::NotFound)?;
    Ok(Json(TokenResponse { token: demo.token(user.as_str(), "").map_err(|_| ProblemCode::InternalError)? }))
}

/// Only for a browser that addresses this machine: the page of another site could give its own name our address (DNS
/// rebinding), and then read the answer.
fn demo_of<'a>(state: &'a AppState, request: &HttpRequest) -> Result<&'a DemoSignIn, Problem> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_port = |rest: &str| rest.is_empty() || rest.starts_with(':');
    let is_local = ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| host.strip_prefix(name).is_some_and(is_port));
    state.console.demo.as_deref().filter(|_| is_local).ok_or_else(|| ProblemCode::NotFound.into())
}
