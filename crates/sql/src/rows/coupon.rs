use jangteo_domain::coupon::{
    CampaignDetails, CampaignName, CampaignRecord, Coupon, CouponCampaign, CouponState, CouponTerms, Discount, Percent,
    Validity,
};
use jangteo_domain::id::{CampaignId, CouponId, OrderId};
use jangteo_domain::{StoreError, UserId};

use crate::rows::{corrupt, lookups, rows};
use crate::types::{Amount, At, Code, Id, Integer, Varchar, codes};

rows! {
    CampaignRow of coupon_campaigns {
        id: Id<CampaignId>,
    } {
        name: Varchar<CampaignName>,
        discount_kind: Code<DiscountKind>,
        discount_amount: Option<Amount>,
        discount_percent: Option<Integer<u8>>,
        discount_cap: Option<Amount>,
        min_order_amount: Option<Amount>,
        quantity: Integer<u32>,
        issued: Integer<u32>,
        issue_opens_at: At,
        issue_closes_at: At,
        valid_until: Option<At>,
        valid_days: Option<Integer<u16>>,
        created_at: At,
        updated_at: At,
    }

    CouponRow of coupons {
        id: Id<CouponId>,
    } {
        campaign_id: Id<CampaignId>,
        user_id: Varchar<UserId>,
        name: Varchar<CampaignName>,
        discount_kind: Code<DiscountKind>,
        discount_amount: Option<Amount>,
        discount_percent: Option<Integer<u8>>,
        discount_cap: Option<Amount>,
        min_order_amount: Option<Amount>,
        state: Code<StateCode>,
        order_id: Option<Id<OrderId>>,
        used_at: Option<At>,
        valid_until: At,
        issued_at: At,
    }

    /// A coupon that may be unused.
    CandidateRow of coupons {
        id: Id<CouponId>,
    } {
        user_id: Varchar<UserId>,
        state: Code<StateCode>,
    }

    /// Evidence that a user has received a coupon of a campaign.
    PastRecipientRow of coupons {
        campaign_id: Id<CampaignId>,
        user_id: Varchar<UserId>,
    } {}
}

