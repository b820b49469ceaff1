//! The load: all kinds of writes, at random from a seed, on few contended rows.

use std::time::Duration;

use jangteo_testkit::{now, rfc3339};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::arena::{Arena, empty_body};
use crate::journal::{DefiniteResponse, Operation, Write};

/// Number of contended products.
const PRODUCTS: u32 = 4;
/// A customer with this many open orders pays or cancels before the next order.
const OPEN_ORDERS_MAX: usize = 4;
/// Maximum pause of a caller between two writes.
const PAUSE_MAX_MICROS: u64 = 12_000;

/// Resources known to the callers.
#[derive(Default)]
pub struct Stock {
    pub products: Vec<String>,
    /// Each with fewer coupons than customers.
    pub campaigns: Vec<String>,
    /// Order and one of its products.
    paid_orders: Vec<(String, String)>,
    coupons: Vec<String>,
}

impl Stock {
    /// Creates the products and a campaign.
    pub async fn fill(arena: &Arena) {
        let mut random = arena.random(0);
        for number in 0..PRODUCTS {
            let product = make_product(arena, &mut random, &format!("product {number}")).await.expect("no fault yet");
            // The last product is scarce, so that orders are rejected as well.
            let quantity = if number + 1 == PRODUCTS { 10 } else { 100_000 };
            let path = format!("/v1/admin/products/{product}/stock-movements");
            let body = json!({ "quantity": quantity, "reason": "delivered" });
            let response = arena.make(arena.write(Operation::AdjustStock, None, path, body), &mut random).await;
            assert!(response.is_some_and(|response| response.is_success()), "no fault yet");
        }
        make_campaign(arena, &mut random).await.expect("no fault yet");
    }
}

/// Creates a product and returns its id, if acknowledged.
pub async fn make_product(arena: &Arena, random: &mut StdRng, name: &str) -> Option<String> {
    let price = random.random_range(100..900).to_string();
    let body = json!({ "name": name, "category": "chaos", "price": price });
    let write = arena.write(Operation::CreateProduct, None, "/v1/admin/products".to_owned(), body);
    let product = text(&success(arena.make(write, random).await)?, "product_id");
    let mut stock = arena.stock.lock().expect("no panic while it is held");
    // Later products are not for sale, so that the first ones stay contended.
    if stock.products.len() < PRODUCTS as usize {
        stock.products.push(product.clone());
    }
    Some(product)
}

/// Creates a campaign with fewer coupons than customers.
async fn make_campaign(arena: &Arena, random: &mut StdRng) -> Option<String> {
    let discount = match random.random_range(0..2) {
        0 => json!({ "kind": "fixed", "amount": "50" }),
        _ => json!({ "kind": "percent", "percent": random.random_range(1..40) }),
    };
    let body = json!({
        "name": "chaos", "discount": discount, "quantity": 6, "valid_days": 7,
        "issue_opens_at": rfc3339(now() - time::Duration::hours(1)),
        "issue_closes_at": rfc3339(now() + time::Duration::days(1)),
    });
    let write = arena.write(Operation::CreateCampaign, None, "/v1/admin/coupon-campaigns".to_owned(), body);
    let campaign = text(&success(arena.make(write, random).await)?, "campaign_id");
    arena.stock.lock().expect("no panic while it is held").campaigns.push(campaign.clone());
    Some(campaign)
}

pub fn success(response: Option<DefiniteResponse>) -> Option<Value> {
    response.filter(DefiniteResponse::is_success).map(|response| response.document())
}

pub fn text(document: &Value, member: &str) -> String {
    document[member].as_str().unwrap_or_else(|| panic!("no {member:?} in {document}")).to_owned()
}

fn pick<'a, T>(random: &mut StdRng, list: &'a [T]) -> Option<&'a T> {
    (!list.is_empty()).then(|| &list[random.random_range(0..list.len())])
}

async fn pause(random: &mut StdRng) {
    tokio::time::sleep(Duration::from_micros(random.random_range(0..PAUSE_MAX_MICROS))).await;
}

/// A customer: sends one random write after another.
pub struct Customer<'a> {
    arena: &'a Arena,
    user_id: String,
    random: StdRng,
    /// Open orders, each with one of its products.
    open: Vec<(String, String)>,
    paid: Vec<String>,
    coupons: Vec<String>,
}

