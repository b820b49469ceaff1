use std::sync::Arc;

use jangteo_domain::batch::{Answer, BatchExecutor, Request};
use jangteo_domain::command::{
    AdjustStock, CancelOrder, Command, CouponChoice, CreateCampaign, CreateProduct, ExpireOrder, IssueCoupon, Outcome,
    PayOrder, PlaceOrder, Reply, TopUpPoints,
};
use jangteo_domain::coupon::CampaignDetails;
use jangteo_domain::id::{CampaignId, CouponId, IdSource, OrderId, ProductId, UserId};
use jangteo_domain::product::ProductDetails;
use jangteo_domain::rules::ShopRules;
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::fixtures::{customer, order_lines, plan, positive, product_details, text, user};
use jangteo_domain::testing::{NoBackoff, PlainEvents, SequentialIds, rules};
use jangteo_domain::transaction::UnitOfWorkFactory;

/// A shop on any store, with shortcuts to fill and use it. Each call is a batch of one and returns the store's errors.
pub struct TestShop {
    /// Runs the commands.
    pub executor: BatchExecutor,
    /// The executor's source of ids.
    pub ids: Arc<dyn IdSource>,
}

impl TestShop {
    /// A shop with the default [`rules`].
    pub fn new(factory: Arc<dyn UnitOfWorkFactory>) -> Self {
        Self::with_rules(factory, rules())
    }

    /// A shop with its own rules.
    pub fn with_rules(factory: Arc<dyn UnitOfWorkFactory>, rules: ShopRules) -> Self {
        let ids: Arc<dyn IdSource> = Arc::new(SequentialIds::new());
        let executor = BatchExecutor {
            factory,
            rules: Arc::new(rules),
            ids: Arc::clone(&ids),
            events: Arc::new(PlainEvents),
            backoff: Arc::new(NoBackoff),
        };
        Self { executor, ids }
    }

    /// Runs a command.
    pub async fn run(&self, command: impl Into<Command>) -> Result<Outcome, StoreError> {
        let mut answers = self.executor.execute(&[Request::new(command)]).await;
        match answers.pop().expect("one answer to each request")? {
            Answer::Decided { outcome, .. } => Ok(outcome),
            other @ (Answer::Replayed(_) | Answer::KeyReused) => {
                panic!("without a key the answer is {other:?}")
            }
        }
    }

    /// Runs a command that must not be rejected.
    async fn prepare(&self, command: impl Into<Command>) -> Result<Reply, StoreError> {
        self.run(command).await?.map_err(|rejection| panic!("the shop could not be prepared: {rejection}"))
    }

    /// Creates a product with `available` items in stock.
    pub async fn product(&self, details: ProductDetails, available: i32) -> Result<ProductId, StoreError> {
        let reply = self.prepare(CreateProduct { details }).await?;
        let Reply::ProductCreated { product, .. } = reply else { panic!("a product is expected, not {reply:?}") };
        let reason = text("delivery");
        self.prepare(AdjustStock { product_id: product.id, quantity: available, reason }).await?;
        Ok(product.id)
    }

    /// Creates a product named "lamp" with `available` items in stock.
    pub async fn lamp(&self, price: i64, available: i32) -> Result<ProductId, StoreError> {
        self.product(product_details("lamp", price), available).await
    }

    /// Tops up a user's account.
    pub async fn user(&self, id: &str, points: i64) -> Result<UserId, StoreError> {
        let user_id = user(id);
        let amount = positive(points);
        self.prepare(TopUpPoints { user_id: user_id.clone(), amount }).await?;
        Ok(user_id)
    }

    /// Creates a campaign.
    pub async fn campaign(&self, details: CampaignDetails) -> Result<CampaignId, StoreError> {
        let reply = self.prepare(CreateCampaign { plan: plan(details) }).await?;
        let Reply::CampaignCreated(campaign) = reply else { panic!("a campaign is expected, not {reply:?}") };
        Ok(campaign.id)
    }

    /// Issues a coupon.
    pub async fn coupon(&self, campaign_id: CampaignId, user_id: &UserId) -> Result<CouponId, StoreError> {
        let reply = self.prepare(IssueCoupon { campaign_id, user_id: user_id.clone() }).await?;
        let Reply::CouponIssued { coupon, .. } = reply else { panic!("a coupon is expected, not {reply:?}") };
        Ok(coupon.id)
    }

    /// Places an order.
    pub async fn order(&self, user_id: &UserId, lines: &[(ProductId, u32)]) -> Result<OrderId, StoreError> {
        let reply = self.prepare(place(user_id, lines)).await?;
        let Reply::OrderPlaced { order, .. } = reply else { panic!("an order is expected, not {reply:?}") };
        Ok(order.id)
    }

    /// Pays an order as its owner.
    pub async fn pay(&self, order_id: OrderId, owner: &UserId, coupon: CouponChoice) -> Result<Outcome, StoreError> {
        self.run(PayOrder { order_id, actor: customer(owner), coupon }).await
    }

    /// Cancels an order as its owner.
    pub async fn cancel(&self, order_id: OrderId, owner: &UserId) -> Result<Outcome, StoreError> {
        self.run(CancelOrder { order_id, actor: customer(owner) }).await
    }

    /// Expires an order as the system.
    pub async fn expire(&self, order_id: OrderId) -> Result<Outcome, StoreError> {
        self.run(ExpireOrder { order_id }).await
    }
}

/// A command that places an order at any total.
pub fn place(user_id: &UserId, lines: &[(ProductId, u32)]) -> PlaceOrder {
    PlaceOrder { user_id: user_id.clone(), lines: order_lines(lines), expected_total: None }
}