lookups! {
    CampaignById finds CampaignRow by "PRIMARY" { id: Id<CampaignId>, }
    CouponById finds CouponRow by "PRIMARY" { id: Id<CouponId>, }
    PastRecipientOf finds PastRecipientRow by "uq_coupons_campaign_user" { campaign_id: Id<CampaignId>, user_id: Varchar<UserId>, }
    CandidatesOf finds CandidateRow by "ix_coupons_user" { user_id: Varchar<UserId>, }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiscountKind {
    Fixed,
    Percent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateCode {
    Unused,
    Used,
    Revoked,
}

codes! {
    DiscountKind {
        Fixed = "fixed",
        Percent = "percent",
    }
    StateCode {
        Unused = "unused",
        Used = "used",
        Revoked = "revoked",
    }
}

/// The columns of the terms, the same in campaigns and coupons.
struct TermsColumns {
    name: Varchar<CampaignName>,
    discount_kind: Code<DiscountKind>,
    discount_amount: Option<Amount>,
    discount_percent: Option<Integer<u8>>,
    discount_cap: Option<Amount>,
    min_order_amount: Option<Amount>,
}

impl From<&CouponTerms> for TermsColumns {
    fn from(terms: &CouponTerms) -> Self {
        let (discount_kind, discount_amount, discount_percent, discount_cap) = match terms.discount {
            Discount::Fixed { amount } => (DiscountKind::Fixed, Some(Amount(amount.get())), None, None),
            Discount::Percent { percent, cap } => {
                (DiscountKind::Percent, None, Some(Integer(percent.get())), cap.map(|cap| Amount(cap.get())))
            }
        };
        Self {
            name: Varchar(terms.name.clone()),
            discount_kind: Code(discount_kind),
            discount_amount,
            discount_percent,
            discount_cap,
            min_order_amount: terms.min_order_amount.map(|amount| Amount(amount.get())),
        }
    }
}

impl TryFrom<TermsColumns> for CouponTerms {
    type Error = StoreError;

    fn try_from(columns: TermsColumns) -> Result<Self, StoreError> {
        let positive = |amount: Amount| amount.0.try_into().map_err(corrupt);
        let discount = match (columns.discount_kind.0, columns.discount_amount, columns.discount_percent) {
            (DiscountKind::Fixed, Some(amount), _) => Discount::Fixed { amount: positive(amount)? },
            (DiscountKind::Percent, _, Some(Integer(percent))) => Discount::Percent {
                percent: Percent::try_from(percent).map_err(corrupt)?,
                cap: columns.discount_cap.map(positive).transpose()?,
            },
            (DiscountKind::Fixed, None, _) | (DiscountKind::Percent, _, None) => {
                return Err(StoreError::corrupt("a discount without amount or percentage"));
            }
        };
        let min_order_amount = columns.min_order_amount.map(positive).transpose()?;
        Ok(Self { name: columns.name.0, discount, min_order_amount })
    }
}

impl From<&CouponCampaign> for CampaignRow {
    fn from(campaign: &CouponCampaign) -> Self {
        let CampaignDetails { terms, quantity, issue_opens_at, issue_closes_at, validity } = &campaign.details;
        let terms = TermsColumns::from(terms);
        let (valid_until, valid_days) = match *validity {
            Validity::Until(time) => (Some(At(time)), None),
            Validity::Days(days) => (None, Some(Integer(days))),
        };
        Self {
            id: Id(campaign.id),
            name: terms.name,
            discount_kind: terms.discount_kind,
            discount_amount: terms.discount_amount,
            discount_percent: terms.discount_percent,
            discount_cap: terms.discount_cap,
            min_order_amount: terms.min_order_amount,
            quantity: Integer(*quantity),
            issued: Integer(campaign.issued),
            issue_opens_at: At(*issue_opens_at),
            issue_closes_at: At(*issue_closes_at),
            valid_until,
            valid_days,
            created_at: At(campaign.created_at),
            updated_at: At(campaign.updated_at),
        }
    }
}

impl TryFrom<CampaignRow> for CouponCampaign {
    type Error = StoreError;

    fn try_from(row: CampaignRow) -> Result<Self, StoreError> {
        Ok(Self::from_stored(row.try_into()?)?)
    }
}

impl TryFrom<CampaignRow> for CampaignRecord {
    type Error = StoreError;

    fn try_from(row: CampaignRow) -> Result<Self, StoreError> {
        let terms = TermsColumns {
            name: row.name,
            discount_kind: row.discount_kind,
            discount_amount: row.discount_amount,
            discount_percent: row.discount_percent,
            discount_cap: row.discount_cap,
            min_order_amount: row.min_order_amount,
        };
        let validity = match (row.valid_until, row.valid_days) {
            (Some(At(time)), None) => Validity::Until(time),
            (None, Some(Integer(days))) => Validity::Days(days),
            (Some(_), Some(_)) | (None, None) => {
                return Err(StoreError::corrupt("a campaign without exactly one of valid_until and valid_days"));
            }
        };
        Ok(Self {
            id: row.id.0,
            details: CampaignDetails {
                terms: terms.try_into()?,
                quantity: row.quantity.0,
                issue_opens_at: row.issue_opens_at.0,
                issue_closes_at: row.issue_closes_at.0,
                validity,
            },
            issued: row.issued.0,
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
        })
    }
}

fn state_columns(state: CouponState) -> (Code<StateCode>, Option<Id<OrderId>>, Option<At>) {
    match state {
        CouponState::Unused => (Code(StateCode::Unused), None, None),
        CouponState::Used { order_id, at } => (Code(StateCode::Used), Some(Id(order_id)), Some(At(at))),
        CouponState::Revoked => (Code(StateCode::Revoked), None, None),
    }
}

impl From<&Coupon> for CouponRow {
    fn from(coupon: &Coupon) -> Self {
        let terms = TermsColumns::from(&coupon.terms);
        let (state, order_id, used_at) = state_columns(coupon.state);
        Self {
            id: Id(coupon.id),
            campaign_id: Id(coupon.campaign_id),
            user_id: Varchar(coupon.user_id.clone()),
            name: terms.name,
            discount_kind: terms.discount_kind,
            discount_amount: terms.discount_amount,
            discount_percent: terms.discount_percent,
            discount_cap: terms.discount_cap,
            min_order_amount: terms.min_order_amount,
            state,
            order_id,
            used_at,
            valid_until: At(coupon.valid_until),
            issued_at: At(coupon.issued_at),
        }
    }
}

impl TryFrom<CouponRow> for Coupon {
    type Error = StoreError;

    fn try_from(row: CouponRow) -> Result<Self, StoreError> {
        let terms = TermsColumns {
            name: row.name,
            discount_kind: row.discount_kind,
            discount_amount: row.discount_amount,
            discount_percent: row.discount_percent,
            discount_cap: row.discount_cap,
            min_order_amount: row.min_order_amount,
        };
        let state = match (row.state.0, row.order_id, row.used_at) {
            (StateCode::Unused, None, None) => CouponState::Unused,
            (StateCode::Used, Some(Id(order_id)), Some(At(at))) => CouponState::Used { order_id, at },
            (StateCode::Revoked, None, None) => CouponState::Revoked,
            (StateCode::Unused | StateCode::Used | StateCode::Revoked, _, _) => {
                return Err(StoreError::corrupt("a coupon with inconsistent state and order"));
            }
        };
        Ok(Self {
            id: row.id.0,
            campaign_id: row.campaign_id.0,
            user_id: row.user_id.0,
            terms: terms.try_into()?,
            state,
            valid_until: row.valid_until.0,
            issued_at: row.issued_at.0,
        })
    }
}
