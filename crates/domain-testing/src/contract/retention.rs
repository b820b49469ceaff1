use time::Duration;
use uuid::Uuid;

use jangteo_domain::delivery::{AttemptOutcome, DeliveryOutcome, DeliveryState};
use jangteo_domain::id::{BatchId, IdSource, first_id_at};
use jangteo_domain::idempotency::StoredAnswer;
use jangteo_domain::retention::PruneTarget;
use jangteo_domain::store_error::StoreError;
use jangteo_domain::time::Timestamp;

use crate::contract::harness::{
    Seeds, StoreHarness, TestResult, answer, answers, append, commit, commit_as, first_page,
};
use crate::contract::samples;

const HOUR: Duration = Duration::hours(1);

async fn prune(harness: &dyn StoreHarness, target: PruneTarget, age: Duration, limit: u32) -> Result<u32, StoreError> {
    harness.pruning().prune(target, age, limit).await
}

/// The oldest answers are deleted first, up to the limit; younger ones are retained.
pub async fn answered_requests_are_pruned_by_age(harness: &dyn StoreHarness) -> TestResult {
    let now = harness.queries().clock.now().await?;
    let stored = [(1, 3), (2, 49), (3, 48), (4, 25)]
        .map(|(key, hours)| StoredAnswer { at: now.saturating_add(Duration::hours(-hours)), ..answer(key) });
    commit(harness, append(stored.clone())).await?;
    let left = async || {
        let left = answers(harness, stored.iter().map(|answer| answer.request.key)).await?;
        Ok::<_, StoreError>(left.iter().map(|answer| answer.request.key.0[0]).collect::<Vec<_>>())
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

/// A marker expires by its insertion time on the database's clock, independent of its id's time.
pub async fn commit_markers_are_pruned_by_the_time_of_their_insertion(harness: &dyn StoreHarness) -> TestResult {
    let now = harness.queries().clock.now().await?;
    let dated = |at: Timestamp, number: u128| -> BatchId {
        Uuid::from_u128(first_id_at(at).as_u128() | 0x7000_8000_0000_0000_0000 | number).into()
    };
    let markers = [
        dated(Timestamp::MIN, 1),
        dated(now.saturating_add(Duration::days(-400)), 2),
        dated(now, 3),
        dated(now.saturating_add(Duration::days(400)), 4),
        dated(Timestamp::MAX, 5),
    ];
    for (number, id) in (1..).zip(markers) {
        commit_as(harness, id, append([answer(number)])).await?;
    }
    let left = async || {
        let mut left = 0;
        for id in markers {
            left += u32::from(harness.factory().committed(id).await?);
        }
        Ok::<_, StoreError>(left)
    };
    assert_eq!(prune(harness, PruneTarget::CommitMarkers, HOUR, 10).await?, 0);
    assert_eq!(left().await?, 5);
    assert_eq!(prune(harness, PruneTarget::CommitMarkers, Duration::ZERO, 2).await?, 2);
    assert_eq!(left().await?, 3);
    assert_eq!(prune(harness, PruneTarget::CommitMarkers, Duration::ZERO, 10).await?, 3);
    assert_eq!(left().await?, 0);
    assert_eq!(prune(harness, PruneTarget::CommitMarkers, Duration::ZERO, 10).await?, 0);
    Ok(())
}

/// Only delivered events are pruned, by the time since their delivery.
pub async fn only_delivered_events_are_pruned(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let now = harness.queries().clock.now().await?;
    let hour_ago = now.saturating_sub(HOUR);
    let events = seeds.orders::<3>().await?.map(|order| samples::paid_event(&seeds, &order, hour_ago));
    commit(harness, append(events.clone())).await?;
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
