use std::collections::BTreeSet;

use time::Duration;

use crate::coupon::{
    CampaignDetails, Coupon, CouponCampaign, CouponFilter, CouponState, CouponStatus, CouponTerms, Discount, Percent,
    Validity,
};
use crate::id::{CampaignId, CouponId, UserId};
use crate::money::{Money, PositiveMoney};
use crate::page::Page;
use crate::product::Price;
use crate::store_error::StoreError;
use crate::testing::contract::harness::{
    Seeds, StoreHarness, assert_conflict, assert_unexpected, first_page, locked_campaigns, locked_coupons, look, set,
    walk, wide, write,
};
use crate::testing::fixtures::{
    NOON, campaign_details, fixed, noon_plus, order_line, pending_order, percent, text, user,
};
use crate::time::Timestamp;

fn every_kind_of_details() -> [CampaignDetails; 4] {
    let smallest = PositiveMoney::try_from(Money::from_ten_thousandths(1).expect("in range")).expect("positive");
    let largest = PositiveMoney::try_from(Price::MAX).expect("positive");
    let terms = |discount, min_order_amount| CouponTerms { name: text(&wide(200)), discount, min_order_amount };
    let all = Percent::try_from(100).expect("a percentage");
    let details = |terms, validity| CampaignDetails { terms, validity, ..campaign_details(fixed(1), 1) };
    [
        CampaignDetails {
            terms: terms(Discount::Fixed { amount: largest }, Some(largest)),
            quantity: u32::MAX,
            issue_opens_at: Timestamp::MIN,
            issue_closes_at: Timestamp::MAX,
            validity: Validity::Days(Validity::DAYS_MAX),
        },
        details(terms(Discount::Fixed { amount: smallest }, None), Validity::Until(Timestamp::MAX)),
        details(terms(Discount::Percent { percent: all, cap: Some(largest) }, Some(smallest)), Validity::Days(1)),
        details(terms(percent(1), None), Validity::Until(noon_plus(1))),
    ]
}

/// Every field of a campaign comes back, by lock and by query, also once it was changed.
pub async fn campaigns_keep_every_field(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let campaigns = every_kind_of_details().map(|details| CouponCampaign {
        issued: details.quantity,
        ..CouponCampaign::create(seeds.id(), details, NOON)
    });
    seeds.campaigns(&campaigns).await?;
    assert_campaigns(harness, &campaigns).await?;

    let changed = campaigns.map(|campaign| CouponCampaign {
        details: CampaignDetails { issue_closes_at: noon_plus(9), quantity: u32::MAX, ..campaign.details },
        issued: u32::MAX,
        updated_at: Timestamp::MAX,
        ..campaign
    });
    write(harness, async |unit| {
        unit.coupons().lock_campaigns(&set(changed.iter().map(|campaign| campaign.id))).await?;
        unit.coupons().save_campaigns(&changed).await
    })
    .await?;
    assert_campaigns(harness, &changed).await
}

async fn assert_campaigns(harness: &dyn StoreHarness, expected: &[CouponCampaign]) -> Result<(), StoreError> {
    assert_eq!(locked_campaigns(harness, expected.iter().map(|campaign| campaign.id)).await?, expected);
    for campaign in expected {
        assert_eq!(harness.queries().coupons.campaign(campaign.id).await?.as_ref(), Some(campaign));
    }
    Ok(())
}

/// A campaign of that quantity, and a function that makes its coupons.
struct Campaign {
    row: CouponCampaign,
}

impl Campaign {
    async fn seed(seeds: &Seeds<'_>, quantity: u32) -> Result<Self, StoreError> {
        let row = CouponCampaign::create(seeds.id(), campaign_details(fixed(1_000), quantity), NOON);
        seeds.campaigns(std::slice::from_ref(&row)).await?;
        Ok(Self { row })
    }

    fn coupon(&self, seeds: &Seeds<'_>, user_id: &UserId, state: CouponState, valid_until: Timestamp) -> Coupon {
        Coupon {
            id: seeds.id(),
            campaign_id: self.row.id,
            user_id: user_id.clone(),
            terms: self.row.details.terms.clone(),
            state,
            valid_until,
            issued_at: NOON,
        }
    }
}

