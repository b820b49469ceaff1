//! What callers do: every write that the shop offers, at random from a seed, on a few rows that everybody wants.

use std::time::Duration;

use jangteo_tests::{now, rfc3339};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::arena::{Arena, nothing};
use crate::journal::{Expected, Operation, Write};

/// Products that everybody wants.
const PRODUCTS: u32 = 4;
/// A customer with as many open orders pays or cancels before ordering more.
const OPEN_ORDERS_MAX: usize = 4;
/// The longest pause of a caller between two writes.
const PAUSE_MAX_MICROS: u64 = 12_000;

/// What there is, as far as callers were told.
#[derive(Default)]
pub struct Stock {
    /// Products that everybody wants.
    pub products: Vec<String>,
    /// Campaigns, each with fewer coupons than there are customers.
    pub campaigns: Vec<String>,
    /// Paid orders, each with a product of it.
    paid_orders: Vec<(String, String)>,
    coupons: Vec<String>,
}

impl Stock {
    /// Makes the products and a campaign that everybody wants.
    pub async fn fill(arena: &Arena) {
        let mut random = arena.random(0);
        for number in 0..PRODUCTS {
            let product = make_product(arena, &mut random, &format!("product {number}")).await.expect("no fault yet");
            // Of the last one there are few, so that orders are rejected as well.
            let quantity = if number + 1 == PRODUCTS { 10 } else { 100_000 };
            let path = format!("/v1/admin/products/{product}/stock-movements");
            let body = json!({ "quantity": quantity, "reason": "delivered" });
            let told = arena.make(arena.write(Operation::AdjustStock, None, path, body), &mut random).await;
            assert!(told.is_some_and(|told| told.is_success()), "no fault yet");
        }
        make_campaign(arena, &mut random).await.expect("no fault yet");
    }
}

/// Makes a product and answers its id, where somebody was told of it.
async fn make_product(arena: &Arena, random: &mut StdRng, name: &str) -> Option<String> {
    let price = random.random_range(100..900).to_string();
    let body = json!({ "name": name, "category": "chaos", "price": price });
    let write = arena.write(Operation::CreateProduct, None, "/v1/admin/products".to_owned(), body);
    let product = text(&success(arena.make(write, random).await)?, "product_id");
    let mut stock = arena.stock.lock().expect("no panic while it is held");
    // What is made later is not on the shelf: few products are wanted by many.
    if stock.products.len() < PRODUCTS as usize {
        stock.products.push(product.clone());
    }
    Some(product)
}

/// Makes a campaign with fewer coupons than there are customers.
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

/// The document of a success.
fn success(told: Option<Expected>) -> Option<Value> {
    told.filter(Expected::is_success).map(|told| told.document())
}

fn text(document: &Value, member: &str) -> String {
    document[member].as_str().unwrap_or_else(|| panic!("no {member:?} in {document}")).to_owned()
}

fn pick<'a, T>(random: &mut StdRng, list: &'a [T]) -> Option<&'a T> {
    (!list.is_empty()).then(|| &list[random.random_range(0..list.len())])
}

async fn pause(random: &mut StdRng) {
    tokio::time::sleep(Duration::from_micros(random.random_range(0..PAUSE_MAX_MICROS))).await;
}

/// Somebody who buys: one write after the other, of what there is for this one to do.
pub struct Customer<'a> {
    arena: &'a Arena,
    user_id: String,
    random: StdRng,
    /// Orders that wait to be paid, each with a product of it.
    open: Vec<(String, String)>,
    /// Orders that were paid.
    paid: Vec<String>,
    coupons: Vec<String>,
}

impl<'a> Customer<'a> {
    pub fn new(arena: &'a Arena, number: u32) -> Self {
        let random = arena.random(1_000 + u64::from(number));
        let user_id = format!("customer-{number}");
        Self { arena, user_id, random, open: Vec::new(), paid: Vec::new(), coupons: Vec::new() }
    }

