use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::try_join_all;
use uuid::Uuid;

use jangteo_domain::delivery::{
    AttemptOutcome, Backlog, Delivery, DeliveryOutcome, DeliveryState, FailureReason, StoredEvent,
};
use jangteo_domain::id::EventId;
use jangteo_domain::order::Order;
use jangteo_domain::outbox::OutboxEvent;
use jangteo_domain::page::Page;
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::batch_id;
use jangteo_domain::time::Timestamp;
use jangteo_domain::transaction::LockSet;

use crate::contract::harness::{
    Concurrency, Keys, Seeds, StoreHarness, TestResult, append, begin, commit, first_page, lock, update, walk, wide,
};
use crate::contract::samples;

const HOUR: Duration = Duration::from_secs(3_600);

/// A time shortly after 1970, before any store's clock: its events are due.
fn past(seconds: i64) -> Timestamp {
    Timestamp::MIN.saturating_add(time::Duration::seconds(seconds))
}

/// The first event of an order, at [`past`].
fn paid(seeds: &Seeds<'_>, order: &Order, seconds: i64) -> OutboxEvent {
    samples::paid_event(seeds, order, past(seconds))
}

/// A later event of an order.
fn refunded(seeds: &Seeds<'_>, order: &Order, refunds: u32, seconds: i64) -> OutboxEvent {
    samples::refunded_event(seeds, order, refunds, past(seconds))
}

/// Two due events, of different orders.
async fn two_due_events(harness: &dyn StoreHarness) -> Result<[EventId; 2], StoreError> {
    let seeds = Seeds::new(harness);
    let [a, b] = seeds.orders().await?;
    let events = [paid(&seeds, &a, 1), paid(&seeds, &b, 2)];
    commit(harness, append(events.clone())).await?;
    Ok(events.map(|event| event.id))
}

