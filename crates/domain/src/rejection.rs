//! Rejections: business outcomes without effect, safe to show to the caller.

use thiserror::Error;

use crate::coupon::CouponRejection;
use crate::delivery::DeliveryRejection;
use crate::order::OrderRejection;
use crate::payment::PaymentRejection;
use crate::point::PointRejection;
use crate::product::ProductRejection;
use crate::stock::StockRejection;

/// A rejection of a command, by aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant carries the rejection of its aggregate")]
pub enum Rejection {
    #[error(transparent)]
    Point(#[from] PointRejection),
    #[error(transparent)]
    Product(#[from] ProductRejection),
    #[error(transparent)]
    Stock(#[from] StockRejection),
    #[error(transparent)]
    Coupon(#[from] CouponRejection),
    #[error(transparent)]
    Order(#[from] OrderRejection),
    /// At payment.
    #[error(transparent)]
    Payment(#[from] PaymentRejection),
    /// At a change of a delivery.
    #[error(transparent)]
    Delivery(#[from] DeliveryRejection),
}

impl Rejection {
    /// Whether it is stored for retries: where a state forbids the command. An absent subject may exist later, a caller
    /// with an old version retries with the current one, and an invalid value is no answer of the shop's state.
    pub fn is_stored(&self) -> bool {
        match self {
            Self::Product(ProductRejection::NotFound { .. } | ProductRejection::VersionChanged { .. })
            | Self::Coupon(
                CouponRejection::CampaignNotFound | CouponRejection::Invalid(_) | CouponRejection::NotFound,
            )
            | Self::Order(OrderRejection::NotFound)
            | Self::Delivery(DeliveryRejection::EventNotFound) => false,
            Self::Point(_)
            | Self::Product(ProductRejection::NotOnSale { .. } | ProductRejection::SkuTaken { .. })
            | Self::Stock(_)
            | Self::Coupon(
                CouponRejection::CampaignNotOpen { .. }
                | CouponRejection::CampaignClosed { .. }
                | CouponRejection::AlreadyIssued
                | CouponRejection::SoldOut
                | CouponRejection::QuantityLowered { .. }
                | CouponRejection::ClosingPostponed { .. }
                | CouponRejection::NotUsable { .. },
            )
            | Self::Order(
                OrderRejection::PriceChanged { .. }
                | OrderRejection::TooManyOpenOrders { .. }
                | OrderRejection::TooManyUnpaidOrders { .. }
                | OrderRejection::ReservationLimitExceeded { .. }
                | OrderRejection::Expired
                | OrderRejection::AlreadyCancelled
                | OrderRejection::NotPaid
                | OrderRejection::RefundTooLarge { .. }
                | OrderRejection::NotDue,
            )
            | Self::Payment(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{SequentialIds, samples};

    #[test]
    fn absent_subjects_old_versions_and_invalid_values_are_not_stored() {
        let rejections = samples::rejections(&SequentialIds::new());
        let not_stored: Vec<_> = rejections.into_iter().filter(|rejection| !rejection.is_stored()).collect();
        assert!(matches!(
            not_stored[..],
            [
                Rejection::Product(ProductRejection::NotFound { .. }),
                Rejection::Product(ProductRejection::VersionChanged { .. }),
                Rejection::Coupon(CouponRejection::CampaignNotFound),
                Rejection::Coupon(CouponRejection::Invalid(_)),
                Rejection::Coupon(CouponRejection::NotFound),
                Rejection::Order(OrderRejection::NotFound),
                Rejection::Delivery(DeliveryRejection::EventNotFound),
            ]
        ));
    }
}
