//! Fixtures. Fields of records are public, so a test overrides the relevant ones with `..`:
//! `ProductDetails { status: ProductStatus::Hidden, ..product_details("lamp", 12_000) }`.
//!
//! Every function panics on invalid input.

use std::collections::BTreeMap;
use std::sync::Arc;

use time::Duration;

use crate::command::Actor;
use crate::coupon::{
    CampaignDetails, CampaignPlan, CampaignRecord, CouponCampaign, CouponTerms, Discount, Percent, Validity,
};
use crate::id::{CampaignId, EventId, OrderId, ProductId, UserId};
use crate::money::{Currency, Money, PositiveMoney};
use crate::order::{Order, OrderLine, OrderLines, OrderRecord};
use crate::outbox::OutboxEvent;
use crate::point::{PointAccount, PointAccountRecord};
use crate::product::{Options, Price, ProductDetails, ProductStatus};
use crate::rules::ShopRules;
use crate::testing::support::OffsetCalendar;
use crate::text::Text;
use crate::time::Timestamp;

/// 2030-01-01T12:00:00Z.
pub const NOON: Timestamp = match Timestamp::from_unix_microseconds(1_893_499_200_000_000) {
    Some(noon) => noon,
    None => unreachable!(),
};

/// `seconds` after [`NOON`], or before it if negative.
pub fn noon_plus(seconds: i64) -> Timestamp {
    NOON.saturating_add(Duration::seconds(seconds))
}

/// KRW, the currency of all fixtures; it has no decimals.
pub fn won_currency() -> Currency {
    Currency::from_code("KRW").expect("KRW is a currency")
}

/// An amount in main units.
pub fn won(units: i64) -> Money {
    Money::from_units(units).expect("an amount in range")
}

/// A positive amount in main units.
pub fn positive(units: i64) -> PositiveMoney {
    won(units).try_into().expect("an amount above zero")
}

/// Any bounded text.
pub fn text<const MIN: usize, const MAX: usize>(text: &str) -> Text<MIN, MAX> {
    text.to_owned().try_into().expect("a valid text")
}

/// A user id.
pub fn user(id: &str) -> UserId {
    id.parse().expect("a user id")
}

/// The user as caller, without back-office rights.
pub fn customer(id: &UserId) -> Actor {
    Actor { user_id: id.clone(), is_admin: false }
}

/// A caller with back-office rights.
pub fn admin() -> Actor {
    Actor { user_id: user("admin"), is_admin: true }
}

/// A product on sale, without options and SKU.
pub fn product_details(name: &str, price: i64) -> ProductDetails {
    ProductDetails {
        sku: None,
        name: text(name),
        description: text(""),
        category: text("misc"),
        options: Options::default(),
        item_group_id: None,
        price: Price::try_from(won(price)).expect("a price"),
        status: ProductStatus::OnSale,
    }
}

/// Options from pairs of name and value.
pub fn options(pairs: &[(&str, &str)]) -> Options {
    let options = pairs.iter().map(|(name, value)| (text(name), text(value)));
    Options::try_from(options.collect::<BTreeMap<_, _>>()).expect("few options")
}

/// A fixed discount in main units.
pub fn fixed(amount: i64) -> Discount {
    Discount::Fixed { amount: positive(amount) }
}

/// A percentage discount without a cap.
pub fn percent(percent: u8) -> Discount {
    Discount::Percent { percent: Percent::try_from(percent).expect("a percentage"), cap: None }
}

/// A campaign that is always open; its coupons are valid for 30 days and for every order.
pub fn campaign_details(discount: Discount, quantity: u32) -> CampaignDetails {
    CampaignDetails {
        terms: CouponTerms { name: text("welcome"), discount, min_order_amount: None },
        quantity,
        issue_opens_at: Timestamp::MIN,
        issue_closes_at: Timestamp::MAX,
        validity: Validity::Days(30),
    }
}

/// The documented defaults, in KRW and UTC.
pub fn rules() -> ShopRules {
    ShopRules {
        currency: won_currency(),
        top_up_max: won(1_000_000),
        balance_max: won(10_000_000),
        order_ttl: Duration::minutes(10),
        order_lines_max: 100,
        order_quantity_max: 1_000,
        open_orders_max: 20,
        unpaid_orders_max: 500,
        reserved_quantity_max: 1_000,
        calendar: Arc::new(OffsetCalendar::UTC),
    }
}

/// Requested lines under the default [`rules`].
pub fn order_lines(lines: &[(ProductId, u32)]) -> OrderLines {
    let lines = lines.iter().map(|(product_id, quantity)| (*product_id, i64::from(*quantity)));
    OrderLines::new(lines, rules().line_limits()).expect("lines within the rules")
}

/// An order line without discount or refunds.
pub fn order_line(product_id: ProductId, quantity: u32, unit_price: i64) -> OrderLine {
    OrderLine {
        product_id,
        name: "lamp".to_owned(),
        quantity,
        unit_price: won(unit_price),
        discount_share: Money::ZERO,
        refunded_quantity: 0,
    }
}

/// An order that can be paid within ten minutes of `now`.
pub fn pending_order(id: OrderId, user_id: &UserId, lines: Vec<OrderLine>, now: Timestamp) -> Order {
    Order::place(id, user_id, lines, None, &rules(), now).expect("no total is expected")
}

/// The order of a valid record.
pub fn stored_order(record: OrderRecord) -> Order {
    Order::from_stored(record).expect("a record of an order")
}

/// The account of a valid record.
pub fn stored_account(record: PointAccountRecord) -> PointAccount {
    PointAccount::from_stored(record).expect("a record of an account")
}

/// The account of a user with changed fields.
pub fn account_with(user_id: &UserId, change: impl FnOnce(&mut PointAccountRecord)) -> PointAccount {
    let mut record = PointAccountRecord::clone(&PointAccount::empty(user_id.clone()));
    change(&mut record);
    stored_account(record)
}

/// The order with changed fields.
pub fn order_with(order: &Order, change: impl FnOnce(&mut OrderRecord)) -> Order {
    let mut record = OrderRecord::clone(order);
    change(&mut record);
    stored_order(record)
}

/// An event at [`NOON`], without content.
pub fn event(id: EventId, order_id: OrderId, sequence: u32) -> OutboxEvent {
    let event_type = "jangteo.order.paid.v1".to_owned();
    OutboxEvent { id, order_id, sequence, at: NOON, event_type, body: "{}".to_owned() }
}

/// The campaign of a valid record.
pub fn stored_campaign(record: CampaignRecord) -> CouponCampaign {
    CouponCampaign::from_stored(record).expect("a record of a campaign")
}

/// The plan of valid details.
pub fn plan(details: CampaignDetails) -> CampaignPlan {
    details.try_into().expect("valid details")
}

/// A campaign created at [`NOON`].
pub fn campaign(id: CampaignId, details: CampaignDetails) -> CouponCampaign {
    CouponCampaign::create(id, plan(details), NOON)
}
