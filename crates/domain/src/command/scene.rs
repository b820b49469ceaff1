//! A shop on in-memory tables, for tests of single commands.

use time::Duration;

use crate::command::{
    Actor, AdjustStock, CancelOrder, Command, Context, CouponChoice, CreateCampaign, CreateProduct, Decision,
    ExpireOrder, IssueCoupon, OrderRefs, Outcome, PayOrder, PlaceOrder, Reply, TopUpPoints,
};
use crate::coupon::{CampaignDetails, Coupon};
use crate::id::{CampaignId, CouponId, IdSource, OrderId, ProductId, UserId};
use crate::money::Money;
use crate::order::Order;
use crate::point::PointAccount;
use crate::product::ProductDetails;
use crate::rejection::Rejection;
use crate::rules::ShopRules;
use crate::testing::fixtures::{NOON, customer, order_lines, plan, positive, product_details, text, user};
use crate::testing::{PlainEvents, SequentialIds, rules};
use crate::time::Timestamp;
use crate::transaction::{FirstKeys, LockSet};
use crate::working_set::WorkingSet;

mod tables;

pub(crate) use tables::Tables;

/// The rows and the inputs of decisions.
pub(crate) struct Scene {
    pub tables: Tables,
    pub rules: ShopRules,
    pub ids: SequentialIds,
    pub now: Timestamp,
}

impl Scene {
    pub fn new() -> Self {
        Self { tables: Tables::default(), rules: rules(), ids: SequentialIds::new(), now: NOON }
    }

    pub fn id<Id: From<uuid::Uuid>>(&self) -> Id {
        self.ids.next_id().into()
    }

    pub fn advance(&mut self, by: Duration) {
        self.now = self.now.saturating_add(by);
    }

    /// Decides a command as a batch of one, on its declared rows only.
    pub fn decide(&mut self, command: impl Into<Command>) -> Outcome {
        let command = command.into();
        let rule = command.rule();
        let orders = rule.order_id().into_iter().collect();
        let first = self.tables.first(&FirstKeys { orders, ..FirstKeys::default() });
        let order = first.orders.values().flatten().next().map(OrderRefs::from);
        let mut locks = LockSet::default();
        rule.declare_locks(order.as_ref(), &mut locks);
        let mut set = WorkingSet::new(first.orders, self.tables.lock(&locks, self.now));
        let context = Context { rules: &self.rules, now: self.now, ids: &self.ids, events: &PlainEvents };
        let Decision { reply, states, appended } = rule.decide(&set, &context)?;
        set.absorb(states, appended);
        self.tables.apply(set.into_changes());
        Ok(reply)
    }

    #[track_caller]
    pub fn rejection(&mut self, command: impl Into<Command>) -> Rejection {
        match self.decide(command) {
            Ok(reply) => panic!("a rejection is expected, not {reply:?}"),
            Err(rejection) => rejection,
        }
    }

    #[track_caller]
    fn prepare(&mut self, command: impl Into<Command>) -> Reply {
        self.decide(command).expect("a valid command of the setup")
    }

    pub fn product(&mut self, details: ProductDetails, available: i32) -> ProductId {
        let reply = self.prepare(CreateProduct { details });
        let Reply::ProductCreated { product, .. } = reply else { panic!("a product is expected, not {reply:?}") };
        let reason = text("delivery");
        self.prepare(AdjustStock { product_id: product.id, quantity: available, reason });
        product.id
    }

    pub fn lamp(&mut self, price: i64, available: i32) -> ProductId {
        self.product(product_details("lamp", price), available)
    }

    pub fn user(&mut self, id: &str, points: i64) -> UserId {
        let user_id = user(id);
        self.prepare(TopUpPoints { user_id: user_id.clone(), amount: positive(points) });
        user_id
    }

    pub fn campaign(&mut self, details: CampaignDetails) -> CampaignId {
        let reply = self.prepare(CreateCampaign { plan: plan(details) });
        let Reply::CampaignCreated(campaign) = reply else { panic!("a campaign is expected, not {reply:?}") };
        campaign.id
    }

    pub fn coupon(&mut self, details: CampaignDetails, user_id: &UserId) -> CouponId {
        let campaign_id = self.campaign(details);
        let reply = self.prepare(IssueCoupon { campaign_id, user_id: user_id.clone() });
        let Reply::CouponIssued { coupon, .. } = reply else { panic!("a coupon is expected, not {reply:?}") };
        coupon.id
    }

    pub fn order(&mut self, user_id: &UserId, lines: &[(ProductId, u32)]) -> OrderId {
        let reply = self.prepare(place(user_id, lines));
        let Reply::OrderPlaced { order, .. } = reply else { panic!("an order is expected, not {reply:?}") };
        order.id
    }

    pub fn pay(&mut self, order_id: OrderId, user_id: &UserId, coupon: CouponChoice) -> Outcome {
        self.decide(pay(order_id, customer(user_id), coupon))
    }

    pub fn cancel(&mut self, order_id: OrderId, user_id: &UserId) -> Outcome {
        self.decide(cancel(order_id, customer(user_id)))
    }

    pub fn expire(&mut self, order_id: OrderId) -> Outcome {
        self.decide(ExpireOrder { order_id })
    }

    #[track_caller]
    pub fn stored_account(&self, user_id: &UserId) -> &PointAccount {
        self.tables.accounts.get(user_id).expect("an account of the scene")
    }

    #[track_caller]
    pub fn balance(&self, user_id: &UserId) -> Money {
        self.stored_account(user_id).balance
    }

    #[track_caller]
    pub fn open_orders(&self, user_id: &UserId) -> u32 {
        self.stored_account(user_id).open_orders
    }

    #[track_caller]
    pub fn available(&self, product_id: ProductId) -> u64 {
        self.tables.stocks.get(&product_id).expect("a product of the scene").available
    }

    #[track_caller]
    pub fn stored_order(&self, order_id: OrderId) -> &Order {
        self.tables.orders.get(&order_id).expect("an order of the scene")
    }

    #[track_caller]
    pub fn stored_coupon(&self, coupon_id: CouponId) -> &Coupon {
        self.tables.coupons.get(&coupon_id).expect("a coupon of the scene")
    }
}

pub(crate) fn place(user_id: &UserId, lines: &[(ProductId, u32)]) -> PlaceOrder {
    PlaceOrder { user_id: user_id.clone(), lines: order_lines(lines), expected_total: None }
}

pub(crate) fn pay(order_id: OrderId, actor: Actor, coupon: CouponChoice) -> PayOrder {
    PayOrder { order_id, actor, coupon }
}

pub(crate) fn cancel(order_id: OrderId, actor: Actor) -> CancelOrder {
    CancelOrder { order_id, actor }
}
