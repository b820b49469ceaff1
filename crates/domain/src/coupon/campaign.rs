use std::ops::Deref;

use thiserror::Error;
use time::Duration;

use crate::coupon::issued::{Coupon, CouponRejection, CouponState};
use crate::coupon::terms::{CampaignName, CouponTerms};
use crate::id::{CampaignId, CouponId, UserId};
use crate::store_error::InvalidRecord;
use crate::time::Timestamp;

/// The validity of a coupon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Validity {
    /// Until this time, regardless of the time of issue.
    Until(Timestamp),
    /// Multiples of 24 hours from the issue.
    Days(u16),
}

impl Validity {
    /// Ten years.
    pub const DAYS_MAX: u16 = 3_650;

    fn until(self, issued_at: Timestamp) -> Timestamp {
        match self {
            Self::Until(time) => time,
            Self::Days(days) => issued_at.saturating_add(Duration::days(i64::from(days))),
        }
    }
}

/// The settings of a campaign by the back office.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct CampaignDetails {
    pub terms: CouponTerms,
    pub quantity: u32,
    pub issue_opens_at: Timestamp,
    /// Exclusive.
    pub issue_closes_at: Timestamp,
    pub validity: Validity,
}

/// Validated [details](CampaignDetails).
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
            Validity::Until(time) if time <= details.issue_opens_at => Err(InvalidCampaign::ExpiresBeforeItOpens),
            Validity::Days(_) | Validity::Until(_) => Ok(Self(details)),
        }
    }
}

/// The details of a campaign to change; `None` leaves a detail as it is.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct CampaignChange {
    /// Of later coupons.
    pub name: Option<CampaignName>,
    /// Total number of coupons; at least the present one.
    pub quantity: Option<u32>,
    /// At latest the present closing time.
    pub issue_closes_at: Option<Timestamp>,
}

/// Reasons to reject the details of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the variants are named after their meanings")]
pub enum InvalidCampaign {
    #[error("the quantity is zero")]
    NoCoupons,
    #[error("issuing closes before it opens")]
    ClosesBeforeItOpens,
    /// Not 1 to [`Validity::DAYS_MAX`] days.
    #[error("the days of validity are not between 1 and 3,650")]
    ValidDays,
    #[error("its coupons expire before issuing opens")]
    ExpiresBeforeItOpens,
}

/// A campaign: a fixed number of coupons, one per user. Dereferences to its [record](CampaignRecord), which only the
/// methods below change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CouponCampaign(CampaignRecord);

/// A campaign as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct CampaignRecord {
    pub id: CampaignId,
    pub details: CampaignDetails,
    /// The number of issued coupons, at most the quantity.
    pub issued: u32,
    pub created_at: Timestamp,
    /// The last change by the back office.
    pub updated_at: Timestamp,
}

impl Deref for CouponCampaign {
    type Target = CampaignRecord;

    fn deref(&self) -> &CampaignRecord {
        &self.0
    }
}

impl CampaignDetails {
    /// The end of issuing, exclusive: the closing time, or the expiry of its coupons if that is earlier.
    fn issue_ends_at(&self) -> Timestamp {
        match self.validity {
            Validity::Until(time) => self.issue_closes_at.min(time),
            Validity::Days(_) => self.issue_closes_at,
        }
    }
}

impl CampaignRecord {
    /// The number of coupons left to issue.
    pub fn remaining(&self) -> u32 {
        self.details.quantity.saturating_sub(self.issued)
    }
}

impl CouponCampaign {
    /// A new campaign.
    pub fn create(id: CampaignId, plan: CampaignPlan, now: Timestamp) -> Self {
        Self(CampaignRecord { id, details: plan.0, issued: 0, created_at: now, updated_at: now })
    }

    /// Validates a stored record.
    ///
    /// # Errors
    /// More coupons issued than the quantity.
    pub fn from_stored(record: CampaignRecord) -> Result<Self, InvalidRecord> {
        if record.issued > record.details.quantity {
            return Err(InvalidRecord("more coupons issued than the quantity"));
        }
        Ok(Self(record))
    }

    /// Renames the campaign, raises its quantity, or advances its closing time.
    ///
    /// # Errors
    /// In this order: [`CouponRejection::Invalid`] for details that a new campaign could not have,
    /// [`CouponRejection::QuantityLowered`], [`CouponRejection::ClosingPostponed`].
    pub fn change(&self, change: &CampaignChange, now: Timestamp) -> Result<Self, CouponRejection> {
        let CampaignChange { name, quantity, issue_closes_at } = change;
        let present = &self.details;
        let name = name.as_ref().unwrap_or(&present.terms.name).clone();
        let CampaignPlan(details) = CampaignPlan::try_from(CampaignDetails {
            terms: CouponTerms { name, ..present.terms.clone() },
            quantity: quantity.unwrap_or(present.quantity),
            issue_closes_at: issue_closes_at.unwrap_or(present.issue_closes_at),
            ..present.clone()
        })?;
        if details.quantity < present.quantity {
            return Err(CouponRejection::QuantityLowered { quantity: present.quantity });
        }
        if details.issue_closes_at > present.issue_closes_at {
            return Err(CouponRejection::ClosingPostponed { issue_closes_at: present.issue_closes_at });
        }
        Ok(Self(CampaignRecord { details, updated_at: now, ..self.0.clone() }))
    }

    /// Issues a coupon and counts it.
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
        let CampaignDetails { terms, quantity, issue_opens_at, issue_closes_at: _, validity } = &self.details;
        let issue_closes_at = self.details.issue_ends_at();
        if now < *issue_opens_at {
            return Err(CouponRejection::CampaignNotOpen { issue_opens_at: *issue_opens_at });
        }
        if now >= issue_closes_at {
            return Err(CouponRejection::CampaignClosed { issue_closes_at });
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
