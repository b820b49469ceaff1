//! More callers than the shop can serve.

use std::cell::Cell;
use std::ops::Range;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jangteo_tests::{RawConnection, Server, ServerBuilder, eventually_within};
use serde_json::json;

use crate::arena::{Arena, raw, send, token};
use crate::faults::Notes;
use crate::faults::waits::Waits;
use crate::journal::{Observed, Operation, Write};

/// How many times as many callers as keep the shop busy.
const TIMES: usize = 10;
/// Callers who call before anything counts: connections are made, and batches grow.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long it counts then.
const TURN: Duration = Duration::from_secs(2);
/// How long a caller who was turned away waits. The shop asks for a second; these do not listen.
const PAUSE: Duration = Duration::from_millis(10);
/// A shop that answers as fast as this has nothing else to do.
const NORMAL: Duration = Duration::from_millis(100);
/// By then it is back to normal, on any machine.
const NORMAL_AFTER_MAX: Duration = Duration::from_secs(30);

/// A few callers, and ten times as many.
pub async fn few(arena: &Arena, seconds: u64) -> Notes {
    overload(arena, arena.server(), 32, seconds).await
}

/// As many callers as fill batches, and ten times as many. Batches grow with them, so it may well serve them all.
pub async fn many(arena: &Arena, seconds: u64) -> Notes {
    overload(arena, arena.server(), 256, seconds).await
}

/// The same where batches cannot grow: most of them cannot be served.
pub async fn too_many(arena: &Arena, seconds: u64) -> Notes {
    overload(arena, arena.server().setting("BATCH_MAX", 8), 256, seconds).await
}

async fn overload(arena: &Arena, server: ServerBuilder, callers: usize, seconds: u64) -> Notes {
    // Turned away as in a real shop, not as patiently as in other tests. Nothing is to break on the way to the database,
    // and a proxy in between would wait for its turn behind the crowd.
    let server = server.without("QUEUE_WAIT_MAX").setting("DATABASE_URL", arena.shop.database().url());
    let server = arena.open(server).await;
    let turns = seconds.div_ceil(TURN.as_secs());
    let (mut served, mut overloaded, mut waits) = (0.0, 0.0, Vec::new());
    let mut memory_before = None;
    // In turns, so that a slow minute of the machine meets both.
    for turn in 1..=turns {
        served += call(arena, &server, 0..callers).await.0;
        memory_before.get_or_insert_with(|| server.memory_peak());
        let (accepted, waited) = call(arena, &server, callers..callers + TIMES * callers).await;
        overloaded += accepted;
        waits.push(waited);
        arena.tried(turn * TURN.as_secs());
    }
    let (memory, ended) = (server.memory_peak(), Instant::now());
    eventually_within(NORMAL_AFTER_MAX, "all is normal", async || {
        let begun = Instant::now();
        let (place, write) = open(arena, 0);
        let heard = send(&server, &write).await;
        arena.journal.hear(place, heard.clone());
        (matches!(heard, Observed::Expected { .. }) && begun.elapsed() < NORMAL).then_some(())
    })
    .await;
    let normal_after = ended.elapsed();
    vec![
        format!(
            "{callers} callers: {:.0} writes a second; {} MiB of memory at the most",
            served / turns as f64,
            memory_before.unwrap_or_default() / 1_024,
        ),
        format!(
            "{} callers, in turns with them: {:.0} writes a second, {:.0} % of that; {} MiB",
            TIMES * callers,
            overloaded / turns as f64,
            100.0 * overloaded / served,
            memory / 1_024,
        ),
        Waits::all(waits).describe("they"),
        format!("all normal {:.1} s after they left", normal_after.as_secs_f64()),
    ]
}

/// Has all of them top up points, one top-up after the other, and answers how many were accepted a second, once they had
/// warmed up.
async fn call(arena: &Arena, server: &Server, callers: Range<usize>) -> (f64, Waits) {
    let counted_from = Instant::now() + WARM_UP;
    let until = counted_from + TURN;
    let accepted = &Cell::new(0_u32);
    let calling = callers.map(|number| async move {
        let mut waits = Waits::default();
        let mut unanswered = None;
        let mut caller = Caller::new(server, number);
        while Instant::now() < until {
            let (place, write) = unanswered.take().unwrap_or_else(|| open(arena, number));
            let begun = Instant::now();
            let heard = caller.send(&write).await;
            let is_told = matches!(heard, Observed::Expected { .. });
            let now = Instant::now();
            arena.journal.hear(place, heard);
            waits.note(now - begun, is_told);
            if is_told {
                accepted.set(accepted.get() + u32::from((counted_from..until).contains(&now)));
            } else {
                unanswered = Some((place, write));
                tokio::time::sleep(PAUSE).await;
            }
        }
        waits
    });
    let waits = Waits::all(join_all(calling).await);
    (f64::from(accepted.get()) / TURN.as_secs_f64(), waits)
}

/// One of the crowd. It shares its processors with the server, so it costs as little as it can: a connection that it
/// keeps, and a token that it has.
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
        let answer = connection.answer().await;
        self.connection = answer.is_some().then_some(connection);
        answer.map_or(Observed::Nothing, Observed::of_raw)
    }
}

fn user(number: usize) -> String {
    format!("crowd-{number}")
}

/// A top-up of a user of that caller's own, and its place in the journal.
fn open(arena: &Arena, caller: usize) -> (usize, Write) {
    let user = user(caller);
    let path = format!("/v1/users/{user}/points/top-ups");
    let write = arena.write(Operation::TopUpPoints, Some(&user), path, json!({ "amount": "1" }));
    (arena.journal.open(write.clone()), write)
}
