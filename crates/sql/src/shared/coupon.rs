use async_trait::async_trait;
use diesel::dsl::{AsSelect, SqlTypeOf};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt as _;
use jangteo_domain::coupon::{Coupon, CouponCampaign, CouponFilter, CouponQueries, CouponStatus};
use jangteo_domain::id::{CampaignId, CouponId};
use jangteo_domain::page::{AsOf, Page};
use jangteo_domain::{StoreError, UserId};

use super::Db;
use super::store::{Store, now};
use crate::rows::coupon::{CampaignRow, CouponRow, StateCode};
use crate::schema::{coupon_campaigns, coupons};
use crate::types::{At, Coded as _, Id, before_id};

#[async_trait]
impl CouponQueries for Store {
    async fn campaigns(&self, page: &Page<CampaignId>) -> Result<Vec<CouponCampaign>, StoreError> {
        let page = page.clone();
        let campaigns = self.read_lagging(move |connection| {
            async move {
                let campaigns = coupon_campaigns::table
                    .filter(coupon_campaigns::id.lt(before_id(page.after)))
                    .order(coupon_campaigns::id.desc())
                    .limit(page.limit.into())
                    .select(CampaignRow::as_select());
                Ok(campaigns.load(connection).await?)
            }
            .boxed()
        });
        campaigns.await?.into_iter().map(TryInto::try_into).collect()
    }

    async fn campaign(&self, id: CampaignId) -> Result<Option<CouponCampaign>, StoreError> {
        let campaign = self.find_lagging(move |connection| {
            async move {
                let campaign = coupon_campaigns::table.find(Id(id)).select(CampaignRow::as_select());
                Ok(campaign.first(connection).await.optional()?)
            }
            .boxed()
        });
        campaign.await?.map(TryInto::try_into).transpose()
    }

    async fn coupons(
        &self,
        user_id: &UserId,
        filter: CouponFilter,
        page: &Page<CouponId>,
    ) -> Result<AsOf<Vec<Coupon>>, StoreError> {
        let user_id = String::from(user_id.clone());
        let of_user = move || all_coupons().filter(coupons::user_id.eq(user_id.clone()));
        self.list_coupons(false, of_user, filter, page).await
    }

    async fn coupons_of_campaign(
        &self,
        campaign_id: CampaignId,
        filter: CouponFilter,
        page: &Page<CouponId>,
    ) -> Result<AsOf<Vec<Coupon>>, StoreError> {
        let of_campaign = move || all_coupons().filter(coupons::campaign_id.eq(Id(campaign_id)));
        self.list_coupons(true, of_campaign, filter, page).await
    }

    async fn unused(&self, user_id: &UserId) -> Result<AsOf<Vec<Coupon>>, StoreError> {
        let user_id = user_id.clone();
        let coupons = self.read(move |connection| {
            async move {
                let now = now(connection).await?;
                let coupons = coupons::table
                    .filter(coupons::user_id.eq(user_id.as_str()))
                    .filter(coupons::state.eq(StateCode::Unused.code()))
                    .order(coupons::id.asc())
                    .select(CouponRow::as_select());
                Ok((now, coupons.load(connection).await?))
            }
            .boxed()
        });
        let (now, rows) = coupons.await?;
        Ok(AsOf { now, value: rows.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()? })
    }
}

type BoxedCoupons = coupons::BoxedQuery<'static, Db, SqlTypeOf<AsSelect<CouponRow, Db>>>;

fn all_coupons() -> BoxedCoupons {
    coupons::table.select(CouponRow::as_select()).into_boxed()
}

impl Store {
    async fn list_coupons(
        &self,
        may_lag: bool,
        coupons_of: impl Fn() -> BoxedCoupons + Clone + Send + 'static,
        filter: CouponFilter,
        page: &Page<CouponId>,
    ) -> Result<AsOf<Vec<Coupon>>, StoreError> {
        let page = page.clone();
        let coupons = self.read_if(may_lag, move |connection| {
            async move {
                let now = now(connection).await?;
                let mut coupons = coupons_of()
                    .filter(coupons::id.lt(before_id(page.after)))
                    .order(coupons::id.desc())
                    .limit(page.limit.into());
                if let CouponFilter::Only(status) = filter {
                    coupons = coupons.filter(coupons::state.eq(state_of(status).code()));
                    coupons = match status {
                        CouponStatus::Usable => coupons.filter(coupons::valid_until.gt(At(now))),
                        CouponStatus::Expired => coupons.filter(coupons::valid_until.le(At(now))),
                        CouponStatus::Used | CouponStatus::Revoked => coupons,
                    };
                }
                Ok((now, coupons.load(connection).await?))
            }
            .boxed()
        });
        let (now, rows): (_, Vec<CouponRow>) = coupons.await?;
        Ok(AsOf { now, value: rows.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()? })
    }
}

/// The stored state of a status; expiry is not stored.
fn state_of(status: CouponStatus) -> StateCode {
    match status {
        CouponStatus::Usable | CouponStatus::Expired => StateCode::Unused,
        CouponStatus::Used => StateCode::Used,
        CouponStatus::Revoked => StateCode::Revoked,
    }
}
