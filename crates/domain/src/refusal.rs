//! A refusal: the domain's "no", which changes nothing and which a caller may be told.

use thiserror::Error;

use crate::coupon::CouponRefusal;
use crate::delivery::DeliveryRefusal;
use crate::order::OrderRefusal;
use crate::payment::PaymentRefusal;
use crate::point::PointRefusal;
use crate::product::ProductRefusal;
use crate::stock::StockRefusal;

/// Why a command was refused, by the aggregate that refused it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Refusal {
    /// By a point account.
    #[error(transparent)]
    Point(#[from] PointRefusal),
    /// By a product.
    #[error(transparent)]
    Product(#[from] ProductRefusal),
    /// By a stock.
    #[error(transparent)]
    Stock(#[from] StockRefusal),
    /// By a campaign or a coupon.
    #[error(transparent)]
    Coupon(#[from] CouponRefusal),
    /// By an order.
    #[error(transparent)]
    Order(#[from] OrderRefusal),
    /// By an order that is to be paid.
    #[error(transparent)]
    Payment(#[from] PaymentRefusal),
    /// By an event that is to be delivered.
    #[error(transparent)]
    Delivery(#[from] DeliveryRefusal),
}

impl Refusal {
    /// Whether it says that something is not there, rather than that its state forbids the command. Such an answer is
    /// not kept for a repeated request: what is missing now may be there later.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Product(ProductRefusal::NotFound { .. })
            | Self::Coupon(CouponRefusal::CampaignNotFound | CouponRefusal::NotFound)
            | Self::Order(OrderRefusal::NotFound)
            | Self::Delivery(DeliveryRefusal::EventNotFound) => true,
            Self::Point(_)
            | Self::Product(ProductRefusal::NotOnSale { .. })
            | Self::Stock(_)
            | Self::Coupon(
                CouponRefusal::CampaignNotOpen { .. }
                | CouponRefusal::CampaignClosed { .. }
                | CouponRefusal::AlreadyIssued
                | CouponRefusal::SoldOut
                | CouponRefusal::QuantityLowered { .. }
                | CouponRefusal::ClosingPostponed { .. }
                | CouponRefusal::NotUsable { .. },
            )
            | Self::Order(
                OrderRefusal::PriceChanged { .. }
                | OrderRefusal::TooManyOpenOrders { .. }
                | OrderRefusal::Expired
                | OrderRefusal::AlreadyCancelled
                | OrderRefusal::NotPaid
                | OrderRefusal::RefundTooLarge { .. }
                | OrderRefusal::NotDue,
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
        let refusals = samples::refusals(&SequentialIds::new());
        let not_found: Vec<_> = refusals.into_iter().filter(Refusal::is_not_found).collect();
        assert!(matches!(
            not_found[..],
            [
                Refusal::Product(ProductRefusal::NotFound { .. }),
                Refusal::Coupon(CouponRefusal::CampaignNotFound),
                Refusal::Coupon(CouponRefusal::NotFound),
                Refusal::Order(OrderRefusal::NotFound),
                Refusal::Delivery(DeliveryRefusal::EventNotFound),
            ]
        ));
    }
}
