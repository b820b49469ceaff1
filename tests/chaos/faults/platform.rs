//! Crashing relays, and a data platform that fails, hangs and throttles.

use std::time::Duration;

use jangteo_testkit::{Receiver, eventually_within};
use rand::RngExt;

use crate::arena::Arena;
use crate::faults::Notes;

/// Maximum time to deliver the remaining events.
const DELIVERY_MAX: Duration = Duration::from_secs(120);

/// SIGKILL of one of two relays, while the platform fails at random.
pub async fn kills(arena: &Arena, count: u64) -> Notes {
    let rates = ["--fail-rate", "0.2", "--hang-rate", "0.05", "--throttle-rate", "0.1", "--lose-answer-rate", "0.1"];
    let receiver = Receiver::start(&arena.shop, rates).await;
    arena.open(arena.server()).await;
    arena.fill().await;
    let relay = || arena.server().command("relay").delivering_to(receiver.url()).spawn();
    let mut random = arena.random(1);
    let killing = async {
        let mut relays = [relay(), relay()];
        for number in 1..=count {
            // Under load: events were received since the last crash.
            let before = receiver.count().await;
            let more = random.random_range(1..8);
            eventually_within(DELIVERY_MAX, "a relay delivers", async || {
                (receiver.count().await >= before + more).then_some(())
            })
            .await;
            let victim = &mut relays[random.random_range(0..2)];
            victim.kill().await;
            *victim = relay();
            arena.advance(number);
        }
        relays
    };
    let relays = arena.under_load(killing).await;
    // Resolving the writes creates more events for the relays.
    arena.resolve().await;
    receiver.behave_well().await;
    eventually_within(DELIVERY_MAX, "all events are delivered", async || {
        let mut connection = arena.shop.database().connect().await;
        let waiting = connection.number("COUNT(*)", "outbox_events WHERE state = 'pending'").await;
        connection.close().await;
        (waiting == 0).then_some(())
    })
    .await;
    for relay in relays {
        relay.kill().await;
    }
    let received = receiver.received_all(&arena.shop).await;
    let notes = describe(&receiver, received.len()).await;
    receiver.server().kill().await;
    notes
}

async fn describe(receiver: &Receiver, received: usize) -> Notes {
    let counters = receiver.counters().await;
    let count = |name: &str| counters[name].as_u64().unwrap_or_default();
    vec![format!(
        "{received} events received, complete and in order; {} failures, {} hangs, {} throttled, {} lost responses, {} duplicates",
        count("failed"),
        count("hung"),
        count("throttled"),
        count("answers_lost"),
        count("duplicates")
    )]
}
