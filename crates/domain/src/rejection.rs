//! A rejection: the domain's "no", which changes nothing and which a caller may be told.

use thiserror::Error;

use crate::coupon::CouponRejection;
use crate::delivery::DeliveryRejection;
use crate::order::OrderRejection;
use crate::payment::PaymentRejection;
use crate::point::PointRejection;
use crate::product::ProductRejection;
use crate::stock::StockRejection;

/// Why a command was rejected, by the aggregate that rejected it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rejection {
    /// By a point account.
    #[error(transparent)]
    Point(#[from] PointRejection),
    /// By a product.
    #[error(transparent)]
    Product(#[from] ProductRejection),
    /// By a stock.
    #[error(transparent)]
    Stock(#[from] StockRejection),
    /// By a campaign or a coupon.
    #[error(transparent)]
    Coupon(#[from] CouponRejection),
    /// By an order.
    #[error(transparent)]
    Order(#[from] OrderRejection),
    /// By an order that is to be paid.
    #[error(transparent)]
    Payment(#[from] PaymentRejection),
    /// By an event that is to be delivered.
    #[error(transparent)]
    Delivery(#[from] DeliveryRejection),
}

impl Rejection {
    /// Whether it says that something is not there, rather than that its state forbids the command. Such an answer is
    /// not kept for a repeated request: what is missing now may be there later.
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
    fn only_what_is_not_there_is_not_found() {
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
