//! What callers can ask for. A command declares which rows it must hold locked, and decides purely.
//!
//! All that is particular to a command stands in its own file; `commands!` below is the one list of them.

use std::collections::BTreeSet;

use crate::audit::{AuditReason, Subject};
use crate::coupon::{Coupon, CouponCampaign};
use crate::delivery::Delivery;
use crate::id::{CouponId, IdSource, OrderId, ProductId, UserId};
use crate::order::Order;
use crate::outbox::EventRenderer;
use crate::payment::{Payment, Refund};
use crate::point::{AdjustmentReason, PointAccount, PointEntry};
use crate::product::Product;
use crate::rejection::Rejection;
use crate::rules::ShopRules;
use crate::stock::{Stock, StockMovement};
use crate::time::Timestamp;
use crate::transaction::{Appended, LockSet};
use crate::working_set::WorkingSet;

pub use crate::coupon::CouponChoice;

/// Declares the module, the export and the variant of each command.
macro_rules! commands {
    ($($module:ident::$command:ident $(with $($more:ident),+)?;)*) => {
        $(mod $module;)*
        $(pub use $module::{$command $($(, $more)+)?};)*

        /// A command. It names the id of the aggregate that it creates, so that a later command of the same batch can be
        /// about it; ids of what is written beside come from the [`Context`].
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[expect(missing_docs, reason = "each carries the command that it is named after")]
        pub enum Command {
            $($command($command),)*
        }

        impl Command {
            /// How it is decided.
            pub fn rule(&self) -> &dyn Decide {
                match self {
                    $(Self::$command(command) => command,)*
                }
            }
        }
    };
}

commands! {
    adjust_points::AdjustPoints;
    adjust_stock::AdjustStock;
    cancel_order::CancelOrder;
    change_campaign::ChangeCampaign;
    change_product::ChangeProduct with ProductChange;
    create_campaign::CreateCampaign;
    create_product::CreateProduct;
    expire_order::ExpireOrder;
    issue_coupon::IssueCoupon;
    pay_order::PayOrder;
    place_order::PlaceOrder;
    redeliver_event::RedeliverEvent;
    refund_order::RefundOrder;
    revoke_coupon::RevokeCoupon;
    top_up_points::TopUpPoints;
}

#[cfg(test)]
pub(crate) mod scene;

/// How a command is decided, and all else that the shop must know of it.
pub trait Decide {
    /// A short name for logs, metrics and the audit log; stored, so that it must never mean something else.
    fn name(&self) -> &'static str;

    /// What it is about.
    fn subject(&self) -> Subject;

    /// The reason that its caller gave.
    fn reason(&self) -> Option<&AuditReason> {
        None
    }

    /// Which tables it mostly touches, and of the rows that it locks the one which most callers want at once.
    fn contention(&self) -> (Side, Subject);

    /// The order that it is about, locked before anything else.
    fn order_id(&self) -> Option<OrderId> {
        None
    }

    /// The order that it places, so that a later command of the batch can declare what belongs to it.
    fn placed_order(&self) -> Option<(OrderId, OrderRefs)> {
        None
    }

    /// Declares every row that it reads, but for its order: `order` refers to the rows that belong to that, where it
    /// exists.
    fn declare_locks(&self, order: Option<&OrderRefs>, locks: &mut LockSet);

    /// Decides, on rows that do not change meanwhile. Reading a row that was not declared is a bug and panics.
    ///
    /// # Errors
    /// The rejection; nothing changes then.
    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection>;
}

/// What a command mostly touches. Commands of one side share tables, so a batch of them takes few statements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// Products, their stock, and the orders that reserve some of it.
    Stock,
    /// Points, coupons, and the orders that are paid.
    Wallet,
}

/// What a command about an order needs to know of it to declare the other rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderRefs {
    /// The user who placed it.
    pub user_id: UserId,
    /// The products of its lines.
    pub product_ids: BTreeSet<ProductId>,
    /// The coupon that paid a part of it.
    pub coupon_id: Option<CouponId>,
}

impl From<&Order> for OrderRefs {
    fn from(order: &Order) -> Self {
        Self {
            user_id: order.user_id.clone(),
            product_ids: order.lines.iter().map(|line| line.product_id).collect(),
            coupon_id: order.paid.as_ref().and_then(|paid| paid.coupon_id),
        }
    }
}

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
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The shop's rules.
    pub rules: &'a ShopRules,
    /// The database's time after the last lock.
    pub now: Timestamp,
    /// Where new ids come from.
    pub ids: &'a dyn IdSource,
    /// Renders the bodies of events.
    pub events: &'a dyn EventRenderer,
}

/// The outcome of a command: a reply, or a rejection that changed nothing.
pub type Outcome = Result<Reply, Rejection>;

/// A reply, and all that changes with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// What the caller gets.
    pub reply: Reply,
    /// The rows as they are afterwards, each at most once.
    pub states: States,
    /// The rows that are written beside.
    pub appended: Appended,
}

/// Rows as a decision leaves them.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each holds the rows that it is named after")]
pub struct States {
    pub orders: Vec<Order>,
    pub campaigns: Vec<CouponCampaign>,
    pub coupons: Vec<Coupon>,
    pub products: Vec<Product>,
    pub stocks: Vec<Stock>,
    pub accounts: Vec<PointAccount>,
    pub events: Vec<Delivery>,
}

/// What the caller of a command gets: the aggregate right after it, and where the answer depends on the time of the
/// decision that time too.
#[derive(Clone, PartialEq, Eq, Debug)]
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
