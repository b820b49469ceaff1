//! The domain's rejections as problems. The matches are exhaustive.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use jangteo_domain::coupon::{CouponRejection, InvalidCampaign, NotUsableReason};
use jangteo_domain::delivery::DeliveryRejection;
use jangteo_domain::order::OrderRejection;
use jangteo_domain::payment::PaymentRejection;
use jangteo_domain::point::PointRejection;
use jangteo_domain::product::ProductRejection;
use jangteo_domain::stock::{Shortage, StockRejection};
use jangteo_domain::{Currency, Money, Rejection, Timestamp};

use crate::http::respond::problem::code::ProblemCode;
use crate::http::respond::problem::document::Problem;
use crate::http::respond::problem::field_error::FieldError;

/// The problem of a rejection, with the extension members of its code. Amounts are in that currency.
pub fn problem_of_rejection(rejection: &Rejection, currency: Currency) -> Problem {
    match rejection {
        Rejection::Point(rejection) => of_point(rejection, currency),
        Rejection::Product(rejection) => of_product(rejection),
        Rejection::Stock(rejection) => of_stock(rejection),
        Rejection::Coupon(rejection) => of_coupon(rejection),
        Rejection::Order(rejection) => of_order(rejection, currency),
        Rejection::Payment(rejection) => of_payment(rejection),
        Rejection::Delivery(DeliveryRejection::EventNotFound) => ProblemCode::EventNotFound.into(),
    }
}

fn of_point(rejection: &PointRejection, currency: Currency) -> Problem {
    match *rejection {
        PointRejection::TopUpLimitExceeded { top_up_max } => {
            with_money(ProblemCode::TopUpLimitExceeded, currency, &[("top_up_max", top_up_max)])
        }
        PointRejection::BalanceLimitExceeded { balance, balance_max } => with_money(
            ProblemCode::BalanceLimitExceeded,
            currency,
            &[("balance", balance), ("balance_max", balance_max)],
        ),
        PointRejection::InsufficientPoints { balance, required } => {
            with_money(ProblemCode::InsufficientPoints, currency, &[("balance", balance), ("required", required)])
        }
    }
}

fn of_product(rejection: &ProductRejection) -> Problem {
    let (code, product_id) = match rejection {
        ProductRejection::NotFound { product_id } => (ProblemCode::ProductNotFound, product_id),
        ProductRejection::NotOnSale { product_id } => (ProblemCode::ProductNotOnSale, product_id),
        ProductRejection::VersionChanged { product_id, .. } => (ProblemCode::PreconditionFailed, product_id),
        ProductRejection::SkuTaken { product_id, .. } => (ProblemCode::SkuTaken, product_id),
    };
    let problem = Problem::new(code).with("product_id", product_id.to_string());
    match rejection {
        ProductRejection::VersionChanged { version, .. } => problem.with("version", *version),
        ProductRejection::SkuTaken { sku, .. } => problem.with("sku", sku.as_str()),
        ProductRejection::NotFound { .. } | ProductRejection::NotOnSale { .. } => problem,
    }
}

fn of_stock(rejection: &StockRejection) -> Problem {
    match rejection {
        StockRejection::OutOfStock { shortages } => {
            let shortages: Vec<Value> = shortages.iter().map(shortage).collect();
            Problem::new(ProblemCode::OutOfStock).with("shortages", shortages)
        }
        StockRejection::TooMany { product_id } => {
            Problem::new(ProblemCode::StockLimitExceeded).with("product_id", product_id.to_string())
        }
    }
}

fn shortage(shortage: &Shortage) -> Value {
    json!({
        "product_id": shortage.product_id.to_string(),
        "requested": shortage.requested,
        "available": shortage.available,
    })
}

