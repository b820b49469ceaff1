//! A server on the in-memory store, and shortcuts for requests.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::{MessageBody, to_bytes};
use actix_web::dev::Service;
use actix_web::http::header::{HeaderMap, HeaderValue, X_FORWARDED_FOR};
use actix_web::http::{Method, StatusCode};
use actix_web::test::{TestRequest, init_service};
use actix_web::web::Data;
use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use governor::Quota;
use jangteo_data_platform::JsonEvents;
use jangteo_domain::outbox::EventRenderer;
use jangteo_domain::point::MockPointQueries;
use jangteo_domain::retention::Retention;
use jangteo_domain::testing::{NoBackoff, rules};
use jangteo_domain::verification::BooksFactory;
use jangteo_domain::{BatchExecutor, Queries, StoreError};
use jangteo_domain_testing::MemoryStore;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::documented;
use crate::auth::{ADMIN_SCOPE, Authenticator, sign};
use crate::calendar::TimeZoneCalendar;
use crate::client_address::TrustedProxies;
use crate::cursor_keys::CursorKeys;
use crate::http::access::{Access, RateLimits};
use crate::http::catalog::Catalog;
use crate::http::console::Console;
use crate::http::cors::Cors;
use crate::http::extract::write::BULK_COMMANDS_MAX;
use crate::http::operations::{DatabaseHealth, LastCheck, Operations, PoolStatistics, Readiness, WriterStatus};
use crate::http::state::{AppState, Options, ShopSettings};
use crate::http::{app, success};
use crate::idempotency::InFlight;
use crate::lanes::Lanes;
use crate::settings::{Settings, TokenKey, TokenParties, TokenSettings, TopUpBy};
use crate::system::UuidSource;
use crate::telemetry;
use crate::user_label::UserLabels;
use crate::workers::verification::{Verifier, VerifierPorts};

pub const SECRET: &str = "a secret of the tests, 32 bytes or more";

/// A server with its store.
pub struct Client {
    pub store: MemoryStore,
    pub readiness: Readiness,
    /// The problems received so far, by operation id and code.
    pub problems: RefCell<BTreeSet<(String, String)>>,
    call: Box<dyn Fn(TestRequest) -> LocalBoxFuture<'static, Call>>,
}

/// The replaceable parts of a server.
struct Parts {
    options: Options,
    /// Of a user, and of an address.
    rate_limit: Option<Quota>,
    cors: Option<Cors>,
    console: Console,
    queries: Queries,
    books: Arc<dyn BooksFactory>,
    events: Arc<dyn EventRenderer>,
    users: UserLabels,
}

/// The method and path of a request, and the response to it.
type Call = (Method, String, Answer);

impl Parts {
    fn of(store: &MemoryStore) -> Self {
        let options = Options {
            request_timeout: Duration::from_secs(10),
            require_idempotency_key: false,
            top_up_by: TopUpBy::Owner,
            serve_metrics: true,
        };
        Self {
            options,
            rate_limit: None,
            cors: None,
            console: Console::new(&defaults().console, None),
            queries: store.queries(),
            books: store.books(),
            events: Arc::new(JsonEvents),
            users: UserLabels::Plain,
        }
    }
}