impl<'a> Customer<'a> {
    pub fn new(arena: &'a Arena, number: u32) -> Self {
        let random = arena.random(1_000 + u64::from(number));
        let user_id = format!("customer-{number}");
        Self { arena, user_id, random, open: Vec::new(), paid: Vec::new(), coupons: Vec::new() }
    }

    /// Sends writes until `stop`.
    pub async fn work(mut self, stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let write = self.choose();
            let response = self.arena.make(write.clone(), &mut self.random).await;
            self.learn(&write, response);
            pause(&mut self.random).await;
        }
    }

    fn choose(&mut self) -> Write {
        match self.random.random_range(0..100) {
            0..20 => self.top_up(),
            20..30 => self.take_coupon(),
            30..42 => self.cancel().unwrap_or_else(|| self.top_up()),
            _ if self.open.len() < OPEN_ORDERS_MAX && self.random.random_ratio(1, 2) => self.order(),
            _ => self.pay().unwrap_or_else(|| self.order()),
        }
    }

    fn write(&self, operation: Operation, path: String, body: Value) -> Write {
        self.arena.write(operation, Some(&self.user_id), path, body)
    }

    fn top_up(&mut self) -> Write {
        let amount = self.random.random_range(100..3_000).to_string();
        let path = format!("/v1/users/{}/points/top-ups", self.user_id);
        self.write(Operation::TopUpPoints, path, json!({ "amount": amount }))
    }

    fn take_coupon(&mut self) -> Write {
        let campaign = {
            let stock = self.arena.stock.lock().expect("no panic while it is held");
            pick(&mut self.random, &stock.campaigns).expect("created at the start").clone()
        };
        self.write(Operation::IssueCoupon, format!("/v1/coupon-campaigns/{campaign}/coupons"), empty_body())
    }

    fn order(&mut self) -> Write {
        let products = self.arena.stock.lock().expect("no panic while it is held").products.clone();
        let random = &mut self.random;
        let lines: Vec<Value> = (0..random.random_range(1..=3))
            .map(|_| {
                let product = pick(random, &products).expect("created at the start");
                json!({ "product_id": product, "quantity": random.random_range(1..=3) })
            })
            .collect();
        self.write(Operation::PlaceOrder, "/v1/orders".to_owned(), json!({ "lines": lines }))
    }

    fn pay(&mut self) -> Option<Write> {
        let (order, _) = pick(&mut self.random, &self.open)?.clone();
        let coupon = pick(&mut self.random, &self.coupons).cloned();
        let body = match (self.random.random_range(0..3), coupon) {
            (0, Some(coupon)) => json!({ "coupon_id": coupon }),
            (1, _) => json!({ "coupon_id": "best" }),
            _ => empty_body(),
        };
        Some(self.write(Operation::PayOrder, format!("/v1/orders/{order}/payment"), body))
    }

    fn cancel(&mut self) -> Option<Write> {
        let orders: Vec<&String> = self.open.iter().map(|(order, _)| order).chain(&self.paid).collect();
        let order = pick(&mut self.random, &orders).map(ToString::to_string)?;
        Some(self.write(Operation::CancelOrder, format!("/v1/orders/{order}/cancellation"), empty_body()))
    }

    /// Updates the known resources. A write with an unknown outcome is ignored until it is resolved.
    fn learn(&mut self, write: &Write, response: Option<DefiniteResponse>) {
        let is_rejected = response.as_ref().is_some_and(|response| !response.is_success());
        let named = write.path.split('/').nth(3).unwrap_or_default().to_owned();
        let document = success(response);
        match (write.operation, document) {
            (Operation::IssueCoupon, Some(coupon)) => {
                let coupon = text(&coupon, "coupon_id");
                self.arena.stock.lock().expect("no panic while it is held").coupons.push(coupon.clone());
                self.coupons.push(coupon);
            }
            (Operation::PlaceOrder, Some(order)) => {
                self.open.push((text(&order, "order_id"), text(&order["lines"][0], "product_id")));
            }
            (Operation::PayOrder, Some(_)) => {
                if let Some(at) = self.open.iter().position(|(order, _)| *order == named) {
                    let paid = self.open.swap_remove(at);
                    self.paid.push(paid.0.clone());
                    self.arena.stock.lock().expect("no panic while it is held").paid_orders.push(paid);
                }
            }
            (Operation::CancelOrder, Some(_)) => self.forget(&named),
            // A rejected payment is followed by a top-up or a cancellation, or the order is abandoned.
            (Operation::PayOrder | Operation::CancelOrder, None) if is_rejected && self.random.random_ratio(1, 3) => {
                self.forget(&named);
            }
            _ => {}
        }
    }

    fn forget(&mut self, order: &str) {
        self.open.retain(|(open, _)| open != order);
        self.paid.retain(|paid| paid != order);
    }
}