    /// Works until told to stop.
    pub async fn work(mut self, stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let write = self.choose();
            let told = self.arena.make(write.clone(), &mut self.random).await;
            self.learn(&write, told);
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

    fn write(&self, deed: Operation, path: String, body: Value) -> Write {
        self.arena.write(deed, Some(&self.user_id), path, body)
    }

    fn top_up(&mut self) -> Write {
        let amount = self.random.random_range(100..3_000).to_string();
        let path = format!("/v1/users/{}/points/top-ups", self.user_id);
        self.write(Operation::TopUpPoints, path, json!({ "amount": amount }))
    }

    fn take_coupon(&mut self) -> Write {
        let campaign = {
            let stock = self.arena.stock.lock().expect("no panic while it is held");
            pick(&mut self.random, &stock.campaigns).expect("there is one from the beginning").clone()
        };
        self.write(Operation::IssueCoupon, format!("/v1/coupon-campaigns/{campaign}/coupons"), nothing())
    }

    fn order(&mut self) -> Write {
        let products = self.arena.stock.lock().expect("no panic while it is held").products.clone();
        let random = &mut self.random;
        let lines: Vec<Value> = (0..random.random_range(1..=3))
            .map(|_| {
                let product = pick(random, &products).expect("there are some from the beginning");
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
            _ => nothing(),
        };
        Some(self.write(Operation::PayOrder, format!("/v1/orders/{order}/payment"), body))
    }

    fn cancel(&mut self) -> Option<Write> {
        let orders: Vec<&String> = self.open.iter().map(|(order, _)| order).chain(&self.paid).collect();
        let order = pick(&mut self.random, &orders).map(ToString::to_string)?;
        Some(self.write(Operation::CancelOrder, format!("/v1/orders/{order}/cancellation"), nothing()))
    }

    /// Remembers what came of a write. Of one without an answer nothing is known until all is recorded.
    fn learn(&mut self, write: &Write, told: Option<Expected>) {
        let is_rejected = told.as_ref().is_some_and(|told| !told.is_success());
        let named = write.path.split('/').nth(3).unwrap_or_default().to_owned();
        let document = success(told);
        match (write.deed, document) {
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
            // What cannot be paid is topped up for or cancelled; there is no point in trying for ever.
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

/// Somebody of the back office.
pub struct Clerk<'a> {
    arena: &'a Arena,
    random: StdRng,
}

impl<'a> Clerk<'a> {
    pub fn new(arena: &'a Arena, number: u32) -> Self {
        Self { arena, random: arena.random(2_000 + u64::from(number)) }
    }

    /// Works until told to stop.
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
        let write = |deed, path, body| Some(arena.write(deed, None, path, body));
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
                write(Operation::RevokeCoupon, format!("/v1/admin/coupons/{coupon}/revocation"), nothing())
            }
            _ => {
                let (order, product) = pick(random, &stock.paid_orders)?;
                let lines = json!([{ "product_id": product, "quantity": 1 }]);
                let body = json!({ "lines": lines, "restock": random.random_ratio(1, 2), "reason": "broken" });
                write(Operation::RefundOrder, format!("/v1/admin/orders/{order}/refunds"), body)
            }
        }
    }

    /// Looks at the latest events and has one sent again. A look that fails is no write.
    async fn redeliver_event(&mut self) {
        let servers = self.arena.servers();
        let Some(server) = pick(&mut self.random, &servers) else { return };
        let listed = server.bearer(crate::arena::token(None)).get("/v1/admin/events?limit=10").try_send().await;
        let Some(listed) = listed.ok().filter(|answer| answer.status == 200) else { return };
        let events = listed.json(200)["data"].as_array().expect("a list").clone();
        let Some(event) = pick(&mut self.random, &events) else { return };
        let path = format!("/v1/admin/events/{}/redelivery", text(event, "event_id"));
        let write = self.arena.write(Operation::RedeliverEvent, None, path, nothing());
        self.arena.make(write, &mut self.random).await;
    }
}
