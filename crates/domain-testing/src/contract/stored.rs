use std::collections::BTreeSet;
use std::time::Duration;

use jangteo_domain::audit::AuditChain;
use jangteo_domain::coupon::{Coupon, CouponState};
use jangteo_domain::delivery::{AttemptOutcome, Delivery, DeliveryOutcome, FailureReason};
use jangteo_domain::id::{CampaignId, UserId};
use jangteo_domain::idempotency::RequestKey;
use jangteo_domain::order::Order;
use jangteo_domain::point::PointAccount;
use jangteo_domain::product::Product;
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::SequentialIds;
use jangteo_domain::testing::fixtures::{account_with, noon_plus, order_with, user, won};
use jangteo_domain::time::Timestamp;
use jangteo_domain::transaction::{LockSet, LockedProduct, ProductDepth};

use crate::contract::harness::{
    LockableRow, Seeds, TestResult, TransactionHarness, answers, append, assert_stored, commit, insert, locked, row,
    set, ten_thousandths, update, wide,
};
use crate::contract::samples;

/// Every field survives an insert and an update, and other rows are unchanged.
async fn assert_every_field_is_stored<Row: LockableRow>(
    harness: &dyn TransactionHarness,
    inserted: &[Row],
    updated: &[Row],
) -> TestResult {
    commit(harness, insert(inserted.iter().cloned())).await?;
    assert_stored(harness, inserted).await?;
    let (all_but_last, last) = (inserted.len() - 1, &inserted[inserted.len() - 1]);
    commit(harness, update(inserted.iter().cloned().zip(updated.iter().cloned()).take(all_but_last))).await?;
    assert_stored(harness, &updated[..all_but_last]).await?;
    assert_stored(harness, std::slice::from_ref(last)).await?;
    commit(harness, update([(last.clone(), updated[all_but_last].clone())])).await?;
    assert_stored(harness, updated).await
}

/// Orders: lines in the order of the request, status, payment, refunds, and each line's discount share and refunded
/// items.
pub async fn every_field_of_orders_is_stored(harness: &dyn TransactionHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let orders = samples::orders_in_every_status(&seeds).await?;
    let placed: Vec<_> = orders.iter().map(samples::unpaid).collect();
    let progressed = progressed(&placed, &orders);
    let complete: Vec<_> = orders.iter().map(|order| order_with(order, |record| record.id = seeds.id())).collect();
    commit(harness, insert(complete.clone())).await?;
    assert_stored(harness, &complete).await?;
    assert_every_field_is_stored(harness, &placed, &progressed).await
}

/// The placed orders with the progress of others.
fn progressed(placed: &[Order], progress: &[Order]) -> Vec<Order> {
    let progressed = |(placed, progress): (&Order, &Order)| {
        order_with(placed, |record| {
            record.status = progress.status;
            record.paid.clone_from(&progress.paid);
            record.refunded = progress.refunded;
            record.refunds = progress.refunds;
            for (line, of) in record.lines.iter_mut().zip(&progress.lines) {
                line.discount_share = of.discount_share;
                line.refunded_quantity = of.refunded_quantity;
            }
            record.lines[1].discount_share = ten_thousandths(1);
            record.lines[2].refunded_quantity = 1;
        })
    };
    placed.iter().zip(progress).map(progressed).collect()
}

/// Campaigns: quantity, closing time, issued coupons and update time can change.
pub async fn every_field_of_campaigns_is_stored(harness: &dyn TransactionHarness) -> TestResult {
    let campaigns = samples::campaigns(&Seeds::new(harness));
    assert_every_field_is_stored(harness, &campaigns, &samples::changed_campaigns(&campaigns)).await
}

/// Coupons: their terms are their own, and their state can change.
pub async fn every_field_of_coupons_is_stored(harness: &dyn TransactionHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let (coupons, changed) = samples::coupons(&seeds, &owner).await?;
    assert_every_field_is_stored(harness, &coupons, &changed).await
}

/// Products: details and update time can change, and dropped options are deleted. An offer has the same fields.
pub async fn every_field_of_products_is_stored(harness: &dyn TransactionHarness) -> TestResult {
    let products = samples::products(&Seeds::new(harness));
    let changed = samples::changed_products(&products);
    assert_every_field_is_stored(harness, &products, &changed).await?;
    let products = changed.iter().map(|product| (product.id, ProductDepth::Offer)).collect();
    let found = locked(harness, LockSet { products, ..LockSet::default() }).await?.products;
    let offers: Vec<_> = found.values().flatten().map(LockedProduct::offer).collect();
    assert_eq!(offers, changed.each_ref().map(Product::offer));
    Ok(())
}