/// A back office user.
pub struct Clerk<'a> {
    arena: &'a Arena,
    random: StdRng,
}

impl<'a> Clerk<'a> {
    pub fn new(arena: &'a Arena, number: u32) -> Self {
        Self { arena, random: arena.random(2_000 + u64::from(number)) }
    }

    /// Sends writes until `stop`.
    pub async fn work(mut self, stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            match self.random.random_range(0..100) {
                0..4 => {
                    make_product(self.arena, &mut self.random, "novelty").await;
                }
                4..8 => {
                    make_campaign(self.arena, &mut self.random).await;
                }
                8..14 => self.redeliver_event().await,
                _ => {
                    if let Some(write) = self.choose() {
                        self.arena.make(write, &mut self.random).await;
                    }
                }
            }
            pause(&mut self.random).await;
            pause(&mut self.random).await;
        }
    }

    fn choose(&mut self) -> Option<Write> {
        let arena = self.arena;
        let random = &mut self.random;
        let stock = arena.stock.lock().expect("no panic while it is held");
        let product = pick(random, &stock.products)?.clone();
        let write = |operation, path, body| Some(arena.write(operation, None, path, body));
        match random.random_range(0..6) {
            0 => {
                let body = json!({ "quantity": random.random_range(-2..8_i32) | 1, "reason": "counted" });
                write(Operation::AdjustStock, format!("/v1/admin/products/{product}/stock-movements"), body)
            }
            1 => {
                let body = json!({ "description": format!("text {}", random.random::<u32>()) });
                write(Operation::ChangeProduct, format!("/v1/admin/products/{product}"), body)
            }
            2 => {
                let user = random.random_range(0..10);
                let body = json!({ "amount": (random.random_range(-50..200) | 1).to_string(), "reason": "sorry" });
                write(Operation::AdjustPoints, format!("/v1/admin/users/customer-{user}/points/adjustments"), body)
            }
            3 => {
                let campaign = pick(random, &stock.campaigns)?;
                let body = json!({ "quantity": random.random_range(6..12) });
                write(Operation::ChangeCampaign, format!("/v1/admin/coupon-campaigns/{campaign}"), body)
            }
            4 => {
                let coupon = pick(random, &stock.coupons)?;
                write(Operation::RevokeCoupon, format!("/v1/admin/coupons/{coupon}/revocation"), empty_body())
            }
            _ => {
                let (order, product) = pick(random, &stock.paid_orders)?;
                let lines = json!([{ "product_id": product, "quantity": 1 }]);
                let body = json!({ "lines": lines, "restock": random.random_ratio(1, 2), "reason": "broken" });
                write(Operation::RefundOrder, format!("/v1/admin/orders/{order}/refunds"), body)
            }
        }
    }

    /// Redelivers one of the latest events. A failed query is ignored.
    async fn redeliver_event(&mut self) {
        let servers = self.arena.servers();
        let Some(server) = pick(&mut self.random, &servers) else { return };
        let listed = server.bearer(crate::arena::token(None)).get("/v1/admin/events?limit=10").try_send().await;
        let Some(listed) = listed.ok().filter(|response| response.status == 200) else { return };
        let events = listed.json(200)["data"].as_array().expect("a list").clone();
        let Some(event) = pick(&mut self.random, &events) else { return };
        let path = format!("/v1/admin/events/{}/redelivery", text(event, "event_id"));
        let write = self.arena.write(Operation::RedeliverEvent, None, path, empty_body());
        self.arena.make(write, &mut self.random).await;
    }
}
