//! The line between a server and its database.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jangteo_tests::{Blow, Moment, Plan};
use serde_json::json;

use crate::arena::{Arena, send};
use crate::faults::Notes;
use crate::faults::waits::Waits;
use crate::journal::{Observed, Operation};

/// One of so many transactions is hit.
const ONE_IN: u32 = 3;

/// The database commits and says so, and nobody hears it.
pub async fn lost_replies(arena: &Arena, count: u64) -> Notes {
    strike(arena, Plan { moment: Moment::Commit, blow: Blow::LoseReply, one_in: ONE_IN, count }).await
}

/// The database never hears of the commit.
pub async fn cut_commits(arena: &Arena, count: u64) -> Notes {
    strike(arena, Plan { moment: Moment::Commit, blow: Blow::Cut, one_in: ONE_IN, count }).await
}

/// The server asks what became of its commit while that is still on its way to the database.
pub async fn late_commits(arena: &Arena, count: u64) -> Notes {
    let blow = Blow::ArriveLate(Duration::from_millis(250));
    strike(arena, Plan { moment: Moment::Commit, blow, one_in: ONE_IN, count }).await
}

/// The connection breaks somewhere in a transaction.
pub async fn cut_statements(arena: &Arena, count: u64) -> Notes {
    strike(arena, Plan { moment: Moment::Statement, blow: Blow::Cut, one_in: ONE_IN, count }).await
}

/// A statement takes longer than a server waits, and is carried out all the same.
pub async fn stalls(arena: &Arena, count: u64) -> Notes {
    let blow = Blow::Stall(Duration::from_secs(6));
    strike(arena, Plan { moment: Moment::Statement, blow, one_in: 2 * ONE_IN, count }).await
}

async fn strike(arena: &Arena, plan: Plan) -> Notes {
    for _ in 0..2 {
        arena.open(arena.server()).await;
    }
    arena.fill().await;
    let striking = async {
        arena.proxy().begin(plan);
        arena.proxy().fallen(plan.count, |fallen| arena.tried(fallen)).await;
    };
    arena.under_load(striking).await;
    let retries: Vec<String> =
        arena.retries().await.into_iter().map(|(cause, count)| format!("{count} {cause}")).collect();
    vec![format!("retries: {}", retries.join(", "))]
}

/// Nothing passes, in either direction; then every connection breaks.
pub async fn outages(arena: &Arena, count: u64) -> Notes {
    for _ in 0..2 {
        arena.open(arena.server()).await;
    }
    arena.fill().await;
    let outage = async {
        for number in 1..=count {
            arena.after_writes(20).await;
            arena.proxy().freeze(true);
            tokio::time::sleep(Duration::from_secs(3)).await;
            arena.proxy().reset_all();
            arena.proxy().freeze(false);
            arena.tried(number);
        }
        arena.after_writes(20).await;
    };
    arena.under_load(outage).await;
    Notes::new()
}

/// Callers who wait for a database that says nothing.
const WAITING: u32 = 20;

/// The database takes every word and says none, for longer than any request may take; then it goes on where it was.
pub async fn hangs(arena: &Arena, count: u64) -> Notes {
    let server = arena.open(arena.server()).await;
    arena.fill().await;
    let mut all = Vec::new();
    for number in 1..=count {
        let until = Instant::now() + Duration::from_secs(15);
        arena.proxy().freeze(true);
        let callers = (0..WAITING).map(|caller| {
            let server = &server;
            async move {
                let mut waits = Waits::default();
                while Instant::now() < until {
                    let user = format!("waiting-{caller}");
                    let path = format!("/v1/users/{user}/points/top-ups");
                    let write = arena.write(Operation::TopUpPoints, Some(&user), path, json!({ "amount": "10" }));
                    let place = arena.journal.open(write.clone());
                    let begun = Instant::now();
                    let heard = send(server, &write).await;
                    waits.note(begun.elapsed(), matches!(heard, Observed::Expected { .. }));
                    arena.journal.hear(place, heard);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                waits
            }
        });
        all.extend(join_all(callers).await);
        arena.proxy().freeze(false);
        arena.tried(number);
        arena.under_load(arena.after_writes(20)).await;
    }
    vec![Waits::all(all).describe("writes")]
}
