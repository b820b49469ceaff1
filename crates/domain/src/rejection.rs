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
    /// Whether the subject does not exist, as opposed to a state that forbids the command. Such a rejection is not stored
    /// for retries: the subject may exist later.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Product(ProductRejection::NotFound { .. })
            | Self::Coupon(CouponRejection::CampaignNotFound | CouponRejection::NotFound)
            | Self::Order(OrderRejection::NotFound)
            | Self::Delivery(DeliveryRejection::EventNotFound) => true,
            Self::Point(_)
            | Self::Product(ProductRejection::NotOnSale { .. })
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
                | OrderRejection::Expired
                | OrderRejection::AlreadyCancelled
                | OrderRejection::NotPaid
                | OrderRejection::RefundTooLarge { .. }
                | OrderRejection::NotDue,
            )
            | Self::Payment(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{SequentialIds, samples};

    #[test]
    fn only_absent_subjects_are_not_found() {
        let rejections = samples::rejections(&SequentialIds::new());
        let not_found: Vec<_> = rejections.into_iter().filter(Rejection::is_not_found).collect();
        assert!(matches!(
            not_found[..],
            [
                Rejection::Product(ProductRejection::NotFound { .. }),
                Rejection::Coupon(CouponRejection::CampaignNotFound),
                Rejection::Coupon(CouponRejection::NotFound),
                Rejection::Order(OrderRejection::NotFound),
                Rejection::Delivery(DeliveryRejection::EventNotFound),
            ]
        ));
    }
}
