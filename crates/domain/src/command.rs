//! What callers can ask for. Each command says which rows it must hold locked, and decides purely.

use crate::audit::{AuditReason, Subject};
use crate::coupon::{Coupon, CouponCampaign, CouponEvent};
use crate::delivery::Delivery;
use crate::id::{IdSource, OrderId, UserId};
use crate::order::{Order, OrderEvent};
use crate::outbox::OutboxEvent;
use crate::payment::{Payment, Refund};
use crate::point::{AdjustmentReason, PointEntry};
use crate::product::{Product, ProductEvent};
use crate::rejection::Rejection;
use crate::rules::ShopRules;
use crate::sales::SaleCounted;
use crate::stock::StockMovement;
use crate::time::Timestamp;
use crate::working_set::{Locks, OrderRefs, WorkingSet};

mod adjust_points;
mod adjust_stock;
mod cancel_order;
mod change_campaign;
mod change_product;
mod create_campaign;
mod create_product;
mod expire_order;
#[cfg(test)]
mod histories;
mod issue_coupon;
mod pay_order;
mod place_order;
mod redeliver_event;
mod refund_order;
mod revoke_coupon;
#[cfg(test)]
pub(crate) mod scene;
mod top_up_points;

pub use crate::coupon::CouponChoice;
pub use adjust_points::AdjustPoints;
pub use adjust_stock::AdjustStock;
pub use cancel_order::CancelOrder;
pub use change_campaign::ChangeCampaign;
pub use change_product::{ChangeProduct, ProductChange};
pub use create_campaign::CreateCampaign;
pub use create_product::CreateProduct;
pub use expire_order::ExpireOrder;
pub use issue_coupon::IssueCoupon;
pub use pay_order::PayOrder;
pub use place_order::PlaceOrder;
pub use redeliver_event::RedeliverEvent;
pub use refund_order::RefundOrder;
pub use revoke_coupon::RevokeCoupon;
pub use top_up_points::TopUpPoints;

/// Who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    /// The user.
    pub user_id: UserId,
    /// Whether the user works in the back office, and so sees everybody's orders.
    pub is_admin: bool,
}

impl Actor {
    /// Whether what belongs to `owner` exists for this caller.
    pub fn may_see(&self, owner: &UserId) -> bool {
        self.is_admin || self.user_id == *owner
    }
}

/// What a command decides with, besides the rows.
pub struct Context<'a> {
    /// The shop's rules.
    pub rules: &'a ShopRules,
    /// The database's time, read once all locks were held.
    pub now: Timestamp,
    /// Where new ids come from.
    pub ids: &'a dyn IdSource,
}

/// What a command came to: an answer, or a rejection that changed nothing.
pub type Outcome = Result<Reply, Rejection>;

/// The answer to a command and the events that bring its effect about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// What the caller is told.
    pub reply: Reply,
    /// What happens, in this order.
    pub events: Vec<Event>,
}

/// Something that happens to an aggregate, or is written beside it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each carries the event of the aggregate that it is named after")]
pub enum Event {
    Product(ProductEvent),
    Stock(StockMovement),
    Coupon(CouponEvent),
    Order(OrderEvent),
    Point(PointEntry),
    Payment(Payment),
    Refund(Refund),
    Sale(SaleCounted),
    Outbox(Box<OutboxEvent>),
    Delivery(Box<Delivery>),
}

/// A command. It names the id of the aggregate that it makes, so that a later command of the same batch can be about
/// it; ids of what is written beside come from the [`Context`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each carries the command that it is named after")]
pub enum Command {
    TopUpPoints(TopUpPoints),
    AdjustPoints(AdjustPoints),
    CreateProduct(CreateProduct),
    ChangeProduct(ChangeProduct),
    AdjustStock(AdjustStock),
    CreateCampaign(CreateCampaign),
    ChangeCampaign(ChangeCampaign),
    IssueCoupon(IssueCoupon),
    RevokeCoupon(RevokeCoupon),
    PlaceOrder(PlaceOrder),
    PayOrder(PayOrder),
    CancelOrder(CancelOrder),
    RefundOrder(RefundOrder),
    ExpireOrder(ExpireOrder),
    RedeliverEvent(RedeliverEvent),
}

/// What the caller of a command is told: the aggregate right after it, and where the answer depends on the time of
/// the decision that time too, so that a repeated answer is the same to the byte.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[expect(missing_docs, reason = "each carries what the command that it is named after is about")]
pub enum Reply {
    PointsToppedUp(PointEntry),
    PointsAdjusted { entry: PointEntry, reason: AdjustmentReason },
    ProductCreated { product: Product, available: u32 },
    ProductChanged { product: Product, available: u32 },
    StockAdjusted(StockMovement),
    CampaignCreated(CouponCampaign),
    CampaignChanged(CouponCampaign),
    CouponIssued { coupon: Coupon, now: Timestamp },
    CouponRevoked { coupon: Coupon, now: Timestamp },
    OrderPlaced { order: Order, now: Timestamp },
    OrderPaid(Payment),
    OrderCancelled { order: Order, now: Timestamp },
    OrderRefunded { refund: Refund, order: Order },
    OrderExpired(OrderId),
    EventRedelivered(Delivery),
}

