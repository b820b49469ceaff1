use std::collections::BTreeSet;

use uuid::Uuid;

use crate::audit::{AuditReason, Subject};
use crate::id::{CouponId, IdSource, OrderId, ProductId, UserId};
use crate::order::Order;
use crate::outbox::EventRenderer;
use crate::outcome::Reply;
use crate::rejection::Rejection;
use crate::rules::ShopRules;
use crate::time::Timestamp;
use crate::transaction::{Appended, LockSet, States};
use crate::working_set::WorkingSet;

/// The rule and the metadata of a command.
pub trait Decide {
    /// The reason given by the caller.
    fn reason(&self) -> Option<&AuditReason> {
        None
    }

    /// The action in the audit log, if it is not the command's name.
    fn action(&self) -> Option<&'static str> {
        None
    }

    /// The side of its tables, and its most contended row; a new row is not contended.
    fn contention(&self) -> (Side, Option<Subject>);

    /// The existing order, locked before all other rows.
    fn order_id(&self) -> Option<OrderId> {
        None
    }

    /// Whether the back office changes a product or its stock, which invalidates cached product reads. Reservations of
    /// orders do not count: they are frequent, and lists may show them a moment later.
    fn changes_products(&self) -> bool {
        false
    }

    /// Declares every row to read except the order. `order` has the references of the order, `None` where it does not
    /// exist.
    fn declare_locks(&self, order: Option<&OrderRefs>, locks: &mut LockSet);

    /// Decides on the locked rows. Panics on a read of an undeclared row, which is a bug.
    ///
    /// # Errors
    /// The rejection; nothing changes.
    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection>;
}

/// The main tables of a command. A batch of commands of one side needs few statements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// Products, stocks, and orders that reserve stock.
    Stock,
    /// Points, coupons, and paid orders.
    Wallet,
}

/// The references of an order, from which a command declares its other rows.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their rows")]
pub struct OrderRefs {
    pub user_id: UserId,
    pub product_ids: BTreeSet<ProductId>,
    /// The coupon used by its payment.
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

/// The caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    /// The authenticated user.
    pub user_id: UserId,
    /// Back office staff, with access to the orders of all users.
    pub is_admin: bool,
}

impl Actor {
    /// Whether the caller has access to the rows of `owner`.
    pub fn may_see(&self, owner: &UserId) -> bool {
        self.is_admin || self.user_id == *owner
    }
}

/// The inputs of a decision besides the rows.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The limits and settings of the shop.
    pub rules: &'a ShopRules,
    /// The database's time after the last lock.
    pub now: Timestamp,
    /// The source of new ids.
    pub ids: &'a dyn IdSource,
    /// Renders the bodies of events.
    pub events: &'a dyn EventRenderer,
}

impl Context<'_> {
    /// The id of a new row, of the time of the decision: order by id is order by time on every server.
    pub fn new_id<Id: From<Uuid>>(&self) -> Id {
        self.ids.next_id_at(self.now).into()
    }
}

/// A reply and its changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The result for the caller.
    pub reply: Reply,
    /// The new states of rows, each row at most once.
    pub states: States,
    /// The rows to append.
    pub appended: Appended,
}