/// A response, read to its end.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Client {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A server with other options.
    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        Self::start(|parts| change(&mut parts.options)).await
    }

    /// A server with a rate limit for each user and address, behind the proxy 10.0.0.1.
    pub async fn limited(rate_limit: Quota) -> Self {
        Self::start(|parts| parts.rate_limit = Some(rate_limit)).await
    }

    /// A server that hashes users in the log.
    pub async fn hashing_users() -> Self {
        Self::start(|parts| parts.users = UserLabels::hashed(SECRET.as_bytes())).await
    }

    /// A server for pages of the origin.
    pub async fn for_pages_of(origin: &'static str) -> Self {
        Self::start(|parts| parts.cors = Some(Cors { origins: vec![HeaderValue::from_static(origin)] })).await
    }

    /// A server with other pages.
    pub async fn with_console(console: Console) -> Self {
        Self::start(|parts| parts.console = console).await
    }

    /// A server with other read ports.
    pub async fn reading(change: impl FnOnce(&mut Queries)) -> Self {
        Self::start(|parts| change(&mut parts.queries)).await
    }

    /// A server with other books and options.
    pub async fn with_books(books: Arc<dyn BooksFactory>, change: impl FnOnce(&mut Options)) -> Self {
        Self::start(|parts| {
            parts.books = books;
            change(&mut parts.options);
        })
        .await
    }

    /// A server with another event renderer.
    pub async fn rendering(events: Arc<dyn EventRenderer>) -> Self {
        Self::start(|parts| parts.events = events).await
    }

    /// A server whose reads of points panic.
    pub async fn panicking() -> Self {
        Self::reading(|queries| {
            let mut points = MockPointQueries::new();
            points.expect_account().returning(|_| panic!("the store broke"));
            queries.points = Arc::new(points);
        })
        .await
    }

    async fn start(change: impl FnOnce(&mut Parts)) -> Self {
        telemetry::statistics();
        let store = MemoryStore::new();
        let mut parts = Parts::of(&store);
        change(&mut parts);
        let Parts { options, rate_limit, cors, console, queries, books, events, users } = parts;
        let rules = Arc::new(rules());
        let executor = BatchExecutor {
            factory: store.factory(),
            rules: Arc::clone(&rules),
            ids: Arc::new(UuidSource),
            events,
            backoff: Arc::new(NoBackoff),
        };
        let Settings { lanes: lane_settings, token_limits: limits, .. } = defaults();
        // Without their handle the lanes live as long as the server.
        let (lanes, _) = Lanes::start(&executor, lane_settings);
        let token_settings =
            TokenSettings { algorithm: jsonwebtoken::Algorithm::HS256, key: TokenKey::Secret(secret()) };
        let readiness = Readiness::default();
        let verifier_ports =
            VerifierPorts { books, runs: store.verification_runs(), clock: Arc::clone(&queries.clock) };
        let authenticator = Authenticator::new(&token_settings, &parties(), limits).await.expect("a secret");
        let state = AppState {
            rules,
            catalog: Catalog::start(lanes.catalog_version(), &queries.stocks),
            queries,
            lanes,
            access: Access {
                authenticator,
                limits: RateLimits::new(rate_limit, rate_limit),
                proxies: TrustedProxies { networks: vec![IpAddr::from([10, 0, 0, 1]).into()], header: X_FORWARDED_FOR },
                in_flight: InFlight::default(),
            },
            bulk_commands: Semaphore::new(BULK_COMMANDS_MAX),
            shop: ShopSettings {
                name: None,
                time_zone: TimeZoneCalendar::of("Asia/Seoul").expect("the zone is built in"),
                is_demo: true,
            },
            cors,
            operations: Operations {
                verifier: Arc::new(Verifier::new(verifier_ports, Retention::default())),
                health: Arc::new(Healthy),
                readiness: readiness.clone(),
                last_check: LastCheck::default(),
            },
            console,
            cursor_keys: Arc::new(CursorKeys::of_this_process()),
            users,
            success,
            options,
        };
        let service = Rc::new(init_service(app(Data::new(state))).await);
        let call = move |request: TestRequest| {
            let service = Rc::clone(&service);
            let request = request.to_request();
            let (method, path) = (request.method().clone(), request.path().to_owned());
            async move {
                let answer = match service.call(request).await {
                    Ok(response) => read(response.into_parts().1).await,
                    Err(error) => read(error.error_response()).await,
                };
                (method, path, answer)
            }
            .boxed_local()
        };
        Self { store, readiness, problems: RefCell::default(), call: Box::new(call) }
    }

    /// Sends the request. The document must list the problem in the response, if any.
    pub async fn call(&self, request: TestRequest) -> Answer {
        let (method, path, answer) = (self.call)(request).await;
        self.problems.borrow_mut().extend(documented::check(&method, &path, &answer));
        answer
    }

    /// Creates a product with that stock; returns its id.
    pub async fn product(&self, details: Value, stock: i32) -> String {
        let made = self.call(admin(post("/v1/admin/products", details))).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
        let id = made.json()["product_id"].as_str().expect("an id").to_owned();
        if stock > 0 {
            let path = format!("/v1/admin/products/{id}/stock-movements");
            let filled = self.call(admin(post(&path, json!({"quantity": stock, "reason": "new"})))).await;
            assert_eq!(filled.status, StatusCode::CREATED);
        }
        id
    }

    /// Creates an open campaign of ten coupons; returns its id.
    pub async fn campaign(&self, discount: Value) -> String {
        let made = self.call(admin(post("/v1/admin/coupon-campaigns", campaign(discount)))).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
        made.json()["campaign_id"].as_str().expect("an id").to_owned()
    }
}

/// The request for a campaign of ten coupons, open at the store's time.
pub fn campaign(discount: Value) -> Value {
    json!({
        "name": "선착순", "discount": discount, "quantity": 10, "valid_days": 7,
        "issue_opens_at": "2026-01-01T00:00:00+09:00", "issue_closes_at": "2036-01-01T00:00:00Z",
    })
}

async fn read(response: HttpResponse<impl MessageBody>) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body()).await.ok().expect("a body in memory").to_vec();
    Answer { status, headers, body }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// The code of the problem; empty for none.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The value of the header; empty for none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

pub fn send(method: Method, path: &str) -> TestRequest {
    TestRequest::with_uri(path).method(method)
}

pub fn get(path: &str) -> TestRequest {
    send(Method::GET, path)
}

pub fn post(path: &str, json: Value) -> TestRequest {
    send(Method::POST, path).set_json(json)
}

pub fn kim(request: TestRequest) -> TestRequest {
    by("kim", "", request)
}

pub fn lee(request: TestRequest) -> TestRequest {
    by("lee", "", request)
}

pub fn admin(request: TestRequest) -> TestRequest {
    by("boss", ADMIN_SCOPE, request)
}

pub fn by(user: &str, scope: &str, request: TestRequest) -> TestRequest {
    let user = user.parse().expect("a user");
    let token = sign(&secret(), &parties(), &user, scope, Duration::from_secs(60)).expect("a token");
    request.insert_header(("Authorization", format!("Bearer {token}")))
}

fn defaults() -> Settings {
    Settings::from_sources(None, HashMap::new()).expect("the defaults")
}

fn secret() -> SecretString {
    SECRET.into()
}

fn parties() -> TokenParties {
    TokenParties { issuer: "issuer".to_owned(), audience: "shop".to_owned() }
}

struct Healthy;

#[async_trait]
impl DatabaseHealth for Healthy {
    async fn is_usable(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn writer(&self) -> Option<WriterStatus> {
        None
    }

    fn pools(&self) -> Vec<PoolStatistics> {
        vec![PoolStatistics { name: "read", connections: 1, idle: 1, connections_max: 1 }]
    }
}