/// Every field of a coupon comes back, by lock and by query; its terms are its own. Saving one writes what became of
/// it.
pub async fn coupons_keep_every_field(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let [lamp] = seeds.lamps().await?;
    let order = pending_order(seeds.id(), &owner, vec![order_line(lamp, 1, 1_000)], NOON);
    seeds.orders(std::slice::from_ref(&order)).await?;
    let used = CouponState::Used { order_id: order.id, at: noon_plus(1) };
    let states = [CouponState::Unused, used, CouponState::Revoked, CouponState::Unused];

    let mut coupons = Vec::new();
    for (details, state) in every_kind_of_details().into_iter().zip(states) {
        let campaign = Campaign::seed(&seeds, 1).await?;
        let valid_until = Timestamp::MAX;
        coupons.push(Coupon { terms: details.terms, ..campaign.coupon(&seeds, &owner, state, valid_until) });
    }
    coupons[0].issued_at = Timestamp::MIN;
    seeds.coupons(&coupons).await?;
    assert_coupons(harness, &owner, &coupons).await?;

    coupons.rotate_right(1);
    for (coupon, state) in coupons.iter_mut().zip(states) {
        coupon.state = state;
    }
    coupons.sort_by_key(|coupon| coupon.id);
    write(harness, async |unit| {
        unit.coupons().lock_many(&set(coupons.iter().map(|coupon| coupon.id))).await?;
        unit.coupons().save_many(&coupons).await
    })
    .await?;
    assert_coupons(harness, &owner, &coupons).await
}

async fn assert_coupons(harness: &dyn StoreHarness, owner: &UserId, expected: &[Coupon]) -> Result<(), StoreError> {
    assert_eq!(locked_coupons(harness, expected.iter().map(|coupon| coupon.id)).await?, expected);
    let listed = harness.queries().coupons.coupons(owner, CouponFilter::All, &first_page(100)).await?.value;
    assert!(listed.iter().rev().eq(expected), "{listed:?}");
    Ok(())
}

/// Holders are told by campaign and user together; what became of the coupon does not matter.
pub async fn holders_are_those_who_have_had_a_coupon(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [a, b] = [Campaign::seed(&seeds, 9).await?, Campaign::seed(&seeds, 9).await?];
    let [unused, revoked, nobody] = ["unused", "revoked", "nobody"].map(user);
    let coupons = [
        a.coupon(&seeds, &unused, CouponState::Unused, Timestamp::MAX),
        a.coupon(&seeds, &revoked, CouponState::Revoked, Timestamp::MAX),
        b.coupon(&seeds, &nobody, CouponState::Unused, Timestamp::MIN),
    ];
    seeds.coupons(&coupons).await?;

    let past_recipients = |pairs: BTreeSet<(CampaignId, UserId)>| async move {
        write(harness, async |unit| unit.coupons().past_recipients(&pairs).await).await
    };
    let [a, b] = [a.row.id, b.row.id];
    let of_a = [(a, unused.clone()), (a, revoked.clone())];
    let asked =
        of_a.iter().cloned().chain([(a, nobody.clone()), (b, unused.clone()), (b, revoked), (seeds.id(), unused)]);
    assert_eq!(past_recipients(set(asked)).await?, set(of_a));
    assert_eq!(past_recipients(set([(b, nobody.clone())])).await?, set([(b, nobody)]));
    Ok(())
}

/// Candidates for a lock are the unused ones, expired or not, of exactly these users; the query answers the same.
pub async fn unused_coupons_are_those_that_nobody_used_or_revoked(
    harness: &dyn StoreHarness,
) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [owner, friend, stranger] = seeds.users(["owner", "friend", "stranger"]).await?;
    let [lamp] = seeds.lamps().await?;
    let order = pending_order(seeds.id(), &owner, vec![order_line(lamp, 1, 1_000)], NOON);
    seeds.orders(std::slice::from_ref(&order)).await?;
    let used = CouponState::Used { order_id: order.id, at: NOON };
    let mut coupons = Vec::new();
    for (owner, state, valid_until) in [
        (&owner, CouponState::Unused, Timestamp::MAX),
        (&owner, CouponState::Unused, Timestamp::MIN),
        (&friend, CouponState::Unused, Timestamp::MAX),
        (&owner, used, Timestamp::MAX),
        (&owner, CouponState::Revoked, Timestamp::MAX),
        (&stranger, CouponState::Unused, Timestamp::MAX),
    ] {
        coupons.push(Campaign::seed(&seeds, 1).await?.coupon(&seeds, owner, state, valid_until));
    }
    seeds.coupons(&coupons).await?;

    let friends = set([owner.clone(), friend]);
    let unused = write(harness, async |unit| unit.coupons().unused_of(&friends).await).await?;
    assert_eq!(unused, set(coupons[..3].iter().map(|coupon| coupon.id)));
    assert_eq!(harness.queries().coupons.unused(&owner).await?.value, coupons[..2]);
    Ok(())
}

/// One each.
pub async fn a_second_coupon_of_one_campaign_and_user_is_a_conflict(
    harness: &dyn StoreHarness,
) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let campaign = Campaign::seed(&seeds, 9).await?;
    let coupon = || campaign.coupon(&seeds, &user("owner"), CouponState::Unused, Timestamp::MAX);
    seeds.coupons(&[coupon()]).await?;
    assert_conflict(seeds.coupons(&[coupon()]).await);
    assert_eq!(harness.queries().coupons.unused(&user("owner")).await?.value.len(), 1);
    Ok(())
}