/// How a command is decided.
pub(crate) trait Decide {
    /// Names the rows that the command needs and that it knows from the start.
    fn declare_locks(&self, locks: &mut Locks);

    /// The order that the command is about, where it is about one that exists.
    fn order_id(&self) -> Option<OrderId> {
        None
    }

    /// Names the rows that the command needs and that it learns from its order, which is locked by now.
    fn declare_locks_of_order(&self, _order: &OrderRefs, _locks: &mut Locks) {}

    /// Decides, on rows that do not change meanwhile; reads nothing that was not named.
    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection>;
}

impl Command {
    pub(crate) fn rule(&self) -> &dyn Decide {
        match self {
            Self::TopUpPoints(command) => command,
            Self::AdjustPoints(command) => command,
            Self::CreateProduct(command) => command,
            Self::ChangeProduct(command) => command,
            Self::AdjustStock(command) => command,
            Self::CreateCampaign(command) => command,
            Self::ChangeCampaign(command) => command,
            Self::IssueCoupon(command) => command,
            Self::RevokeCoupon(command) => command,
            Self::PlaceOrder(command) => command,
            Self::PayOrder(command) => command,
            Self::CancelOrder(command) => command,
            Self::RefundOrder(command) => command,
            Self::ExpireOrder(command) => command,
            Self::RedeliverEvent(command) => command,
        }
    }

    /// Decides the command and, unless it is rejected, brings its effect about in the working set. A rejected command
    /// leaves the set as it was.
    pub fn decide(&self, set: &mut WorkingSet, context: &Context<'_>) -> Outcome {
        let Decision { reply, events } = self.rule().decide(set, context)?;
        for event in events {
            set.apply(event);
        }
        Ok(reply)
    }

    /// What it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::TopUpPoints(command) => Subject::User(command.user_id.clone()),
            Self::AdjustPoints(command) => Subject::User(command.user_id.clone()),
            Self::CreateProduct(command) => Subject::Product(command.product_id),
            Self::ChangeProduct(command) => Subject::Product(command.product_id),
            Self::AdjustStock(command) => Subject::Product(command.product_id),
            Self::CreateCampaign(command) => Subject::Campaign(command.campaign_id),
            Self::ChangeCampaign(command) => Subject::Campaign(command.campaign_id),
            Self::IssueCoupon(command) => Subject::Coupon(command.coupon_id),
            Self::RevokeCoupon(command) => Subject::Coupon(command.coupon_id),
            Self::PlaceOrder(command) => Subject::Order(command.order_id),
            Self::PayOrder(command) => Subject::Order(command.order_id),
            Self::CancelOrder(command) => Subject::Order(command.order_id),
            Self::RefundOrder(command) => Subject::Order(command.order_id),
            Self::ExpireOrder(command) => Subject::Order(command.order_id),
            Self::RedeliverEvent(command) => Subject::Event(command.event_id),
        }
    }

    /// Why it is asked for, where it says so.
    pub fn reason(&self) -> Option<&AuditReason> {
        match self {
            Self::AdjustPoints(command) => Some(&command.reason),
            Self::AdjustStock(command) => Some(&command.reason),
            Self::RefundOrder(command) => Some(&command.reason),
            Self::TopUpPoints(_)
            | Self::CreateProduct(_)
            | Self::ChangeProduct(_)
            | Self::CreateCampaign(_)
            | Self::ChangeCampaign(_)
            | Self::IssueCoupon(_)
            | Self::RevokeCoupon(_)
            | Self::PlaceOrder(_)
            | Self::PayOrder(_)
            | Self::CancelOrder(_)
            | Self::ExpireOrder(_)
            | Self::RedeliverEvent(_) => None,
        }
    }

    /// A short name for logs, metrics and the audit log; one that is written there must never mean something else.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TopUpPoints(_) => "top_up_points",
            Self::AdjustPoints(_) => "adjust_points",
            Self::CreateProduct(_) => "create_product",
            Self::ChangeProduct(_) => "change_product",
            Self::AdjustStock(_) => "adjust_stock",
            Self::CreateCampaign(_) => "create_campaign",
            Self::ChangeCampaign(_) => "change_campaign",
            Self::IssueCoupon(_) => "issue_coupon",
            Self::RevokeCoupon(_) => "revoke_coupon",
            Self::PlaceOrder(_) => "place_order",
            Self::PayOrder(_) => "pay_order",
            Self::CancelOrder(_) => "cancel_order",
            Self::RefundOrder(_) => "refund_order",
            Self::ExpireOrder(_) => "expire_order",
            Self::RedeliverEvent(_) => "redeliver_event",
        }
    }
}
