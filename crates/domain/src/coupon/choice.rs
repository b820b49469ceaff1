use crate::coupon::{Coupon, CouponRejection};
use crate::id::CouponId;
use crate::money::{Currency, Money};
use crate::time::Timestamp;

/// Which coupon a payment uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CouponChoice {
    /// None: the full price.
    None,
    /// This one, or no payment.
    Named(CouponId),
    /// The one that takes most off, or none where none takes anything off.
    Best,
}

impl CouponChoice {
    /// The coupon to use for a total, of a user's coupons, and what it takes off.
    ///
    /// # Errors
    /// For a named one, in this order: [`CouponRejection::NotFound`] when it is not among them,
    /// [`CouponRejection::NotUsable`].
    pub fn choose<'a>(
        self,
        coupons: impl IntoIterator<Item = &'a Coupon>,
        total: Money,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Option<(&'a Coupon, Money)>, CouponRejection> {
        match self {
            Self::None => Ok(None),
            Self::Named(id) => {
                let coupon = coupons.into_iter().find(|coupon| coupon.id == id).ok_or(CouponRejection::NotFound)?;
                let discount = coupon.discount(total, currency, now).map_err(|reason| coupon.not_usable(reason))?;
                Ok(Some((coupon, discount)))
            }
            Self::Best => Ok(Coupon::best(coupons, total, currency, now)),
        }
    }
}