fn of_coupon(rejection: &CouponRejection) -> Problem {
    match *rejection {
        CouponRejection::CampaignNotFound => ProblemCode::CampaignNotFound.into(),
        CouponRejection::CampaignNotOpen { issue_opens_at } => {
            Problem::new(ProblemCode::CampaignNotOpen).with("issue_opens_at", rfc_3339(issue_opens_at))
        }
        CouponRejection::CampaignClosed { issue_closes_at } => {
            Problem::new(ProblemCode::CampaignClosed).with("issue_closes_at", rfc_3339(issue_closes_at))
        }
        CouponRejection::Invalid(invalid) => {
            let pointer = pointer_of_campaign(invalid).to_owned();
            Problem::of_fields(vec![FieldError { pointer, reason: invalid.into() }])
        }
        CouponRejection::AlreadyIssued => ProblemCode::CouponAlreadyIssued.into(),
        CouponRejection::SoldOut => ProblemCode::CouponSoldOut.into(),
        CouponRejection::QuantityLowered { quantity } => {
            Problem::new(ProblemCode::CampaignQuantityLowered).with("quantity", quantity)
        }
        CouponRejection::ClosingPostponed { issue_closes_at } => {
            Problem::new(ProblemCode::CampaignClosingPostponed).with("issue_closes_at", rfc_3339(issue_closes_at))
        }
        CouponRejection::NotFound => ProblemCode::CouponNotFound.into(),
        CouponRejection::NotUsable { coupon_id, reason } => Problem::new(ProblemCode::CouponNotUsable)
            .with("coupon_id", coupon_id.to_string())
            .with("reason", not_usable_reason(reason)),
    }
}

/// The pointer of the invalid field of a campaign.
pub fn pointer_of_campaign(invalid: InvalidCampaign) -> &'static str {
    match invalid {
        InvalidCampaign::NoCoupons => "/quantity",
        InvalidCampaign::ClosesBeforeItOpens => "/issue_closes_at",
        InvalidCampaign::ValidDays => "/valid_days",
        InvalidCampaign::ExpiresBeforeItOpens => "/valid_until",
    }
}

/// The member `reason` of `COUPON_NOT_USABLE`.
pub fn not_usable_reason(reason: NotUsableReason) -> &'static str {
    match reason {
        NotUsableReason::Used => "USED",
        NotUsableReason::Revoked => "REVOKED",
        NotUsableReason::Expired => "EXPIRED",
        NotUsableReason::MinOrderNotMet => "MIN_ORDER_NOT_MET",
    }
}

fn of_order(rejection: &OrderRejection, currency: Currency) -> Problem {
    match *rejection {
        OrderRejection::NotFound => ProblemCode::OrderNotFound.into(),
        OrderRejection::PriceChanged { expected_total, total } => {
            with_money(ProblemCode::PriceChanged, currency, &[("expected_total", expected_total), ("total", total)])
        }
        OrderRejection::TooManyOpenOrders { open_orders_max } => {
            Problem::new(ProblemCode::TooManyOpenOrders).with("open_orders_max", open_orders_max)
        }
        OrderRejection::TooManyUnpaidOrders { unpaid_orders_max } => {
            Problem::new(ProblemCode::TooManyUnpaidOrders).with("unpaid_orders_max", unpaid_orders_max)
        }
        OrderRejection::ReservationLimitExceeded { reserved, requested, reserved_quantity_max } => {
            Problem::new(ProblemCode::ReservationLimitExceeded)
                .with("reserved", reserved)
                .with("requested_quantity", requested)
                .with("reserved_quantity_max", reserved_quantity_max)
        }
        OrderRejection::Expired => ProblemCode::OrderExpired.into(),
        OrderRejection::AlreadyCancelled => ProblemCode::OrderAlreadyCancelled.into(),
        OrderRejection::NotPaid => ProblemCode::OrderNotPaid.into(),
        OrderRejection::RefundTooLarge { product_id, requested, refundable } => {
            Problem::new(ProblemCode::RefundTooLarge)
                .with("product_id", product_id.to_string())
                .with("requested", requested)
                .with("refundable", refundable)
        }
        OrderRejection::NotDue => ProblemCode::OrderNotDue.into(),
    }
}

fn of_payment(rejection: &PaymentRejection) -> Problem {
    let code = match rejection {
        PaymentRejection::OrderAlreadyPaid => ProblemCode::OrderAlreadyPaid,
        PaymentRejection::OrderCancelled => ProblemCode::OrderCancelled,
        PaymentRejection::OrderExpired => ProblemCode::OrderExpired,
    };
    code.into()
}

fn with_money(code: ProblemCode, currency: Currency, amounts: &[(&str, Money)]) -> Problem {
    amounts.iter().fold(Problem::new(code).with("currency", currency.code()), |problem, (name, amount)| {
        problem.with(name, currency.show(*amount).to_string())
    })
}

fn rfc_3339(time: Timestamp) -> String {
    time.to_offset_date_time().format(&Rfc3339).expect("a timestamp's years are those of RFC 3339")
}
