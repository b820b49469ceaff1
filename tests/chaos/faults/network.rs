//! Faults of the connection between a server and its database.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jangteo_testkit::{InjectionPoint, NetworkFault, Plan};
use serde_json::json;

use crate::arena::{Arena, send};
use crate::faults::Notes;
use crate::faults::waits::Waits;
use crate::journal::{Observed, Operation};

/// One in this many transactions is affected.
const ONE_IN: u32 = 3;

/// The reply to COMMIT is lost.
pub async fn lost_replies(arena: &Arena, count: u64) -> Notes {
    inject(arena, Plan { point: InjectionPoint::Commit, fault: NetworkFault::LoseReply, one_in: ONE_IN, count }).await
}

/// The COMMIT is lost.
pub async fn cut_commits(arena: &Arena, count: u64) -> Notes {
    inject(arena, Plan { point: InjectionPoint::Commit, fault: NetworkFault::Cut, one_in: ONE_IN, count }).await
}

/// The server queries the outcome of its commit while the COMMIT is still on its way to the database.
pub async fn late_commits(arena: &Arena, count: u64) -> Notes {
    let fault = NetworkFault::ArriveLate(Duration::from_millis(250));
    inject(arena, Plan { point: InjectionPoint::Commit, fault, one_in: ONE_IN, count }).await
}

/// The connection breaks during a transaction.
pub async fn cut_statements(arena: &Arena, count: u64) -> Notes {
    inject(arena, Plan { point: InjectionPoint::Statement, fault: NetworkFault::Cut, one_in: ONE_IN, count }).await
}

/// A statement takes longer than the server's timeout but is executed.
pub async fn stalls(arena: &Arena, count: u64) -> Notes {
    let fault = NetworkFault::Stall(Duration::from_secs(6));
    inject(arena, Plan { point: InjectionPoint::Statement, fault, one_in: 2 * ONE_IN, count }).await
}

async fn inject(arena: &Arena, plan: Plan) -> Notes {
    for _ in 0..2 {
        arena.open(arena.server()).await;
    }
    arena.fill().await;
    let injecting = async {
        arena.proxy().begin(plan);
        arena.proxy().injected(plan.count, |injected| arena.advance(injected)).await;
    };
    arena.under_load(injecting).await;
    let retries: Vec<String> =
        arena.retries().await.into_iter().map(|(cause, count)| format!("{count} {cause}")).collect();
    vec![format!("retries: {}", retries.join(", "))]
}

/// No data in either direction, then all connections are reset.
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
            arena.advance(number);
        }
        arena.after_writes(20).await;
    };
    arena.under_load(outage).await;
    Notes::new()
}

/// Concurrent callers of the hanging database.
const WAITING: u32 = 20;

/// The database does not respond for longer than the request timeout, then continues.
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
                    let index = arena.journal.open(write.clone());
                    let started = Instant::now();
                    let observed = send(server, &write).await;
                    waits.record(started.elapsed(), matches!(observed, Observed::Definite { .. }));
                    arena.journal.observe(index, observed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                waits
            }
        });
        all.extend(join_all(callers).await);
        arena.proxy().freeze(false);
        arena.advance(number);
        arena.under_load(arena.after_writes(20)).await;
    }
    vec![Waits::all(all).describe("writes")]
}
