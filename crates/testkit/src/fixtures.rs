//! Fixtures of tests, created over HTTP: products with stock, campaigns, users with points, orders.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::client::Call;
use crate::server::Server;

/// The time of this machine's clock.
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// The time in the format of the API.
pub fn rfc3339(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).expect("a year of four digits")
}

#[expect(missing_docs, reason = "the names are clear")]
#[derive(Clone, Debug)]
pub struct Product {
    pub id: String,
}

#[expect(missing_docs, reason = "the names are clear")]
#[derive(Clone, Debug)]
pub struct Campaign {
    pub id: String,
}

#[expect(missing_docs, reason = "the other names are clear")]
#[derive(Clone, Debug)]
pub struct Order {
    pub id: String,
    /// The response to the order.
    pub document: Value,
}

impl Product {
    /// Path of the product.
    pub fn path(&self) -> String {
        format!("/v1/products/{}", self.id)
    }

    /// Path of the back office.
    pub fn admin_path(&self) -> String {
        format!("/v1/admin/products/{}", self.id)
    }

    /// An order line.
    pub fn line(&self, quantity: u32) -> Value {
        json!({ "product_id": self.id, "quantity": quantity })
    }
}

impl Campaign {
    /// Path of the campaign.
    pub fn path(&self) -> String {
        format!("/v1/coupon-campaigns/{}", self.id)
    }

    /// Path of the back office.
    pub fn admin_path(&self) -> String {
        format!("/v1/admin/coupon-campaigns/{}", self.id)
    }
}

impl Order {
    /// Path of the order.
    pub fn path(&self) -> String {
        format!("/v1/orders/{}", self.id)
    }

    /// Path of the payment.
    pub fn payment(&self) -> String {
        format!("{}/payment", self.path())
    }

    /// Path of the cancellation.
    pub fn cancellation(&self) -> String {
        format!("{}/cancellation", self.path())
    }
}

/// The request body of a new product.
pub struct ProductBuilder {
    server: Server,
    document: Value,
    stock: u32,
}

impl ProductBuilder {
    /// Sets a member of the body.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.document[name] = value.into();
        self
    }

    /// Sets the price.
    pub fn price(self, price: i64) -> Self {
        self.with("price", price.to_string())
    }

    /// Sets the initial stock.
    pub fn stock(mut self, quantity: u32) -> Self {
        self.stock = quantity;
        self
    }

    /// Sends the request.
    pub async fn create(self) -> Product {
        let response = self.server.admin().post("/v1/admin/products", self.document).await.json(201);
        let product = Product { id: text(&response, "product_id") };
        if self.stock > 0 {
            self.server.restock(&product, self.stock.into()).await.expect(201);
        }
        product
    }
}

/// The request body of a new campaign.
pub struct CampaignBuilder {
    server: Server,
    document: Value,
}

impl CampaignBuilder {
    /// Sets a member of the body.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.document[name] = value.into();
        self
    }

    /// Removes a member of the body.
    pub fn without(mut self, name: &str) -> Self {
        self.document.as_object_mut().expect("an object").remove(name);
        self
    }

    /// Sets a fixed discount.
    pub fn fixed(self, amount: i64) -> Self {
        self.with("discount", json!({ "kind": "fixed", "amount": amount.to_string() }))
    }

    /// Sets a percentage discount.
    pub fn percent(self, percent: u8) -> Self {
        self.with("discount", json!({ "kind": "percent", "percent": percent }))
    }

    /// Sets a percentage discount of at most `cap`.
    pub fn percent_capped(self, percent: u8, cap: i64) -> Self {
        self.with("discount", json!({ "kind": "percent", "percent": percent, "cap": cap.to_string() }))
    }

    /// Sets the number of coupons.
    pub fn quantity(self, quantity: u32) -> Self {
        self.with("quantity", quantity)
    }

    /// Coupons expire this long from now, regardless of their time of issue.
    pub fn valid_for(self, duration: Duration) -> Self {
        self.without("valid_days").with("valid_until", rfc3339(now() + duration))
    }

    /// Returns the body.
    pub fn document(self) -> Value {
        self.document
    }

    /// Sends the request.
    pub async fn create(self) -> Campaign {
        let response = self.server.admin().post("/v1/admin/coupon-campaigns", self.document).await.json(201);
        Campaign { id: text(&response, "campaign_id") }
    }
}

impl Server {
    /// A new product with a price of 1,000 and without stock.
    pub fn product(&self, name: &str) -> ProductBuilder {
        let document = json!({ "name": name, "category": "test", "price": "1000" });
        ProductBuilder { server: self.clone(), document, stock: 0 }
    }

    /// A new campaign: open for a day, a discount of 1,000, ten coupons that are valid for a week.
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

    /// Adjusts the stock of a product.
    pub fn restock(&self, product: &Product, quantity: i64) -> Call {
        let body = json!({ "quantity": quantity, "reason": "a test" });
        self.admin().post(format!("{}/stock-movements", product.admin_path()), body)
    }

    /// Tops up a user's points.
    pub async fn top_up(&self, user_id: &str, amount: i64) {
        let body = json!({ "amount": amount.to_string() });
        self.user(user_id).post(format!("/v1/users/{user_id}/points/top-ups"), body).await.expect(201);
    }

    /// Returns a user's balance.
    pub async fn balance(&self, user_id: &str) -> i64 {
        let points = self.user(user_id).get(format!("/v1/users/{user_id}/points")).await.json(200);
        amount(&points["balance"])
    }

    /// Returns the available quantity of a product.
    pub async fn available(&self, product: &Product) -> i64 {
        let product = self.admin().get(product.path()).await.json(200);
        product["available"].as_i64().expect("a quantity")
    }

    /// Issues a coupon and returns its id.
    pub async fn take_coupon(&self, user_id: &str, campaign: &Campaign) -> String {
        let path = format!("{}/coupons", campaign.path());
        text(&self.user(user_id).post(path, json!({})).await.json(201), "coupon_id")
    }

    /// Places an order with one line.
    pub async fn order(&self, user_id: &str, product: &Product, quantity: u32) -> Order {
        self.order_lines(user_id, json!([product.line(quantity)])).await
    }

    /// Places an order with several lines.
    pub async fn order_lines(&self, user_id: &str, lines: Value) -> Order {
        let document = self.user(user_id).post("/v1/orders", json!({ "lines": lines })).await.json(201);
        Order { id: text(&document, "order_id"), document }
    }

    /// Reads an order as the back office.
    pub async fn read_order(&self, order: &Order) -> Value {
        self.admin().get(order.path()).await.json(200)
    }

    /// Pays an order without a coupon and returns the payment.
    pub async fn pay(&self, user_id: &str, order: &Order) -> Value {
        self.user(user_id).post(order.payment(), json!({})).await.json(201)
    }
}

#[track_caller]
fn text(document: &Value, name: &str) -> String {
    document[name].as_str().unwrap_or_else(|| panic!("no text {name:?} in {document}")).to_owned()
}

#[track_caller]
fn amount(value: &Value) -> i64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no amount of won: {value}"))
}
