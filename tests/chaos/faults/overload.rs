//! More callers than the shop can serve.

use std::cell::Cell;
use std::ops::Range;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jangteo_testkit::{RawConnection, Server, ServerBuilder, eventually_within};
use serde_json::json;

use crate::arena::{Arena, raw, send, token};
use crate::faults::Notes;
use crate::faults::waits::Waits;
use crate::journal::{Observed, Operation, Write};

/// Factor of the overload.
const TIMES: usize = 10;
/// Excluded from the measurement, because connections open and batches grow.
const WARM_UP: Duration = Duration::from_secs(1);
/// Duration of the measurement.
const TURN: Duration = Duration::from_secs(2);
/// Pause of a caller after a 503, shorter than the server's `Retry-After`.
const PAUSE: Duration = Duration::from_millis(10);
/// Maximum latency of a normal response.
const NORMAL: Duration = Duration::from_millis(100);
/// Maximum time until responses are normal again, on any machine.
const NORMAL_AFTER_MAX: Duration = Duration::from_secs(30);

/// A few callers, and ten times as many.
pub async fn few(arena: &Arena, seconds: u64) -> Notes {
    overload(arena, arena.server(), 32, seconds).await
}

/// Enough callers to fill batches, and ten times as many. Batches grow with the load, so all may be served.
pub async fn many(arena: &Arena, seconds: u64) -> Notes {
    overload(arena, arena.server(), 256, seconds).await
}

/// The same with small batches, so that most callers are rejected.
pub async fn too_many(arena: &Arena, seconds: u64) -> Notes {
    overload(arena, arena.server().setting("BATCH_MAX", 8), 256, seconds).await
}

async fn overload(arena: &Arena, server: ServerBuilder, callers: usize, seconds: u64) -> Notes {
    // Production queue limits instead of the longer ones of other tests. No proxy, because no connection is broken and
    // the proxy would compete for the processors.
    let server = server.without("QUEUE_WAIT_MAX").setting("DATABASE_URL", arena.shop.database().url());
    let server = arena.open(server).await;
    let turns = seconds.div_ceil(TURN.as_secs());
    let (mut served, mut overloaded, mut waits) = (0.0, 0.0, Vec::new());
    let mut memory_before = None;
    // In turns, so that other activity on the machine affects both.
    for turn in 1..=turns {
        served += call(arena, &server, 0..callers).await.0;
        memory_before.get_or_insert_with(|| server.memory_peak_mib());
        let (accepted, waited) = call(arena, &server, callers..callers + TIMES * callers).await;
        overloaded += accepted;
        waits.push(waited);
        arena.advance(turn * TURN.as_secs());
    }
    let (memory, ended) = (server.memory_peak_mib(), Instant::now());
    eventually_within(NORMAL_AFTER_MAX, "responses are normal", async || {
        let started = Instant::now();
        let (index, write) = open(arena, 0);
        let observed = send(&server, &write).await;
        arena.journal.observe(index, observed.clone());
        (matches!(observed, Observed::Definite { .. }) && started.elapsed() < NORMAL).then_some(())
    })
    .await;
    let normal_after = ended.elapsed();
    vec![
        format!(
            "{callers} callers: {:.0} writes a second; peak memory {:.0} MiB",
            served / turns as f64,
            memory_before.unwrap_or_default(),
        ),
        format!(
            "{} callers, in turns: {:.0} writes a second, {:.0} % of the former; {:.0} MiB",
            TIMES * callers,
            overloaded / turns as f64,
            100.0 * overloaded / served,
            memory,
        ),
        Waits::all(waits).describe("calls under overload"),
        format!("back to normal {:.1} s after the overload", normal_after.as_secs_f64()),
    ]
}

/// Sends top-ups from all callers and returns the accepted ones a second, after the warm-up.
async fn call(arena: &Arena, server: &Server, callers: Range<usize>) -> (f64, Waits) {
    let counted_from = Instant::now() + WARM_UP;
    let until = counted_from + TURN;
    let accepted = &Cell::new(0_u32);
    let calling = callers.map(|number| async move {
        let mut waits = Waits::default();
        let mut unanswered = None;
        let mut caller = Caller::new(server, number);
        while Instant::now() < until {
            let (index, write) = unanswered.take().unwrap_or_else(|| open(arena, number));
            let started = Instant::now();
            let observed = caller.send(&write).await;
            let is_definite = matches!(observed, Observed::Definite { .. });
            let now = Instant::now();
            arena.journal.observe(index, observed);
            waits.record(now - started, is_definite);
            if is_definite {
                accepted.set(accepted.get() + u32::from((counted_from..until).contains(&now)));
            } else {
                unanswered = Some((index, write));
                tokio::time::sleep(PAUSE).await;
            }
        }
        waits
    });
    let waits = Waits::all(join_all(calling).await);
    (f64::from(accepted.get()) / TURN.as_secs_f64(), waits)
}

/// A caller with little CPU cost, because it shares the processors with the server: one connection and one token.
struct Caller<'a> {
    server: &'a Server,
    token: String,
    connection: Option<RawConnection>,
}

impl<'a> Caller<'a> {
    fn new(server: &'a Server, number: usize) -> Self {
        Self { server, token: token(Some(&user(number))), connection: None }
    }

    async fn send(&mut self, write: &Write) -> Observed {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => RawConnection::open(self.server).await,
        };
        connection.send(raw(write, &self.token).as_bytes()).await;
        let response = connection.response().await;
        self.connection = response.is_some().then_some(connection);
        response.map_or(Observed::Unknown, Observed::of_raw)
    }
}

fn user(number: usize) -> String {
    format!("crowd-{number}")
}

/// A top-up of the caller's own user, and its index in the journal.
fn open(arena: &Arena, caller: usize) -> (usize, Write) {
    let user = user(caller);
    let path = format!("/v1/users/{user}/points/top-ups");
    let write = arena.write(Operation::TopUpPoints, Some(&user), path, json!({ "amount": "1" }));
    (arena.journal.open(write.clone()), write)
}