fn lease(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

async fn claim(
    harness: &dyn StoreHarness,
    number: u128,
    lease_for: Duration,
    limit: u32,
) -> Result<Vec<EventId>, StoreError> {
    let claimed = harness.event_queue().claim(lease(number), lease_for, limit).await?;
    Ok(claimed.into_iter().map(|event| event.delivery.event_id).collect())
}

async fn record(harness: &dyn StoreHarness, event_id: EventId, number: u128, outcome: DeliveryOutcome) -> TestResult {
    harness.event_queue().record(&[AttemptOutcome { event_id, lease: lease(number), outcome }]).await
}

fn reason(text: &str) -> FailureReason {
    text.to_owned().into()
}

fn retry(after: Duration) -> DeliveryOutcome {
    DeliveryOutcome::Retry { after, reason: reason("HTTP 503") }
}

fn dead() -> DeliveryOutcome {
    DeliveryOutcome::Dead { reason: reason("HTTP 410") }
}

async fn delivery(harness: &dyn StoreHarness, id: EventId) -> Result<Delivery, StoreError> {
    let deliveries = harness.queries().deliveries.list(None, &first_page(100)).await?;
    Ok(deliveries.into_iter().find(|delivery| delivery.event_id == id).unwrap_or_else(|| panic!("no delivery of {id}")))
}

/// A claim returns the event's body to the byte, with its delivery, each time.
pub async fn every_field_of_claimed_events_is_returned(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [order, other] = seeds.orders().await?;
    let events = [paid(&seeds, &order, 1), refunded(&seeds, &other, 41, 2)];
    commit(harness, append(events.clone())).await?;
    let queue = harness.event_queue();
    for attempts in 1..=3 {
        let claimed = queue.claim(lease(1), Duration::ZERO, 10).await?;
        assert_eq!(claimed.len(), events.len());
        for (claimed, event) in claimed.into_iter().zip(&events) {
            let delivery = claimed.delivery.clone();
            let due_at = delivery.due_at;
            assert!(due_at > event.at, "it is due at the end of its lease: {due_at:?}");
            let delivery = Delivery { attempts, lease: Some(lease(1)), due_at, ..Delivery::new(event) };
            assert_eq!(claimed, StoredEvent { delivery, body: event.body.clone() });
        }
    }
    Ok(())
}

/// Events are claimed by due time, then by id.
pub async fn events_are_claimed_in_order_of_time_up_to_the_limit(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [a, b, c, d, e] = seeds.orders().await?;
    let events = [
        paid(&seeds, &a, 30),
        paid(&seeds, &b, 10),
        paid(&seeds, &c, 20),
        paid(&seeds, &d, 20),
        OutboxEvent { at: Timestamp::MAX, ..paid(&seeds, &e, 0) },
    ];
    commit(harness, append(events.clone())).await?;
    let [a, b, c, d, _] = events.map(|event| event.id);
    assert_eq!(claim(harness, 1, HOUR, 3).await?, [b, c, d]);
    assert_eq!(claim(harness, 2, HOUR, 3).await?, [a], "no event before its due time");
    assert_eq!(claim(harness, 3, HOUR, 3).await?, []);
    Ok(())
}

/// An order's events are claimed one at a time, even if the first waits for its next attempt. The next one follows any
/// outcome of the first.
pub async fn only_the_earliest_pending_event_of_an_order_is_claimed(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [order, other] = seeds.orders().await?;
    // The later events have been due for longer.
    let events = [
        paid(&seeds, &order, 30),
        refunded(&seeds, &order, 1, 20),
        refunded(&seeds, &order, 2, 10),
        paid(&seeds, &other, 40),
    ];
    commit(harness, append(events.clone())).await?;
    let [first, second, third, of_other] = events.map(|event| event.id);
    assert_eq!(claim(harness, 1, HOUR, 10).await?, [first, of_other]);
    assert_eq!(claim(harness, 2, HOUR, 10).await?, []);
    record(harness, first, 1, retry(HOUR)).await?;
    assert_eq!(claim(harness, 2, HOUR, 10).await?, []);

    let [last_order] = seeds.orders_of(&order.user_id).await?;
    let events =
        [paid(&seeds, &last_order, 1), refunded(&seeds, &last_order, 1, 2), refunded(&seeds, &last_order, 2, 3)];
    commit(harness, append(events.clone())).await?;
    let [first, next, last] = events.map(|event| event.id);
    assert_eq!(claim(harness, 3, HOUR, 10).await?, [first]);
    record(harness, first, 3, DeliveryOutcome::Delivered).await?;
    assert_eq!(claim(harness, 4, HOUR, 10).await?, [next]);
    record(harness, next, 4, dead()).await?;
    assert_eq!(claim(harness, 5, HOUR, 10).await?, [last]);
    assert_eq!(delivery(harness, second).await?.attempts + delivery(harness, third).await?.attempts, 0);
    Ok(())
}

/// A claimed event is hidden until its lease ends and claimable again after it: a dead relay loses no event.
pub async fn a_claim_hides_an_event_until_its_lease_ends(harness: &dyn StoreHarness) -> TestResult {
    let [ended, leased] = two_due_events(harness).await?;
    assert_eq!(claim(harness, 1, Duration::ZERO, 1).await?, [ended]);
    let queue = harness.event_queue();
    let again = queue.claim(lease(2), HOUR, 10).await?;
    // The event with the expired lease has the latest due time.
    let again: Vec<_> = again.into_iter().map(|event| (event.delivery.event_id, event.delivery.attempts)).collect();
    assert_eq!(again, [(leased, 1), (ended, 2)]);
    assert_eq!(claim(harness, 3, HOUR, 10).await?, []);
    assert!(delivery(harness, leased).await?.due_at > harness.queries().clock.now().await?);
    Ok(())
}

/// An outcome under a lost or unknown lease is not recorded.
pub async fn an_outcome_is_recorded_only_under_its_lease(harness: &dyn StoreHarness) -> TestResult {
    let [event, other] = two_due_events(harness).await?;
    record(harness, event, 1, DeliveryOutcome::Delivered).await?;
    assert_eq!(claim(harness, 1, Duration::ZERO, 1).await?, [event]);
    assert_eq!(claim(harness, 2, HOUR, 10).await?, [other, event]);
    let before = delivery(harness, event).await?;

    let recorded = |event_id, number, outcome| AttemptOutcome { event_id, lease: lease(number), outcome };
    // The other outcome of the same call is recorded.
    let both = [recorded(event, 1, dead()), recorded(other, 2, DeliveryOutcome::Delivered)];
    harness.event_queue().record(&both).await?;
    assert_eq!(delivery(harness, event).await?, before);
    assert_eq!(delivery(harness, other).await?.state, DeliveryState::Delivered);

    // The outcome ends the lease: a second record has no effect.
    record(harness, event, 2, DeliveryOutcome::Delivered).await?;
    record(harness, event, 2, dead()).await?;
    assert_eq!(delivery(harness, event).await?.state, DeliveryState::Delivered);
    Ok(())
}

/// A retry delay begins with the outcome, by the store's clock.
pub async fn a_failed_event_is_due_after_its_retry_delay(harness: &dyn StoreHarness) -> TestResult {
    let [soon, late] = two_due_events(harness).await?;
    assert_eq!(claim(harness, 1, HOUR, 10).await?, [soon, late]);
    record(harness, soon, 1, retry(Duration::ZERO)).await?;
    record(harness, late, 1, retry(2 * HOUR)).await?;
    let waiting = delivery(harness, late).await?;
    assert_eq!((waiting.state, waiting.last_error), (DeliveryState::Pending, Some(reason("HTTP 503"))));
    let wait = waiting.due_at.since(harness.queries().clock.now().await?);
    assert!(wait > time::Duration::minutes(115) && wait <= time::Duration::hours(2), "{wait}");
    assert_eq!(claim(harness, 2, HOUR, 10).await?, [soon]);
    Ok(())
}

/// Delivered and dead events are not claimed again.
pub async fn delivered_and_dead_events_are_never_claimed_again(harness: &dyn StoreHarness) -> TestResult {
    let [received, rejected] = two_due_events(harness).await?;
    assert_eq!(claim(harness, 1, Duration::ZERO, 10).await?, [received, rejected]);
    record(harness, received, 1, DeliveryOutcome::Delivered).await?;
    record(harness, rejected, 1, dead()).await?;
    assert_eq!(claim(harness, 2, HOUR, 10).await?, []);
    Ok(())
}

/// An event of a slow transaction becomes visible after later events were delivered, and is claimed.
pub async fn an_event_that_commits_late_is_claimed(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [slow, quick] = seeds.orders().await?;
    let (late, early) = (paid(&seeds, &slow, 1), paid(&seeds, &quick, 2));
    // A single writer begins later; the event's position is still before the other's.
    let mut open = match harness.concurrency() {
        Concurrency::RowLocks => Some(begin(harness, batch_id()).await?),
        Concurrency::SingleWriter => None,
    };
    commit(harness, append([early.clone()])).await?;
    assert_eq!(claim(harness, 1, HOUR, 10).await?, [early.id]);
    record(harness, early.id, 1, DeliveryOutcome::Delivered).await?;
    assert_eq!(claim(harness, 2, HOUR, 10).await?, []);
    match open.take() {
        Some(mut unit_of_work) => {
            unit_of_work.lock(&LockSet::default()).await?;
            unit_of_work.commit(append([late.clone()])).await?;
        }
        None => commit(harness, append([late.clone()])).await?,
    }
    assert_eq!(claim(harness, 3, HOUR, 10).await?, [late.id]);
    Ok(())
}

/// Concurrent claims return different events.
pub async fn concurrent_claims_return_different_events(harness: &dyn StoreHarness) -> TestResult {
    const EVENTS: usize = 40;

    let seeds = Seeds::new(harness);
    let orders = seeds.orders::<EVENTS>().await?;
    let events: Vec<_> = orders.iter().map(|order| paid(&seeds, order, 1)).collect();
    commit(harness, append(events.clone())).await?;
    let mut claimed = Vec::new();
    // Concurrent claims may return fewer events, or a conflict.
    while claimed.len() < EVENTS {
        let claims = (0..4).map(async |number| match claim(harness, number, HOUR, 7).await {
            Err(StoreError::Conflict(_)) => Ok::<_, StoreError>(Vec::new()),
            answer => answer,
        });
        claimed.extend(try_join_all(claims).await?.concat());
    }
    let different: BTreeSet<EventId> = claimed.iter().copied().collect();
    assert_eq!((claimed.len(), different.len()), (EVENTS, EVENTS));
    assert_eq!(claim(harness, 9, HOUR, 7).await?, []);
    Ok(())
}

/// The backlog counts pending events, claimed or not, and dead ones, and has the age of the oldest pending event.
pub async fn the_backlog_counts_pending_and_dead_events(harness: &dyn StoreHarness) -> TestResult {
    let queue = harness.event_queue();
    assert_eq!(queue.backlog().await?, Backlog::default());
    let seeds = Seeds::new(harness);
    let [a, b, c] = seeds.orders().await?;
    let now = harness.queries().clock.now().await?;
    let ago = |event, hours: i64| OutboxEvent { at: now.saturating_add(time::Duration::hours(-hours)), ..event };
    let events = [ago(paid(&seeds, &a, 0), 3), ago(paid(&seeds, &b, 0), 2), ago(paid(&seeds, &c, 0), 1)];
    commit(harness, append(events.clone())).await?;
    let [received, rejected, waiting] = events.map(|event| event.id);
    let hours_of = |backlog: &Backlog| backlog.oldest.map(|oldest| oldest.as_secs() / 3_600);
    let backlog = queue.backlog().await?;
    assert_eq!((backlog.pending, backlog.dead, hours_of(&backlog)), (3, 0, Some(3)));

    assert_eq!(claim(harness, 1, HOUR, 10).await?, [received, rejected, waiting]);
    record(harness, received, 1, DeliveryOutcome::Delivered).await?;
    record(harness, rejected, 1, dead()).await?;
    let backlog = queue.backlog().await?;
    assert_eq!((backlog.pending, backlog.dead, hours_of(&backlog)), (1, 1, Some(1)));
    record(harness, waiting, 1, DeliveryOutcome::Delivered).await?;
    assert_eq!(queue.backlog().await?, Backlog { pending: 0, dead: 1, oldest: None });
    Ok(())
}

/// Every field of a delivery is returned as recorded, the longest reason included.
pub async fn every_field_of_deliveries_is_returned(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [a, b, c] = seeds.orders().await?;
    let events = [paid(&seeds, &a, 1), refunded(&seeds, &b, 1, 2), paid(&seeds, &c, 3)];
    commit(harness, append(events.clone())).await?;
    let fresh = events.each_ref().map(Delivery::new);
    for delivery_before in &fresh {
        assert_eq!(delivery(harness, delivery_before.event_id).await?, *delivery_before);
    }
    let [received, rejected, waiting] = fresh;

    claim(harness, 1, HOUR, 10).await?;
    let longest = FailureReason::from(wide(FailureReason::LENGTH_MAX));
    record(harness, received.event_id, 1, retry(Duration::ZERO)).await?;
    claim(harness, 2, HOUR, 10).await?;
    record(harness, received.event_id, 2, DeliveryOutcome::Delivered).await?;
    record(harness, rejected.event_id, 1, DeliveryOutcome::Dead { reason: longest.clone() }).await?;
    record(harness, waiting.event_id, 1, retry(HOUR)).await?;
    let stored = async |before: &Delivery| delivery(harness, before.event_id).await;

    let after = stored(&received).await?;
    assert!(after.delivered_at.is_some_and(|at| at > received.at && at == after.due_at), "{after:?}");
    let expected = Delivery {
        state: DeliveryState::Delivered,
        due_at: after.due_at,
        attempts: 2,
        last_error: Some(reason("HTTP 503")),
        delivered_at: after.delivered_at,
        ..received
    };
    assert_eq!(after, expected);
    let after = stored(&rejected).await?;
    let expected = Delivery {
        state: DeliveryState::Dead,
        due_at: after.due_at,
        attempts: 1,
        last_error: Some(longest),
        ..rejected
    };
    assert_eq!(after, expected);
    let after = stored(&waiting).await?;
    let expected = Delivery { due_at: after.due_at, attempts: 1, last_error: Some(reason("HTTP 503")), ..waiting };
    assert_eq!(after, expected);
    Ok(())
}

/// A walk through the deliveries, of all states or one, returns each once, the newest first, despite concurrent
/// inserts.
pub async fn delivery_walks_miss_and_repeat_nothing(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let events: Vec<_> = seeds.orders_of::<9>(&owner).await?.iter().map(|order| paid(&seeds, order, 1)).collect();
    commit(harness, append(events.clone())).await?;
    let mut ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
    assert_eq!(claim(harness, 1, HOUR, 6).await?, ids[..6]);
    for (place, outcome) in [(0, DeliveryOutcome::Delivered), (2, DeliveryOutcome::Delivered), (4, dead())] {
        record(harness, ids[place], 1, outcome).await?;
    }
    let (delivered, dead) = ([ids[2], ids[0]], [ids[4]]);
    let pending: Vec<_> = [8, 7, 6, 5, 3, 1].map(|place| ids[place]).into();
    ids.reverse();

    let queries = harness.queries().deliveries;
    for (state, expected) in [
        (None, &ids[..]),
        (Some(DeliveryState::Pending), &pending),
        (Some(DeliveryState::Delivered), &delivered),
        (Some(DeliveryState::Dead), &dead),
    ] {
        for limit in [1, 2, 100] {
            let read = async |page| queries.list(state, &page).await;
            let walked = walk(limit, |delivery: &Delivery| delivery.event_id, read).await?;
            assert_eq!(walked.iter().map(|delivery| delivery.event_id).collect::<Vec<_>>(), expected, "{state:?}");
        }
    }

    let newest = queries.list(None, &first_page(4)).await?;
    let [added] = seeds.orders_of(&owner).await?;
    commit(harness, append([paid(&seeds, &added, 1)])).await?;
    let rest = Page { after: newest.last().map(|delivery| delivery.event_id), limit: 100 };
    let rest = queries.list(None, &rest).await?;
    assert_eq!([newest, rest].concat().iter().map(|delivery| delivery.event_id).collect::<Vec<_>>(), ids);
    Ok(())
}

/// A redelivered event is due at once, and a current claim loses its lease.
pub async fn a_redelivered_event_is_claimed_again(harness: &dyn StoreHarness) -> TestResult {
    let [rejected, under_way] = two_due_events(harness).await?;
    assert_eq!(claim(harness, 1, HOUR, 10).await?, [rejected, under_way]);
    record(harness, rejected, 1, dead()).await?;

    let (unit_of_work, (_, locked)) = lock(harness, &Keys::of::<Delivery>([rejected, under_way])).await?;
    let redelivered = locked.events.into_values().flatten().map(|delivery| {
        let again = delivery.redeliver(past(3));
        (delivery, again)
    });
    unit_of_work.commit(update(redelivered)).await?;
    record(harness, under_way, 1, DeliveryOutcome::Delivered).await?;
    let claimed = harness.event_queue().claim(lease(2), HOUR, 10).await?;
    let claimed: Vec<_> = claimed.into_iter().map(|event| (event.delivery.event_id, event.delivery.attempts)).collect();
    assert_eq!(claimed, [(rejected, 1), (under_way, 1)]);
    Ok(())
}
