//! Callers that top up points while the database fails. No acknowledged write may be lost, none may have two effects, and
//! none an effect after a response that rules it out.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use jangteo_testkit::{Call, Column, Connection, Response, Row, Server, eventually_within};
use serde_json::json;
use tokio::sync::watch;

/// Maximum time until writes succeed again. Galera excludes a silent node after 5 s.
pub const PROGRESS_MAX: Duration = Duration::from_secs(60);
/// Concurrent callers; every second one sends keys.
const CALLERS: usize = 12;

/// A top-up, unique by user and amount.
struct Request {
    fault: &'static str,
    user: String,
    amount: i64,
    key: Option<String>,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Created,
    NoEffect,
    Unknown,
}

/// The callers of one server.
pub struct Load<'a> {
    pub server: &'a Server,
    /// Successful top-ups.
    created: AtomicUsize,
    requests: Mutex<Vec<Request>>,
}

impl<'a> Load<'a> {
    pub fn of(server: &'a Server) -> Self {
        Self { server, created: AtomicUsize::new(0), requests: Mutex::default() }
    }

    /// Sends top-ups until `fault` ends, in which the callers observe at most this many failures of the writer.
    pub async fn during(&self, fault: &'static str, failures: usize, failing: impl Future<Output = ()>) {
        let stop = watch::Sender::new(false);
        let callers = join_all((0..CALLERS).map(|number| self.call(fault, number, stop.subscribe())));
        let failing = async {
            self.progress().await;
            failing.await;
            stop.send_replace(true);
        };
        tokio::join!(failing, callers);
        let requests = self.requests.lock().expect("no panic while it is held");
        let is_unknown = |request: &&Request| request.fault == fault && request.outcome == Outcome::Unknown;
        let unknown = requests.iter().filter(is_unknown).count();
        // A caller has one request in flight.
        assert!(unknown <= failures * CALLERS / 2, "{fault}: {unknown} unknown outcomes without a key");
    }

    async fn call(&self, fault: &'static str, number: usize, stop: watch::Receiver<bool>) {
        let user = format!("{}-{number}", fault.replace(' ', "-"));
        let caller = self.server.user(&user);
        let mut amount = 0;
        while !*stop.borrow() {
            amount += 1;
            let call = caller.post(format!("/v1/users/{user}/points/top-ups"), json!({ "amount": amount.to_string() }));
            let key = (number % 2 == 1).then(|| format!("{user}-{amount}"));
            let outcome = outcome(&match &key {
                Some(key) => decided(call.key(key)).await,
                None => call.await,
            });
            self.created.fetch_add(usize::from(outcome == Outcome::Created), Ordering::SeqCst);
            let request = Request { fault, user: user.clone(), amount, key, outcome };
            self.requests.lock().expect("no panic while it is held").push(request);
        }
    }

    /// Waits until the callers complete more writes.
    pub async fn progress(&self) {
        let before = self.created.load(Ordering::SeqCst);
        eventually_within(PROGRESS_MAX, "writes succeed", async || {
            (self.created.load(Ordering::SeqCst) >= before + 4 * CALLERS).then_some(())
        })
        .await;
    }

    /// Compares the requests with the ledger.
    pub async fn check(&self, mut connection: Connection) {
        let columns = [Column::Plain("user_id"), Column::Money("amount")];
        let read = |row: &mut Row| (row.text(), row.number() / 10_000);
        let mut ledger = BTreeMap::new();
        for entry in connection.rows("point_entries", &columns, read).await {
            *ledger.entry(entry).or_insert(0) += 1;
        }
        connection.close().await;
        let mut violations = Vec::new();
        for Request { fault, user, amount, key, outcome } in &*self.requests.lock().expect("no panic while it is held")
        {
            let effects = ledger.remove(&(user.clone(), *amount)).unwrap_or(0);
            let violation = match (outcome, effects) {
                (Outcome::Created, 1) | (Outcome::NoEffect, 0) | (Outcome::Unknown, 0 | 1) => continue,
                (Outcome::Created, 0) => "lost",
                (Outcome::NoEffect, 1) => "untrue",
                (Outcome::Created | Outcome::NoEffect | Outcome::Unknown, _) => "twice",
            };
            violations.push(format!("{fault}: {violation}: {amount} of {user}, {key:?}"));
        }
        violations.extend(ledger.keys().map(|entry| format!("never sent: {entry:?}")));
        assert!(violations.is_empty(), "{violations:#?}");
    }
}

fn outcome(response: &Response) -> Outcome {
    match (response.status, response.document()["code"].as_str()) {
        (201, _) => Outcome::Created,
        (503, Some("OUTCOME_UNKNOWN")) => Outcome::Unknown,
        (503, Some("DATABASE_UNAVAILABLE" | "OVERLOADED")) => Outcome::NoEffect,
        _ => panic!("{response}"),
    }
}

/// Repeats a call with a key until its outcome is known.
pub async fn decided(call: Call) -> Response {
    eventually_within(PROGRESS_MAX, "the outcome of the key is known", async || {
        let response = call.clone().await;
        let is_retryable = response.status == 503 || response.document()["code"] == "REQUEST_IN_PROGRESS";
        (!is_retryable).then_some(response)
    })
    .await
}
