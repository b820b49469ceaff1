//! The domain's refusals, as clients are told of them. A refusal without a row here does not compile.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use jangteo_domain::coupon::{CouponRefusal, NotUsableReason};
use jangteo_domain::delivery::DeliveryRefusal;
use jangteo_domain::order::OrderRefusal;
use jangteo_domain::payment::PaymentRefusal;
use jangteo_domain::point::PointRefusal;
use jangteo_domain::product::ProductRefusal;
use jangteo_domain::stock::{Shortage, StockRefusal};
use jangteo_domain::{Currency, Money, Refusal, Timestamp};

use crate::problem::{Problem, ProblemCode};

/// The problem of a refusal, with the fields that its code carries. Amounts are in that currency.
pub fn problem_of_refusal(refusal: &Refusal, currency: Currency) -> Problem {
    match refusal {
        Refusal::Point(refusal) => of_point(refusal, currency),
        Refusal::Product(refusal) => of_product(refusal),
        Refusal::Stock(refusal) => of_stock(refusal),
        Refusal::Coupon(refusal) => of_coupon(refusal),
        Refusal::Order(refusal) => of_order(refusal, currency),
        Refusal::Payment(refusal) => of_payment(refusal),
        Refusal::Delivery(DeliveryRefusal::EventNotFound) => ProblemCode::EventNotFound.into(),
    }
}

fn of_point(refusal: &PointRefusal, currency: Currency) -> Problem {
    match *refusal {
        PointRefusal::ChargeLimitExceeded { charge_max } => {
            with_money(ProblemCode::ChargeLimitExceeded, currency, &[("charge_max", charge_max)])
        }
        PointRefusal::BalanceLimitExceeded { balance, balance_max } => with_money(
            ProblemCode::BalanceLimitExceeded,
            currency,
            &[("balance", balance), ("balance_max", balance_max)],
        ),
        PointRefusal::InsufficientPoints { balance, required } => {
            with_money(ProblemCode::InsufficientPoints, currency, &[("balance", balance), ("required", required)])
        }
    }
}

fn of_product(refusal: &ProductRefusal) -> Problem {
    let (code, product_id) = match refusal {
        ProductRefusal::NotFound { product_id } => (ProblemCode::ProductNotFound, product_id),
        ProductRefusal::NotOnSale { product_id } => (ProblemCode::ProductNotOnSale, product_id),
    };
    Problem::new(code).with("product_id", product_id.to_string())
}

fn of_stock(refusal: &StockRefusal) -> Problem {
    match refusal {
        StockRefusal::OutOfStock { shortages } => {
            let shortages: Vec<Value> = shortages.iter().map(shortage).collect();
            Problem::new(ProblemCode::OutOfStock).with("shortages", shortages)
        }
        StockRefusal::TooMany { product_id } => {
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

fn of_coupon(refusal: &CouponRefusal) -> Problem {
    match *refusal {
        CouponRefusal::CampaignNotFound => ProblemCode::CampaignNotFound.into(),
        CouponRefusal::CampaignNotOpen { issue_opens_at } => {
            Problem::new(ProblemCode::CampaignNotOpen).with("issue_opens_at", rfc_3339(issue_opens_at))
        }
        CouponRefusal::CampaignClosed { issue_closes_at } => {
            Problem::new(ProblemCode::CampaignClosed).with("issue_closes_at", rfc_3339(issue_closes_at))
        }
        CouponRefusal::AlreadyIssued => ProblemCode::CouponAlreadyIssued.into(),
        CouponRefusal::SoldOut => ProblemCode::CouponSoldOut.into(),
        CouponRefusal::QuantityLowered { quantity } => {
            Problem::new(ProblemCode::CampaignQuantityLowered).with("quantity", quantity)
        }
        CouponRefusal::ClosingPostponed { issue_closes_at } => {
            Problem::new(ProblemCode::CampaignClosingPostponed).with("issue_closes_at", rfc_3339(issue_closes_at))
        }
        CouponRefusal::NotFound => ProblemCode::CouponNotFound.into(),
        CouponRefusal::NotUsable { coupon_id, reason } => Problem::new(ProblemCode::CouponNotUsable)
            .with("coupon_id", coupon_id.to_string())
            .with("reason", not_usable_reason(reason)),
    }
}

/// The word for why a coupon does not apply.
pub fn not_usable_reason(reason: NotUsableReason) -> &'static str {
    match reason {
        NotUsableReason::Used => "USED",
        NotUsableReason::Revoked => "REVOKED",
        NotUsableReason::Expired => "EXPIRED",
        NotUsableReason::MinOrderNotMet => "MIN_ORDER_NOT_MET",
    }
}

fn of_order(refusal: &OrderRefusal, currency: Currency) -> Problem {
    match *refusal {
        OrderRefusal::NotFound => ProblemCode::OrderNotFound.into(),
        OrderRefusal::PriceChanged { expected_total, total } => {
            with_money(ProblemCode::PriceChanged, currency, &[("expected_total", expected_total), ("total", total)])
        }
        OrderRefusal::TooManyOpenOrders { open_orders_max } => {
            Problem::new(ProblemCode::TooManyOpenOrders).with("open_orders_max", open_orders_max)
        }
        OrderRefusal::Expired => ProblemCode::OrderExpired.into(),
        OrderRefusal::AlreadyCancelled => ProblemCode::OrderAlreadyCancelled.into(),
        OrderRefusal::NotPaid => ProblemCode::OrderNotPaid.into(),
        OrderRefusal::RefundTooLarge { product_id, requested, refundable } => Problem::new(ProblemCode::RefundTooLarge)
            .with("product_id", product_id.to_string())
            .with("requested", requested)
            .with("refundable", refundable),
        OrderRefusal::NotDue => ProblemCode::OrderNotDue.into(),
    }
}

fn of_payment(refusal: &PaymentRefusal) -> Problem {
    let code = match refusal {
        PaymentRefusal::OrderAlreadyPaid => ProblemCode::OrderAlreadyPaid,
        PaymentRefusal::OrderCancelled => ProblemCode::OrderCancelled,
        PaymentRefusal::OrderExpired => ProblemCode::OrderExpired,
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
