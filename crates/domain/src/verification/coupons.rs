use std::collections::BTreeMap;

use crate::coupon::{CampaignRecord, Coupon, CouponState};
use crate::id::{CampaignId, OrderId, UserId};
use crate::order::OrderRecord;
use crate::store_error::StoreError;
use crate::time::Timestamp;
use crate::verification::finding::Finding;
use crate::verification::run::Verification;
use crate::verification::text::Text;
use crate::verification::walk::{Campaigns, Coupons, Walk};

/// Coupons per query of their orders.
const CHUNK: usize = 500;

/// Compares each campaign with its coupons, and each used coupon with its order.
pub(super) async fn verify(audit: &mut Verification<'_>) -> Result<(), StoreError> {
    let mut campaigns = Walk::<Campaigns>::default();
    let mut coupons = Walk::<Coupons>::default();
    let mut used = Vec::new();
    while let Some(campaign) = campaigns.next(audit).await? {
        strays(audit, &mut coupons, Some(campaign.id)).await?;
        let mut issued = 0_u64;
        let mut last_user: Option<UserId> = None;
        while let Some(coupon) = coupons.next_if(audit, |coupon| coupon.campaign_id == campaign.id).await? {
            issued = issued.saturating_add(1);
            audit.expect(last_user.as_ref() != Some(&coupon.user_id), || Finding::Campaign {
                campaign_id: campaign.id,
                description: format!("user {} has more than one coupon", coupon.user_id),
            });
            last_user = Some(coupon.user_id.clone());
            audit.expect(campaign.details.issue_opens_at <= coupon.issued_at, || Finding::Coupon {
                coupon_id: coupon.id,
                description: format!("was issued at {}, before its campaign opened", coupon.issued_at.text()),
            });
            if use_of(&coupon).is_some() {
                used.push(coupon);
            }
            if used.len() == CHUNK {
                compare_used(audit, &mut used).await?;
            }
        }
        compare_campaign(audit, &campaign, issued);
    }
    compare_used(audit, &mut used).await?;
    strays(audit, &mut coupons, None).await
}

/// Reports coupons without a campaign, before the next campaign.
async fn strays(
    audit: &mut Verification<'_>,
    coupons: &mut Walk<Coupons>,
    next_campaign: Option<CampaignId>,
) -> Result<(), StoreError> {
    let is_stray = |id: CampaignId| next_campaign.is_none_or(|next| id < next);
    while let Some(coupon) = coupons.next_if(audit, |coupon| is_stray(coupon.campaign_id)).await? {
        let description = format!("its campaign {} does not exist", coupon.campaign_id);
        audit.find(Finding::Coupon { coupon_id: coupon.id, description });
    }
    Ok(())
}

fn compare_campaign(audit: &mut Verification<'_>, campaign: &CampaignRecord, issued: u64) {
    let wrong = |description: String| Finding::Campaign { campaign_id: campaign.id, description };
    audit.expect(u64::from(campaign.issued) == issued, || {
        wrong(format!("counts {} issued coupons, but there are {issued}", campaign.issued))
    });
    let quantity = campaign.details.quantity;
    audit.expect(issued <= u64::from(quantity), || wrong(format!("issued {issued} coupons of {quantity}")));
}

/// Compares used coupons with their orders and clears the list.
async fn compare_used(audit: &mut Verification<'_>, used: &mut Vec<Coupon>) -> Result<(), StoreError> {
    let ids: Vec<OrderId> = used.iter().filter_map(|coupon| use_of(coupon).map(|(order_id, _)| order_id)).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let page = audit.books.orders_of(&ids).await?;
    let orders = audit.take_again(page).into_iter();
    let orders: BTreeMap<OrderId, OrderRecord> = orders.map(|order| (order.id, order)).collect();
    for coupon in used.drain(..) {
        let Some((order_id, at)) = use_of(&coupon) else { continue };
        let wrong = |description: String| Finding::Coupon { coupon_id: coupon.id, description };
        let Some(order) = orders.get(&order_id) else {
            audit.find(wrong(format!("was used by order {order_id}, which does not exist")));
            continue;
        };
        let paid_with_it = order.paid.as_ref().filter(|paid| paid.coupon_id == Some(coupon.id));
        audit.expect(paid_with_it.is_some(), || {
            wrong(format!("was used by order {order_id}, which was not paid with it"))
        });
        audit.expect(paid_with_it.is_none_or(|paid| paid.at == at), || {
            wrong(format!("was used at {}, but order {order_id} was not paid then", at.text()))
        });
        audit.expect(order.user_id == coupon.user_id, || wrong(format!("was used by another user's order {order_id}")));
    }
    Ok(())
}

/// The order and the time of its use.
fn use_of(coupon: &Coupon) -> Option<(OrderId, Timestamp)> {
    match coupon.state {
        CouponState::Used { order_id, at } => Some((order_id, at)),
        CouponState::Unused | CouponState::Revoked => None,
    }
}
