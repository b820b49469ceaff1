//! More callers than the shop can serve.

use std::cell::Cell;
use std::ops::Range;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jangteo_tests::{Server, ServerBuilder, eventually_within};
use serde_json::json;

use crate::arena::{Arena, send};
use crate::faults::Notes;
use crate::faults::waits::Waits;
use crate::journal::{Deed, Heard, Write};

/// How many times as many callers as keep the shop busy.
const TIMES: usize = 10;
/// Callers who call before anything counts: connections are made, and batches grow.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long a caller who was turned away waits. The shop asks for a second; these do not listen.
const PAUSE: Duration = Duration::from_millis(10);
/// A shop that answers as fast as this has nothing else to do.
const NORMAL: Duration = Duration::from_millis(100);
/// By then it is back to normal, on any machine.
const NORMAL_AFTER_MAX: Duration = Duration::from_secs(30);

/// A few callers, and then ten times as many.
pub async fn few(arena: &Arena, seconds: u64) -> Notes {
    overload(arena, arena.server(), 32, Duration::from_secs(seconds)).await
}

/// As many callers as fill batches, and then ten times as many. Batches grow with them, so it may well serve them all.
pub async fn many(arena: &Arena, seconds: u64) -> Notes {
    overload(arena, arena.server(), 256, Duration::from_secs(seconds)).await
}

/// The same where batches cannot grow: most of them cannot be served.
pub async fn too_many(arena: &Arena, seconds: u64) -> Notes {
    overload(arena, arena.server().setting("BATCH_MAX", 8), 256, Duration::from_secs(seconds)).await
}

async fn overload(arena: &Arena, server: ServerBuilder, callers: usize, time: Duration) -> Notes {
    // Turned away as in a real shop, not as patiently as in other tests.
    let server = arena.open(server.without("QUEUE_WAIT_MAX").setting("RUST_LOG", "error")).await;
    let (best, _) = call(arena, &server, 0..callers, time).await;
    let before = server.memory_peak();
    let crowd = callers..callers + TIMES * callers;
    let (overloaded, waits) = call(arena, &server, crowd, time).await;
    let (after, ended) = (server.memory_peak(), Instant::now());
    eventually_within(NORMAL_AFTER_MAX, "all is normal", async || {
        let begun = Instant::now();
        let (place, write) = open(arena, 0);
        let heard = send(&server, &write).await;
        arena.journal.hear(place, heard.clone());
        (matches!(heard, Heard::Told { .. }) && begun.elapsed() < NORMAL).then_some(())
    })
    .await;
    let normal_after = ended.elapsed();
    arena.tried(time.as_secs());
    vec![
        format!("{callers} callers: {best:.0} writes a second; {} MiB of memory at the most", before / 1_024),
        format!(
            "{} callers: {overloaded:.0} writes a second, {:.0} % of that; {} MiB",
            TIMES * callers,
            100.0 * overloaded / best,
            after / 1_024,
        ),
        waits.describe("they"),
        format!("all normal {:.1} s after they left", normal_after.as_secs_f64()),
    ]
}

/// Has all of them charge points, one charge after the other, and answers how many were accepted a second, once they had
/// warmed up.
async fn call(arena: &Arena, server: &Server, callers: Range<usize>, time: Duration) -> (f64, Waits) {
    let counted_from = Instant::now() + WARM_UP;
    let until = counted_from + time;
    let accepted = &Cell::new(0_u32);
    let calling = callers.map(|number| async move {
        let mut waits = Waits::default();
        let mut unanswered = None;
        while Instant::now() < until {
            let (place, write) = unanswered.take().unwrap_or_else(|| open(arena, number));
            let begun = Instant::now();
            let heard = send(server, &write).await;
            let is_told = matches!(heard, Heard::Told { .. });
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
    (f64::from(accepted.get()) / time.as_secs_f64(), waits)
}

/// A charge of a user of that caller's own, and its place in the journal.
fn open(arena: &Arena, caller: usize) -> (usize, Write) {
    let user = format!("crowd-{caller}");
    let path = format!("/v1/users/{user}/points/charges");
    let write = arena.write(Deed::ChargePoints, Some(&user), path, json!({ "amount": "1" }));
    (arena.journal.open(write.clone()), write)
}
