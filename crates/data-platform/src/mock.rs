//! A mock data platform: verifies the signature, the envelope and the order of events, drops duplicates by id, stores
//! events in a file, lists them, and fails on request.
//!
//! | call | response |
//! |---|---|
//! | `POST /events` | 204 once the event is stored; 400 for an invalid envelope, 401 for an invalid signature |
//! | `GET /events?after=N&limit=N` | the stored events, in order of their first receipt |
//! | `GET /counters` | [`Counters`] |
//! | `GET`, `PUT /behavior` | [`Behavior`]: the failing calls, by rate and by count |

mod behavior;
mod journal;

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header::{LOCATION, RETRY_AFTER};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

pub use behavior::{Behavior, Fault, InvalidBehavior};
use journal::Journal;
pub use journal::{Counters, Received};

use crate::cloud_event::CloudEvent;
use crate::signature::{SIGNATURE_HEADER, Signature};

/// Settings of the mock data platform.
#[derive(Debug, Clone)]
pub struct MockSettings {
    /// Expected signing key; signatures are not verified without one.
    pub secret: Option<SecretString>,
    /// JSON Lines file of the stored events, loaded at the start; without it, events are in memory only.
    pub file: Option<PathBuf>,
    /// Faults from the first call on; `PUT /behavior` replaces them.
    pub behavior: Behavior,
    /// Seeds the choice of the calls that fail.
    pub seed: u64,
}

/// Maximum difference between a signature's time and ours, so that an intercepted call cannot be replayed later.
const SIGNATURE_AGE_MAX: Duration = Duration::from_secs(300);

/// Maximum body size in bytes, above the size of any order.
const BODY_MAX: usize = 1 << 20;

struct Receiver {
    secret: Option<SecretString>,
    state: Mutex<State>,
}

struct State {
    journal: Journal,
    behavior: Behavior,
    random: SmallRng,
}

/// Serves the mock on a bound listener; the server runs when it is awaited or spawned.
///
/// # Errors
/// If the file cannot be opened or read, or the listener cannot be used.
pub fn serve(listener: TcpListener, settings: MockSettings) -> io::Result<Server> {
    let MockSettings { secret, file, behavior, seed } = settings;
    let state = State { journal: Journal::open(file)?, behavior, random: SmallRng::seed_from_u64(seed) };
    let receiver = web::Data::from(Arc::new(Receiver { secret, state: Mutex::new(state) }));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(receiver.clone())
            .app_data(web::PayloadConfig::new(BODY_MAX))
            .service(web::resource("/events").get(list).post(receive))
            .service(web::resource("/counters").get(counters))
            .service(web::resource("/behavior").get(get_behavior).put(put_behavior))
    });
    Ok(server.workers(1).disable_signals().listen(listener)?.run())
}

impl Receiver {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_signed(&self, request: &HttpRequest, body: &[u8]) -> bool {
        let Some(secret) = &self.secret else { return true };
        let header = request.headers().get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok());
        let signature = header.and_then(|text| text.parse::<Signature>().ok());
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        signature.is_some_and(|signature| {
            signature.timestamp().abs_diff(now) <= SIGNATURE_AGE_MAX.as_secs()
                && signature.is_of(secret.expose_secret().as_bytes(), body)
        })
    }
}

async fn receive(receiver: web::Data<Receiver>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let fault = {
        let State { journal, behavior, random } = &mut *receiver.state();
        let fault = behavior.draw(random);
        journal.count_fault(fault);
        fault
    };
    match fault {
        None | Some(Fault::LoseAnswer) => {}
        Some(fault) => return fail(fault, &receiver).await,
    }
    if !receiver.is_signed(&request, &body) {
        receiver.state().journal.count_unsigned();
        return HttpResponse::Unauthorized().body("the signature is missing, wrong or too old");
    }
    let event: CloudEvent = match serde_json::from_slice(&body) {
        Ok(event) => event,
        Err(error) => return bad_envelope(&receiver, &error.to_string()),
    };
    if let Some(error) = event.validation_error() {
        return bad_envelope(&receiver, error);
    }
    match receiver.state().journal.store(event, &body) {
        Ok(()) if fault == Some(Fault::LoseAnswer) => HttpResponse::ServiceUnavailable().finish(),
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(error) => HttpResponse::InternalServerError().body(format!("cannot store the event: {error}")),
    }
}

fn bad_envelope(receiver: &Receiver, error: &str) -> HttpResponse {
    receiver.state().journal.count_bad_envelope();
    HttpResponse::BadRequest().body(format!("not an event of Jangteo: {error}"))
}

async fn fail(fault: Fault, receiver: &Receiver) -> HttpResponse {
    let behavior = receiver.state().behavior.clone();
    match fault {
        Fault::Fail | Fault::LoseAnswer => HttpResponse::build(behavior.status_of_failure()).finish(),
        Fault::Throttle => {
            HttpResponse::TooManyRequests().insert_header((RETRY_AFTER, behavior.retry_after_seconds)).finish()
        }
        Fault::Redirect => HttpResponse::TemporaryRedirect().insert_header((LOCATION, behavior.redirect_to)).finish(),
        Fault::Hang => {
            tokio::time::sleep(Duration::from_secs(behavior.hang_seconds)).await;
            HttpResponse::GatewayTimeout().finish()
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    #[serde(default)]
    after: usize,
    #[serde(default = "list_max")]
    limit: usize,
}

/// Maximum number of events in a response.
const fn list_max() -> usize {
    1_000
}

#[derive(Serialize)]
struct ListResponse<'a> {
    data: &'a [Received],
    total: usize,
}

async fn list(receiver: web::Data<Receiver>, query: web::Query<ListQuery>) -> HttpResponse {
    let state = receiver.state();
    let all = state.journal.received();
    let from = query.after.min(all.len());
    let to = from.saturating_add(query.limit.min(list_max())).min(all.len());
    HttpResponse::Ok().json(ListResponse { data: &all[from..to], total: all.len() })
}

async fn counters(receiver: web::Data<Receiver>) -> HttpResponse {
    HttpResponse::Ok().json(receiver.state().journal.counters())
}

async fn get_behavior(receiver: web::Data<Receiver>) -> HttpResponse {
    HttpResponse::Ok().json(&receiver.state().behavior)
}

async fn put_behavior(receiver: web::Data<Receiver>, behavior: web::Json<Behavior>) -> HttpResponse {
    match behavior.check() {
        Ok(()) => {
            let mut state = receiver.state();
            state.behavior = behavior.into_inner();
            HttpResponse::Ok().json(&state.behavior)
        }
        Err(error) => HttpResponse::BadRequest().body(error.to_string()),
    }
}
