//! Server crashes, shutdowns and client disconnects.

use std::time::Duration;

use jangteo_testkit::eventually_within;
use rand::RngExt;

use crate::arena::Arena;
use crate::faults::Notes;

/// SIGKILL of one of two servers under load.
pub async fn kills(arena: &Arena, count: u64) -> Notes {
    kill(arena, 2, count).await
}

/// SIGKILL of the only server.
pub async fn kills_alone(arena: &Arena, count: u64) -> Notes {
    kill(arena, 1, count).await
}

async fn kill(arena: &Arena, servers: usize, count: u64) -> Notes {
    for _ in 0..servers {
        arena.open(arena.server()).await;
    }
    arena.fill().await;
    let mut random = arena.random(1);
    let killing = async {
        for number in 1..=count {
            arena.after_writes(random.random_range(5..40)).await;
            // At a random point of a transaction, not directly after a response.
            tokio::time::sleep(Duration::from_micros(random.random_range(0..15_000))).await;
            let victim = arena.servers()[random.random_range(0..servers)].clone();
            victim.kill().await;
            arena.close(&victim);
            arena.open(arena.server()).await;
            arena.advance(number);
        }
    };
    arena.under_load(killing).await;
    Notes::new()
}

/// SIGTERM of one of two servers: it completes accepted requests and accepts no more.
pub async fn shutdowns(arena: &Arena, count: u64) -> Notes {
    for _ in 0..2 {
        arena.open(arena.server()).await;
    }
    arena.fill().await;
    let mut random = arena.random(1);
    let ending = async {
        for number in 1..=count {
            arena.after_writes(random.random_range(5..40)).await;
            let victim = arena.servers()[random.random_range(0..2)].clone();
            victim.terminate();
            assert!(victim.ended().await.success(), "graceful shutdown");
            arena.close(&victim);
            arena.open(arena.server()).await;
            arena.advance(number);
        }
    };
    arena.under_load(ending).await;
    Notes::new()
}

/// Clients hang up at a random moment, on two servers.
pub async fn hang_ups(arena: &Arena, count: u64) -> Notes {
    hang_up(arena, 2, count).await
}

/// Clients hang up at a random moment, on one server.
pub async fn hang_ups_alone(arena: &Arena, count: u64) -> Notes {
    hang_up(arena, 1, count).await
}

async fn hang_up(arena: &Arena, servers: usize, count: u64) -> Notes {
    for _ in 0..servers {
        arena.open(arena.server()).await;
    }
    arena.fill().await;
    let hanging_up = async {
        arena.hang_up_one_in(4);
        eventually_within(Duration::from_secs(120), "clients hang up", async || {
            arena.advance(arena.hung_up().min(count));
            (arena.hung_up() >= count).then_some(())
        })
        .await;
        arena.hang_up_one_in(0);
    };
    arena.under_load(hanging_up).await;
    Notes::new()
}
