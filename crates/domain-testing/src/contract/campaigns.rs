use time::Duration;

use jangteo_domain::coupon::{Coupon, CouponCampaign, CouponFilter, CouponState, CouponStatus};
use jangteo_domain::id::{CouponId, UserId};
use jangteo_domain::page::Page;
use jangteo_domain::testing::fixtures::{NOON, user};
use jangteo_domain::time::Timestamp;

use crate::contract::harness::{Seeds, StoreHarness, TestResult, commit, first_page, insert, set, update, walk};
use crate::contract::samples;
use crate::contract::stored::unused_and_other_coupons;

/// Every field of a campaign is returned, as inserted and as updated.
pub async fn every_field_of_campaigns_is_returned(harness: &dyn StoreHarness) -> TestResult {
    let campaigns = samples::campaigns(&Seeds::new(harness));
    let changed = samples::changed_campaigns(&campaigns);
    let queries = harness.queries().coupons;
    let updated = update(campaigns.clone().into_iter().zip(changed.clone()));
    for (changes, expected) in [(insert(campaigns.clone()), campaigns), (updated, changed)] {
        commit(harness, changes).await?;
        for campaign in expected {
            assert_eq!(queries.campaign(campaign.id).await?, Some(campaign));
        }
    }
    Ok(())
}

/// Every field of a coupon is returned, as inserted and as updated, the newest first. Its terms are independent of its
/// campaign.
pub async fn every_field_of_coupons_is_returned(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let (coupons, changed) = samples::coupons(&seeds, &owner).await?;
    commit(harness, insert(coupons.clone())).await?;
    assert_coupons(harness, &owner, &coupons).await?;
    commit(harness, update(coupons.into_iter().zip(changed.clone()))).await?;
    assert_coupons(harness, &owner, &changed).await
}

async fn assert_coupons(harness: &dyn StoreHarness, owner: &UserId, expected: &[Coupon]) -> TestResult {
    let listed = harness.queries().coupons.coupons(owner, CouponFilter::All, &first_page(100)).await?.value;
    assert!(listed.iter().rev().eq(expected), "{listed:?}");
    Ok(())
}

/// Unused coupons are neither used nor revoked; they may be expired.
pub async fn unused_coupons_are_neither_used_nor_revoked(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [owner, friend, stranger] = seeds.users(["kim", "friend", "stranger"]).await?;
    let coupons = unused_and_other_coupons(&seeds, [&owner, &friend, &stranger]).await?;
    assert_eq!(harness.queries().coupons.unused(&owner).await?.value, coupons[..2]);
    assert_eq!(harness.queries().coupons.unused(&friend).await?.value, coupons[2..3]);
    Ok(())
}

/// Expiry is not stored: it follows from the database's clock.
pub async fn coupon_status_follows_from_the_databases_time(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [order] = seeds.orders().await?;
    let owner = order.user_id.clone();
    let now = harness.queries().clock.now().await?;
    let [past, future] = [now, now.saturating_add(Duration::days(1))];
    let used = CouponState::Used { order_id: order.id, at: NOON };
    let mut coupons = Vec::new();
    for (state, valid_until) in [
        (CouponState::Unused, future),
        (CouponState::Unused, past),
        (used, past),
        (used, future),
        (CouponState::Revoked, past),
        (CouponState::Revoked, future),
    ] {
        let campaign = samples::seed_campaign(&seeds, 1).await?;
        coupons.push(samples::coupon(&seeds, &campaign, &owner, state, valid_until));
    }
    commit(harness, insert(coupons.clone())).await?;

    for (status, expected) in [
        (CouponStatus::Usable, 0..1),
        (CouponStatus::Expired, 1..2),
        (CouponStatus::Used, 2..4),
        (CouponStatus::Revoked, 4..6),
    ] {
        let filter = CouponFilter::Only(status);
        let listed = harness.queries().coupons.coupons(&owner, filter, &first_page(100)).await?;
        assert!(listed.now >= now, "the answer has the database's time");
        assert!(listed.value.iter().rev().eq(&coupons[expected]), "{status:?}: {:?}", listed.value);
    }
    Ok(())
}

/// A walk through a user's coupons returns each once despite concurrent inserts, with each filter.
pub async fn coupon_walks_miss_and_repeat_nothing(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let [owner, other] = ["owner", "other"].map(user);
    let mut coupons = Vec::new();
    for n in 0..7 {
        let campaign = samples::seed_campaign(&seeds, 2).await?;
        let state = if n % 3 == 0 { CouponState::Revoked } else { CouponState::Unused };
        coupons.push(samples::coupon(&seeds, &campaign, &owner, state, Timestamp::MAX));
        coupons.push(samples::coupon(&seeds, &campaign, &other, CouponState::Unused, Timestamp::MAX));
    }
    commit(harness, insert(coupons.clone())).await?;
    let queries = harness.queries().coupons;
    let key = |coupon: &Coupon| -> CouponId { coupon.id };

    for filter in [CouponFilter::All, CouponFilter::Only(CouponStatus::Usable)] {
        let wanted = |coupon: &&Coupon| filter == CouponFilter::All || coupon.state == CouponState::Unused;
        let own = coupons.iter().filter(|coupon| coupon.user_id == owner);
        let expected: Vec<_> = own.rev().filter(wanted).cloned().collect();
        for limit in [1, 2, 100] {
            let read = async |page| Ok(queries.coupons(&owner, filter, &page).await?.value);
            assert_eq!(walk(limit, key, read).await?, expected, "{filter:?} by {limit}");
        }
    }

    let newest = queries.coupons(&owner, CouponFilter::All, &first_page(2)).await?.value;
    let campaign = samples::seed_campaign(&seeds, 1).await?;
    let late = samples::coupon(&seeds, &campaign, &owner, CouponState::Unused, Timestamp::MAX);
    commit(harness, insert([late])).await?;
    let rest = Page { after: newest.last().map(key), limit: 100 };
    let rest = queries.coupons(&owner, CouponFilter::All, &rest).await?.value;
    let seen = set(newest.iter().chain(&rest).map(key));
    assert_eq!((seen.len(), newest.len() + rest.len()), (7, 7), "each of the seven, once");
    Ok(())
}

/// A walk through the campaigns returns each once, the newest first.
pub async fn campaign_walks_miss_and_repeat_nothing(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let mut campaigns = Vec::new();
    for _ in 0..5 {
        campaigns.insert(0, samples::seed_campaign(&seeds, 1).await?);
    }
    let queries = harness.queries().coupons;
    for limit in [1, 2, 100] {
        let read = async |page| queries.campaigns(&page).await;
        let key = |campaign: &CouponCampaign| campaign.id;
        assert_eq!(walk(limit, key, read).await?, campaigns);
    }
    assert_eq!(queries.campaign(seeds.id()).await?, None);
    Ok(())
}
