//! A data platform that receives: it checks signature, envelope and order, drops duplicates by id, keeps what it got
//! in a file, tells what it has, and fails when it is told to.
//!
//! | call | answer |
//! |---|---|
//! | `POST /events` | 204 once the event is kept; 400 for a bad envelope, 401 for a bad signature |
//! | `GET /events?after=N&limit=N` | the events kept, in order of their first receipt |
//! | `GET /counters` | [`Counters`] |
//! | `GET`, `PUT /behaviour` | [`Behaviour`]: which calls are to fail, by rate and by count |

mod behaviour;
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

pub use behaviour::{Behaviour, Fault, InvalidBehaviour};
use journal::Journal;
pub use journal::{Counters, Received};

use crate::cloud_event::CloudEvent;
use crate::signature::{SIGNATURE_HEADER, Signature};

/// How the receiver is set up.
#[derive(Debug, Clone)]
pub struct MockSettings {
    /// What events must be signed with; unsigned ones are taken without.
    pub secret: Option<SecretString>,
    /// Where events are kept, one JSON text a line; only in memory without. What it holds at the start was received.
    pub file: Option<PathBuf>,
    /// How it behaves at the start.
    pub behaviour: Behaviour,
    /// Seeds the choice of the calls that fail.
    pub seed: u64,
}

/// How far a signature's time may be from ours, so that a call that somebody overheard cannot be sent again later.
const SIGNATURE_AGE_MAX: Duration = Duration::from_secs(300);

/// The largest body that is read, more than any order needs.
const BODY_MAX: usize = 1 << 20;

struct Receiver {
    secret: Option<SecretString>,
    state: Mutex<State>,
}

struct State {
    journal: Journal,
    behaviour: Behaviour,
    random: SmallRng,
}

/// Serves the receiver on a listener that is bound already; the server runs when it is awaited or spawned.
///
/// # Errors
/// When the file cannot be opened or read, or the listener cannot be used.
pub fn serve(listener: TcpListener, settings: MockSettings) -> io::Result<Server> {
    let MockSettings { secret, file, behaviour, seed } = settings;
    let state = State { journal: Journal::open(file)?, behaviour, random: SmallRng::seed_from_u64(seed) };
    let receiver = web::Data::from(Arc::new(Receiver { secret, state: Mutex::new(state) }));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(receiver.clone())
            .app_data(web::PayloadConfig::new(BODY_MAX))
            .service(web::resource("/events").get(list).post(receive))
            .service(web::resource("/counters").get(counters))
            .service(web::resource("/behaviour").get(behaviour_now).put(behave))
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
        let State { journal, behaviour, random } = &mut *receiver.state();
        let fault = behaviour.draw(random);
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
    if let Some(what) = event.fault() {
        return bad_envelope(&receiver, what);
    }
    match receiver.state().journal.keep(event, &body) {
        Ok(()) if fault == Some(Fault::LoseAnswer) => HttpResponse::ServiceUnavailable().finish(),
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(error) => HttpResponse::InternalServerError().body(format!("the event cannot be kept: {error}")),
    }
}

fn bad_envelope(receiver: &Receiver, what: &str) -> HttpResponse {
    receiver.state().journal.count_bad_envelope();
    HttpResponse::BadRequest().body(format!("not an event of Jangteo: {what}"))
}

async fn fail(fault: Fault, receiver: &Receiver) -> HttpResponse {
    let behaviour = receiver.state().behaviour.clone();
    match fault {
        Fault::Fail | Fault::LoseAnswer => HttpResponse::build(behaviour.status_of_failure()).finish(),
        Fault::Throttle => {
            HttpResponse::TooManyRequests().insert_header((RETRY_AFTER, behaviour.retry_after_seconds)).finish()
        }
        Fault::Redirect => HttpResponse::TemporaryRedirect().insert_header((LOCATION, behaviour.redirect_to)).finish(),
        Fault::Hang => {
            tokio::time::sleep(Duration::from_secs(behaviour.hang_seconds)).await;
            HttpResponse::GatewayTimeout().finish()
        }
    }
}

/// Which of the kept events to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    #[serde(default)]
    after: usize,
    #[serde(default = "list_max")]
    limit: usize,
}

/// The most events that one answer lists.
const fn list_max() -> usize {
    1_000
}

/// A part of the kept events.
#[derive(Serialize)]
struct ListAnswer<'a> {
    data: &'a [Received],
    total: usize,
}

async fn list(receiver: web::Data<Receiver>, query: web::Query<ListQuery>) -> HttpResponse {
    let state = receiver.state();
    let all = state.journal.received();
    let from = query.after.min(all.len());
    let to = from.saturating_add(query.limit.min(list_max())).min(all.len());
    HttpResponse::Ok().json(ListAnswer { data: &all[from..to], total: all.len() })
}

async fn counters(receiver: web::Data<Receiver>) -> HttpResponse {
    HttpResponse::Ok().json(receiver.state().journal.counters())
}

async fn behaviour_now(receiver: web::Data<Receiver>) -> HttpResponse {
    HttpResponse::Ok().json(&receiver.state().behaviour)
}

async fn behave(receiver: web::Data<Receiver>, behaviour: web::Json<Behaviour>) -> HttpResponse {
    match behaviour.check() {
        Ok(()) => {
            let mut state = receiver.state();
            state.behaviour = behaviour.into_inner();
            HttpResponse::Ok().json(&state.behaviour)
        }
        Err(error) => HttpResponse::BadRequest().body(error.to_string()),
    }
}
