//! What tests need to begin with: products with stock, campaigns, users with points, orders. All of it is made over HTTP.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::client::Call;
use crate::server::Server;

/// The time now.
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// A time as the contract writes it.
pub fn rfc3339(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).expect("a year of four digits")
}

/// A product that was made.
#[derive(Clone, Debug)]
pub struct Product {
    /// Its id.
    pub id: String,
}

/// A campaign that was made.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Its id.
    pub id: String,
}

/// An order that was placed.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// The answer to the order.
    pub document: Value,
}

impl Product {
    /// Where it is read.
    pub fn path(&self) -> String {
        format!("/v1/products/{}", self.id)
    }

    /// Where the back office changes it.
    pub fn admin_path(&self) -> String {
        format!("/v1/admin/products/{}", self.id)
    }

    /// A line of an order.
    pub fn line(&self, quantity: u32) -> Value {
        json!({ "product_id": self.id, "quantity": quantity })
    }
}

impl Campaign {
    /// Where it is read.
    pub fn path(&self) -> String {
        format!("/v1/coupon-campaigns/{}", self.id)
    }

    /// Where the back office changes it.
    pub fn admin_path(&self) -> String {
        format!("/v1/admin/coupon-campaigns/{}", self.id)
    }
}

impl Order {
    /// Where it is read.
    pub fn path(&self) -> String {
        format!("/v1/orders/{}", self.id)
    }

    /// Where it is paid.
    pub fn payment(&self) -> String {
        format!("{}/payment", self.path())
    }

    /// Where it is cancelled.
    pub fn cancellation(&self) -> String {
        format!("{}/cancellation", self.path())
    }
}

/// A product to be made.
pub struct ProductBuilder {
    server: Server,
    document: Value,
    stock: u32,
}

impl ProductBuilder {
    /// With that member of the document instead.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.document[name] = value.into();
        self
    }

    /// With that price.
    pub fn price(self, price: i64) -> Self {
        self.with("price", price.to_string())
    }

    /// With so many pieces in stock.
    pub fn stock(mut self, pieces: u32) -> Self {
        self.stock = pieces;
        self
    }

    /// Makes it.
    pub async fn create(self) -> Product {
        let answer = self.server.admin().post("/v1/admin/products", self.document).await.json(201);
        let product = Product { id: text(&answer, "product_id") };
        if self.stock > 0 {
            self.server.restock(&product, self.stock.into()).await.expect(201);
        }
        product
    }
}

/// A campaign to be made.
pub struct CampaignBuilder {
    server: Server,
    document: Value,
}

impl CampaignBuilder {
    /// With that member of the document instead.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.document[name] = value.into();
        self
    }

    /// Without that member.
    pub fn without(mut self, name: &str) -> Self {
        self.document.as_object_mut().expect("an object").remove(name);
        self
    }

    /// A fixed amount off.
    pub fn fixed(self, amount: i64) -> Self {
        self.with("discount", json!({ "kind": "fixed", "amount": amount.to_string() }))
    }

    /// A share off.
    pub fn percent(self, percent: u8) -> Self {
        self.with("discount", json!({ "kind": "percent", "percent": percent }))
    }

    /// A share off, at most so much.
    pub fn percent_capped(self, percent: u8, cap: i64) -> Self {
        self.with("discount", json!({ "kind": "percent", "percent": percent, "cap": cap.to_string() }))
    }

    /// So many coupons.
    pub fn quantity(self, quantity: u32) -> Self {
        self.with("quantity", quantity)
    }

    /// Coupons that can be used for so long from now on, whenever they are issued.
    pub fn valid_for(self, duration: Duration) -> Self {
        self.without("valid_days").with("valid_until", rfc3339(now() + duration))
    }

    /// What would be sent.
    pub fn document(self) -> Value {
        self.document
    }

    /// Makes it.
    pub async fn create(self) -> Campaign {
        let answer = self.server.admin().post("/v1/admin/coupon-campaigns", self.document).await.json(201);
        Campaign { id: text(&answer, "campaign_id") }
    }
}

impl Server {
    /// A product to be made, with a price of 1,000 and nothing in stock.
    pub fn product(&self, name: &str) -> ProductBuilder {
        let document = json!({ "name": name, "category": "test", "price": "1000" });
        ProductBuilder { server: self.clone(), document, stock: 0 }
    }

    /// A campaign to be made: open for a day, 1,000 off, ten coupons that are valid for a week.
    pub fn campaign(&self, name: &str) -> CampaignBuilder {
        let document = json!({
            "name": name,
            "discount": { "kind": "fixed", "amount": "1000" },
            "quantity": 10,
            "issue_opens_at": rfc3339(now() - Duration::hours(1)),
            "issue_closes_at": rfc3339(now() + Duration::days(1)),
            "valid_days": 7,
        });
        CampaignBuilder { server: self.clone(), document }
    }

    /// Moves a product's stock.
    pub fn restock(&self, product: &Product, quantity: i64) -> Call {
        let body = json!({ "quantity": quantity, "reason": "a test" });
        self.admin().post(format!("{}/stock-movements", product.admin_path()), body)
    }

    /// Puts points into a user's account.
    pub async fn top_up(&self, user_id: &str, amount: i64) {
        let body = json!({ "amount": amount.to_string() });
        self.user(user_id).post(format!("/v1/users/{user_id}/points/top-ups"), body).await.expect(201);
    }

    /// A user's balance.
    pub async fn balance(&self, user_id: &str) -> i64 {
        let points = self.user(user_id).get(format!("/v1/users/{user_id}/points")).await.json(200);
        amount(&points["balance"])
    }

    /// How many pieces of a product can be ordered.
    pub async fn available(&self, product: &Product) -> i64 {
        let product = self.admin().get(product.path()).await.json(200);
        product["available"].as_i64().expect("a number of pieces")
    }

    /// Takes a coupon of that campaign, and answers its id.
    pub async fn take_coupon(&self, user_id: &str, campaign: &Campaign) -> String {
        let path = format!("{}/coupons", campaign.path());
        text(&self.user(user_id).post(path, json!({})).await.json(201), "coupon_id")
    }

    /// Orders one product.
    pub async fn order(&self, user_id: &str, product: &Product, quantity: u32) -> Order {
        self.order_lines(user_id, json!([product.line(quantity)])).await
    }

    /// Orders these lines.
    pub async fn order_lines(&self, user_id: &str, lines: Value) -> Order {
        let document = self.user(user_id).post("/v1/orders", json!({ "lines": lines })).await.json(201);
        Order { id: text(&document, "order_id"), document }
    }

    /// Reads an order.
    pub async fn read_order(&self, order: &Order) -> Value {
        self.admin().get(order.path()).await.json(200)
    }

    /// Pays an order at full price, and answers the payment.
    pub async fn pay(&self, user_id: &str, order: &Order) -> Value {
        self.user(user_id).post(order.payment(), json!({})).await.json(201)
    }
}

/// A text member of a document.
#[track_caller]
fn text(document: &Value, name: &str) -> String {
    document[name].as_str().unwrap_or_else(|| panic!("no text {name:?} in {document}")).to_owned()
}

/// An amount of won.
#[track_caller]
fn amount(value: &Value) -> i64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no amount of won: {value}"))
}