/// The store rejects what the domain would never write, and keeps nothing of the unit of work.
pub async fn issuing_more_coupons_than_there_are_is_an_error_and_keeps_nothing(
    harness: &dyn StoreHarness,
) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let campaign = Campaign::seed(&seeds, 1).await?;
    let coupon = campaign.coupon(&seeds, &user("owner"), CouponState::Unused, Timestamp::MAX);
    let result = write(harness, async |unit| {
        unit.coupons().lock_campaigns(&set([campaign.row.id])).await?;
        unit.coupons().insert_many(&[coupon]).await?;
        unit.coupons().save_campaigns(&[CouponCampaign { issued: 2, ..campaign.row.clone() }]).await
    });
    assert_unexpected(result.await);
    assert_eq!(harness.queries().coupons.campaign(campaign.row.id).await?, Some(campaign.row));
    assert_eq!(harness.queries().coupons.unused(&user("owner")).await?.value, []);
    Ok(())
}

/// That a coupon has expired is not stored: it follows from the database's clock.
pub async fn coupon_status_follows_from_the_databases_time(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [owner] = seeds.users(["owner"]).await?;
    let [lamp] = seeds.lamps().await?;
    let order = pending_order(seeds.id(), &owner, vec![order_line(lamp, 1, 1_000)], NOON);
    seeds.orders(std::slice::from_ref(&order)).await?;
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
        coupons.push(Campaign::seed(&seeds, 1).await?.coupon(&seeds, &owner, state, valid_until));
    }
    seeds.coupons(&coupons).await?;

    for (status, expected) in [
        (CouponStatus::Usable, 0..1),
        (CouponStatus::Expired, 1..2),
        (CouponStatus::Used, 2..4),
        (CouponStatus::Revoked, 4..6),
    ] {
        let filter = CouponFilter::Only(status);
        let listed = harness.queries().coupons.coupons(&owner, filter, &first_page(100)).await?;
        assert!(listed.now >= now, "the answer carries the database's time");
        assert!(listed.value.iter().rev().eq(&coupons[expected]), "{status:?}: {:?}", listed.value);
    }
    Ok(())
}

/// A walk through a user's coupons gives each once, whatever is added meanwhile, in each filter.
pub async fn coupon_walks_miss_and_repeat_nothing(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let [owner, other] = ["owner", "other"].map(user);
    let mut coupons = Vec::new();
    for n in 0..7 {
        let campaign = Campaign::seed(&seeds, 2).await?;
        let state = if n % 3 == 0 { CouponState::Revoked } else { CouponState::Unused };
        coupons.push(campaign.coupon(&seeds, &owner, state, Timestamp::MAX));
        coupons.push(campaign.coupon(&seeds, &other, CouponState::Unused, Timestamp::MAX));
    }
    seeds.coupons(&coupons).await?;
    let queries = harness.queries().coupons;
    let key = |coupon: &Coupon| -> CouponId { coupon.id };

    for filter in [CouponFilter::All, CouponFilter::Only(CouponStatus::Usable)] {
        let wanted = |coupon: &&&Coupon| filter == CouponFilter::All || coupon.state == CouponState::Unused;
        let own: Vec<_> = coupons.iter().filter(|coupon| coupon.user_id == owner).collect();
        let expected: Vec<_> = own.iter().rev().filter(wanted).map(|coupon| (*coupon).clone()).collect();
        for limit in [1, 2, 100] {
            let read = async |page| Ok(queries.coupons(&owner, filter, &page).await?.value);
            assert_eq!(walk(limit, key, read).await?, expected, "{filter:?} by {limit}");
        }
    }

    let newest = queries.coupons(&owner, CouponFilter::All, &first_page(2)).await?.value;
    let late = Campaign::seed(&seeds, 1).await?.coupon(&seeds, &owner, CouponState::Unused, Timestamp::MAX);
    seeds.coupons(&[late]).await?;
    let rest = Page { after: newest.last().map(key), limit: 100 };
    let rest = queries.coupons(&owner, CouponFilter::All, &rest).await?.value;
    let seen = set(newest.iter().chain(&rest).map(key));
    assert_eq!((seen.len(), newest.len() + rest.len()), (7, 7), "each of the seven, once");
    Ok(())
}

/// A walk through the campaigns gives each once, the newest first.
pub async fn campaign_walks_miss_and_repeat_nothing(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let mut campaigns = Vec::new();
    for _ in 0..5 {
        campaigns.insert(0, Campaign::seed(&seeds, 1).await?.row);
    }
    let queries = harness.queries().coupons;
    for limit in [1, 2, 100] {
        let read = async |page| queries.campaigns(&page).await;
        let key = |campaign: &CouponCampaign| campaign.id;
        assert_eq!(walk(limit, key, read).await?, campaigns);
    }
    assert_eq!(look(harness, async |unit| unit.coupons().lock_campaigns(&set([seeds.id()])).await).await?, []);
    assert_eq!(queries.campaign(seeds.id()).await?, None);
    Ok(())
}