/// Stocks: both counts, up to the largest.
pub async fn every_field_of_stocks_is_stored(harness: &dyn TransactionHarness) -> TestResult {
    let products = samples::products(&Seeds::new(harness));
    commit(harness, insert(products.clone())).await?;
    let stocks = samples::stocks(&products.map(|product| product.id));
    assert_every_field_is_stored(harness, &stocks, &samples::changed_stocks(&stocks)).await
}

/// Accounts: balance, hash, both counts and the update time.
pub async fn every_field_of_accounts_is_stored(harness: &dyn TransactionHarness) -> TestResult {
    let accounts = samples::accounts();
    assert_every_field_is_stored(harness, &accounts, &samples::changed_accounts(&accounts)).await
}

/// Chains: the longest actor, the largest count, the hash.
pub async fn every_field_of_audit_chains_is_stored(harness: &dyn TransactionHarness) -> TestResult {
    let largest =
        AuditChain { entries: samples::SEQUENCE_MAX, hash: [0xff; 32], ..AuditChain::empty(user(samples::LONGEST)) };
    let chains = [largest.clone(), AuditChain::empty(user("a"))];
    let changed = [AuditChain::empty(largest.actor.clone()), AuditChain { actor: user("a"), ..largest }];
    assert_every_field_is_stored(harness, &chains, &changed).await
}

/// A new event's delivery is pending and due at once; every later state is stored.
pub async fn every_field_of_deliveries_is_stored(harness: &dyn TransactionHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let orders = seeds.orders::<4>().await?;
    let events = [
        samples::paid_event(&seeds, &orders[0], Timestamp::MIN),
        samples::refunded_event(&seeds, &orders[1], 41, noon_plus(1)),
        samples::paid_event(&seeds, &orders[2], Timestamp::MAX),
        samples::paid_event(&seeds, &orders[3], noon_plus(2)),
    ];
    commit(harness, append(events.clone())).await?;
    let pending = events.each_ref().map(Delivery::new);
    assert_stored(harness, &pending).await?;

    let lease = SequentialIds::id(u64::MAX);
    let hour = Duration::from_secs(3_600);
    let claimed = pending.each_ref().map(|delivery| delivery.claim(lease, hour, noon_plus(3)));
    commit(harness, update(pending.into_iter().zip(claimed.clone()))).await?;
    assert_stored(harness, &claimed).await?;

    let reason = FailureReason::from(wide(FailureReason::LENGTH_MAX));
    let outcomes = [
        DeliveryOutcome::Delivered,
        DeliveryOutcome::Dead { reason: reason.clone() },
        DeliveryOutcome::Retry { after: hour, reason: "HTTP 503".to_owned().into() },
    ];
    let recorded = claimed.iter().zip(outcomes).map(|(delivery, outcome)| {
        let attempt = AttemptOutcome { event_id: delivery.event_id, lease, outcome };
        delivery.record(&attempt, noon_plus(4)).expect("the lease is not lost")
    });
    let recorded: Vec<_> = recorded.collect();
    commit(harness, update(claimed.iter().cloned().zip(recorded.clone()))).await?;
    assert_stored(harness, &recorded).await?;
    assert_stored(harness, &claimed[3..]).await?;

    let again: Vec<_> = recorded.iter().map(|delivery| delivery.redeliver(noon_plus(5))).collect();
    commit(harness, update(recorded.into_iter().zip(again.clone()))).await?;
    assert_stored(harness, &again).await
}

/// Answers are returned to the byte, for the given keys only.
pub async fn every_byte_of_answers_is_stored(harness: &dyn TransactionHarness) -> TestResult {
    let stored = samples::stored_answers();
    commit(harness, append(stored.clone())).await?;
    let (named, not_named) = stored.split_at(stored.len() - 1);
    let keys = set(named.iter().map(|answer| answer.request.key).chain([RequestKey([0x7f; 16])]));
    assert!(!keys.contains(&not_named[0].request.key));
    assert_eq!(answers(harness, keys).await?, named);
    Ok(())
}

/// `alice` and `Alice` are two users.
pub async fn user_ids_are_case_sensitive(harness: &dyn TransactionHarness) -> TestResult {
    let [upper, lower] = Seeds::new(harness).users(["Alice", "alice"]).await?;
    let rich = account_with(&lower, |record| record.balance = won(5));
    commit(harness, update([(PointAccount::empty(lower), rich.clone())])).await?;
    assert_stored(harness, &[rich]).await?;
    assert_eq!(row::<PointAccount>(harness, upper.clone()).await?, PointAccount::empty(upper));
    Ok(())
}

