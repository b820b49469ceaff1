use time::Duration;

use crate::delivery::{AttemptOutcome, DeliveryOutcome, DeliveryState};
use crate::id::{BatchId, IdSource, first_id_at};
use crate::idempotency::{Fingerprint, IdempotencyKey, IdempotencyRecord, RequestKey};
use crate::outbox::OutboxEvent;
use crate::retention::PruneTarget;
use crate::store_error::StoreError;
use crate::testing::contract::harness::{Seeds, StoreHarness, first_page, look, set, write};
use crate::testing::contract::money_trail::{orders, payment};
use crate::testing::fixtures::won_currency;
use crate::testing::samples;

const HOUR: Duration = Duration::hours(1);

async fn prune(harness: &dyn StoreHarness, what: PruneTarget, age: Duration, limit: u32) -> Result<u32, StoreError> {
    harness.pruning().prune(what, age, limit).await
}

/// The oldest go first, as many as asked for; younger ones stay.
pub async fn answered_requests_are_pruned_by_age(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let now = harness.queries().clock.now().await?;
    let outcome = samples::outcomes(&Seeds::new(harness).ids).swap_remove(0);
    let record = |(key, hours): (u8, i64)| IdempotencyRecord {
        claim: IdempotencyKey { key: RequestKey([key; 16]), fingerprint: Fingerprint([0; 16]) },
        outcome: outcome.clone(),
        tag: None,
        at: now.saturating_add(Duration::hours(-hours)),
    };
    let records = [(1, 3), (2, 49), (3, 48), (4, 25)].map(record);
    write(harness, async |unit| unit.idempotency().insert_many(&records).await).await?;
    let keys = set(records.iter().map(|record| record.claim.key));
    let left = async || {
        let mut found = look(harness, async |unit| unit.idempotency().find_many(&keys).await).await?;
        found.sort_by_key(|record| record.claim.key);
        Ok::<_, StoreError>(found.iter().map(|record| record.claim.key.0[0]).collect::<Vec<_>>())
    };
    let day = Duration::days(1);
    assert_eq!(prune(harness, PruneTarget::AnsweredRequests, Duration::days(9), 10).await?, 0);
    assert_eq!(prune(harness, PruneTarget::AnsweredRequests, day, 1).await?, 1);
    assert_eq!(left().await?, [1, 3, 4]);
    assert_eq!(prune(harness, PruneTarget::AnsweredRequests, day, 10).await?, 2);
    assert_eq!(left().await?, [1]);
    assert_eq!(prune(harness, PruneTarget::AnsweredRequests, day, 10).await?, 0);
    Ok(())
}

/// A marker's age is the one that its id tells.
pub async fn commit_markers_are_pruned_by_age(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let now = harness.queries().clock.now().await?;
    let marker = |hours: i64| BatchId::from(first_id_at(now.saturating_add(Duration::hours(-hours))));
    let [old, older, young] = [25, 26, 1].map(marker);
    for id in [old, older, young] {
        harness.factory().begin(id).await?.commit().await?;
    }
    assert_eq!(prune(harness, PruneTarget::CommitMarkers, Duration::days(1), 1).await?, 1);
    let factory = harness.factory();
    assert_eq!([factory.committed(old).await?, factory.committed(older).await?], [true, false]);
    assert_eq!(prune(harness, PruneTarget::CommitMarkers, Duration::days(1), 10).await?, 1);
    assert_eq!([factory.committed(old).await?, factory.committed(young).await?], [false, true]);
    Ok(())
}

/// Only what the data platform has is pruned, by the time since it was known to have it.
pub async fn delivered_events_are_pruned_and_no_others(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let now = harness.queries().clock.now().await?;
    let orders = orders::<3>(&seeds).await?;
    let event = |order| {
        let event = OutboxEvent::order_paid(seeds.id(), order, &payment(&seeds, order), won_currency());
        OutboxEvent { at: now.saturating_add(-HOUR), ..event }
    };
    let events: Vec<OutboxEvent> = orders.iter().map(event).collect();
    write(harness, async |unit| unit.outbox().append_many(&events).await).await?;
    let lease = seeds.ids.next_id();
    harness.event_queue().claim(lease, std::time::Duration::from_secs(60), 2).await?;
    let dead = DeliveryOutcome::Dead { reason: "HTTP 410".to_owned().into() };
    let recorded = [(events[0].id, DeliveryOutcome::Delivered), (events[1].id, dead)];
    let recorded = recorded.map(|(event_id, outcome)| AttemptOutcome { event_id, lease, outcome });
    harness.event_queue().record(&recorded).await?;

    assert_eq!(prune(harness, PruneTarget::DeliveredEvents, HOUR, 10).await?, 0);
    assert_eq!(prune(harness, PruneTarget::DeliveredEvents, Duration::ZERO, 10).await?, 1);
    assert_eq!(prune(harness, PruneTarget::DeliveredEvents, Duration::ZERO, 10).await?, 0);
    let left = harness.queries().deliveries.list(None, &first_page(10)).await?;
    let left: Vec<_> = left.iter().map(|delivery| delivery.state).collect();
    assert_eq!(left, [DeliveryState::Pending, DeliveryState::Dead]);
    Ok(())
}
