use std::ops::Deref;

use thiserror::Error;
use time::Duration;

use crate::coupon::{Coupon, CouponRejection, CouponState, CouponTerms};
use crate::id::{CampaignId, CouponId, UserId};
use crate::store_error::InvalidRecord;
use crate::time::Timestamp;

/// How long a coupon can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Validity {
    /// Until this time, whenever it was issued.
    Until(Timestamp),
    /// So many times 24 hours from its issue.
    Days(u16),
}

impl Validity {
    /// The most days, ten years.
    pub const DAYS_MAX: u16 = 3_650;

    /// Until when a coupon issued now can be used.
    fn until(self, issued_at: Timestamp) -> Timestamp {
        match self {
            Self::Until(time) => time,
            Self::Days(days) => issued_at.saturating_add(Duration::days(i64::from(days))),
        }
    }
}

/// What the back office enters about a campaign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CampaignDetails {
    /// The terms that its coupons are issued with.
    pub terms: CouponTerms,
    /// How many coupons there are.
    pub quantity: u32,
    /// From when on coupons are issued.
    pub issue_opens_at: Timestamp,
    /// Until when coupons are issued; at this time no more.
    pub issue_closes_at: Timestamp,
    /// How long its coupons can be used.
    pub validity: Validity,
}

/// [Details](CampaignDetails) whose parts fit together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CampaignPlan(CampaignDetails);

impl Deref for CampaignPlan {
    type Target = CampaignDetails;

    fn deref(&self) -> &CampaignDetails {
        &self.0
    }
}

impl TryFrom<CampaignDetails> for CampaignPlan {
    type Error = InvalidCampaign;

    fn try_from(details: CampaignDetails) -> Result<Self, InvalidCampaign> {
        if details.quantity == 0 {
            return Err(InvalidCampaign::NoCoupons);
        }
        if details.issue_closes_at <= details.issue_opens_at {
            return Err(InvalidCampaign::ClosesBeforeItOpens);
        }
        match details.validity {
            Validity::Days(days) if !(1..=Validity::DAYS_MAX).contains(&days) => Err(InvalidCampaign::ValidDays),
            Validity::Days(_) | Validity::Until(_) => Ok(Self(details)),
        }
    }
}

/// Why a campaign cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidCampaign {
    /// Not a single coupon.
    #[error("the quantity is zero")]
    NoCoupons,
    /// The time to close is not after the time to open.
    #[error("issuing closes before it opens")]
    ClosesBeforeItOpens,
    /// Not 1 to [`Validity::DAYS_MAX`] days.
    #[error("the days of validity are not between 1 and 3,650")]
    ValidDays,
}

/// A campaign: a number of coupons for the first users who ask, one each. Reads like its [record](CampaignRecord);
/// changes only by the decisions below.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CouponCampaign(CampaignRecord);

/// A campaign as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CampaignRecord {
    /// The campaign's id.
    pub id: CampaignId,
    /// What the back office entered about it.
    pub details: CampaignDetails,
    /// How many coupons were issued, never more than the quantity.
    pub issued: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// When the back office changed it last.
    pub updated_at: Timestamp,
}

impl Deref for CouponCampaign {
    type Target = CampaignRecord;

    fn deref(&self) -> &CampaignRecord {
        &self.0
    }
}

impl CampaignRecord {
    /// How many coupons are left.
    pub fn remaining(&self) -> u32 {
        self.details.quantity.saturating_sub(self.issued)
    }
}

impl CouponCampaign {
    /// A new campaign.
    pub fn create(id: CampaignId, plan: CampaignPlan, now: Timestamp) -> Self {
        Self(CampaignRecord { id, details: plan.0, issued: 0, created_at: now, updated_at: now })
    }

    /// The campaign of a stored record.
    ///
    /// # Errors
    /// When more coupons were issued than there are.
    pub fn from_stored(record: CampaignRecord) -> Result<Self, InvalidRecord> {
        if record.issued > record.details.quantity {
            return Err(InvalidRecord("more coupons issued than there are"));
        }
        Ok(Self(record))
    }

    /// The campaign with more coupons, or closing earlier.
    ///
    /// # Errors
    /// In this order: [`CouponRejection::QuantityLowered`], [`CouponRejection::ClosingPostponed`].
    pub fn change(
        &self,
        quantity: Option<u32>,
        issue_closes_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, CouponRejection> {
        let mut changed = CampaignRecord { updated_at: now, ..self.0.clone() };
        if let Some(quantity) = quantity {
            if quantity < self.details.quantity {
                return Err(CouponRejection::QuantityLowered { quantity: self.details.quantity });
            }
            changed.details.quantity = quantity;
        }
        if let Some(closes_at) = issue_closes_at {
            if closes_at > self.details.issue_closes_at {
                return Err(CouponRejection::ClosingPostponed { issue_closes_at: self.details.issue_closes_at });
            }
            changed.details.issue_closes_at = closes_at;
        }
        Ok(Self(changed))
    }

    /// Issues a coupon to a user: the campaign counts one more.
    ///
    /// # Errors
    /// In this order: [`CouponRejection::CampaignNotOpen`], [`CouponRejection::CampaignClosed`],
    /// [`CouponRejection::AlreadyIssued`], [`CouponRejection::SoldOut`].
    pub fn issue(
        &self,
        user_id: &UserId,
        already_issued: bool,
        id: CouponId,
        now: Timestamp,
    ) -> Result<(Self, Coupon), CouponRejection> {
        let CampaignDetails { terms, quantity, issue_opens_at, issue_closes_at, validity } = &self.details;
        if now < *issue_opens_at {
            return Err(CouponRejection::CampaignNotOpen { issue_opens_at: *issue_opens_at });
        }
        if now >= *issue_closes_at {
            return Err(CouponRejection::CampaignClosed { issue_closes_at: *issue_closes_at });
        }
        if already_issued {
            return Err(CouponRejection::AlreadyIssued);
        }
        let issued = self.issued.checked_add(1).filter(|issued| issued <= quantity).ok_or(CouponRejection::SoldOut)?;
        let coupon = Coupon {
            id,
            campaign_id: self.id,
            user_id: user_id.clone(),
            terms: terms.clone(),
            state: CouponState::Unused,
            valid_until: validity.until(now),
            issued_at: now,
        };
        Ok((Self(CampaignRecord { issued, ..self.0.clone() }), coupon))
    }
}