/// A past recipient is a user and campaign with a coupon in any state.
pub async fn past_recipients_are_found_by_campaign_and_user(harness: &dyn TransactionHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [a, b] = [samples::seed_campaign(&seeds, 9).await?, samples::seed_campaign(&seeds, 9).await?];
    let [unused, revoked, other] = ["unused", "revoked", "other"].map(user);
    let coupons = [
        samples::coupon(&seeds, &a, &unused, CouponState::Unused, Timestamp::MAX),
        samples::coupon(&seeds, &a, &revoked, CouponState::Revoked, Timestamp::MAX),
        samples::coupon(&seeds, &b, &other, CouponState::Unused, Timestamp::MIN),
    ];
    commit(harness, insert(coupons)).await?;

    let received = |pairs: BTreeSet<(CampaignId, UserId)>| async move {
        let campaigns = set(pairs.iter().map(|(campaign_id, _)| *campaign_id));
        let locks = LockSet { campaigns, past_recipients: pairs, ..LockSet::default() };
        Ok::<_, StoreError>(locked(harness, locks).await?.past_recipients)
    };
    let [a, b] = [a.id, b.id];
    let expected = [
        ((a, unused.clone()), true),
        ((a, revoked.clone()), true),
        ((a, other.clone()), false),
        ((b, unused.clone()), false),
        ((b, revoked), false),
        ((seeds.id(), unused), false),
    ];
    assert_eq!(received(expected.iter().map(|(pair, _)| pair.clone()).collect()).await?, expected.into());
    assert_eq!(received(set([(b, other.clone())])).await?, [((b, other), true)].into());
    Ok(())
}

/// Candidates are exactly these users' unused coupons, expired or not; they are locked with the other coupons.
pub async fn candidates_are_unused_coupons_and_locked(harness: &dyn TransactionHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [owner, friend, stranger, poor] = seeds.users(["owner", "friend", "stranger", "poor"]).await?;
    let coupons = unused_and_other_coupons(&seeds, [&owner, &friend, &stranger]).await?;
    let [a, b, c, used, ..] = &coupons[..] else { panic!("six coupons") };
    let locks = LockSet {
        unused_coupons_of: set([owner.clone(), friend.clone(), poor.clone()]),
        coupons: set([used.id, b.id]),
        ..LockSet::default()
    };
    let found = locked(harness, locks).await?;
    let expected = [(owner, set([a.id, b.id])), (friend, set([c.id])), (poor, set([]))];
    assert_eq!(found.unused_coupons_of, expected.into());
    assert_eq!(found.coupons, [a, b, c, used].map(|coupon| (coupon.id, Some(coupon.clone()))).into());
    Ok(())
}

/// Two unused coupons of the first user, one of the second, a used and a revoked one of the first, an unused one of the
/// third.
pub(super) async fn unused_and_other_coupons(
    seeds: &Seeds<'_>,
    [owner, friend, stranger]: [&UserId; 3],
) -> Result<Vec<Coupon>, StoreError> {
    let [order] = seeds.orders_of(owner).await?;
    let used = CouponState::Used { order_id: order.id, at: noon_plus(1) };
    let mut coupons = Vec::new();
    for (owner, state, valid_until) in [
        (owner, CouponState::Unused, Timestamp::MAX),
        (owner, CouponState::Unused, Timestamp::MIN),
        (friend, CouponState::Unused, Timestamp::MAX),
        (owner, used, Timestamp::MAX),
        (owner, CouponState::Revoked, Timestamp::MAX),
        (stranger, CouponState::Unused, Timestamp::MAX),
    ] {
        let campaign = samples::seed_campaign(seeds, 1).await?;
        coupons.push(samples::coupon(seeds, &campaign, owner, state, valid_until));
    }
    commit(seeds.harness, insert(coupons.clone())).await?;
    Ok(coupons)
}

/// If one product is requested whole, it is whole, and every other has at least its requested depth.
pub async fn products_have_at_least_the_requested_depth(harness: &dyn TransactionHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [offer, whole, other] = samples::products(&seeds);
    commit(harness, insert([offer.clone(), whole.clone(), other.clone()])).await?;
    let absent = seeds.id();
    let products = [
        (offer.id, ProductDepth::Offer),
        (whole.id, ProductDepth::Whole),
        (other.id, ProductDepth::Offer),
        (absent, ProductDepth::Offer),
    ];
    let found = locked(harness, LockSet { products: products.into(), ..LockSet::default() }).await?.products;
    assert_eq!(found[&whole.id], Some(LockedProduct::Whole(whole)));
    assert_eq!(found[&absent], None);
    for product in [offer, other] {
        match &found[&product.id] {
            Some(LockedProduct::Whole(whole)) => assert_eq!(*whole, product),
            Some(LockedProduct::Offer(offer)) => assert_eq!(*offer, product.offer()),
            None => panic!("the product {} is stored", product.id),
        }
    }
    Ok(())
}
