//! The demo products and campaigns. Their ids are fixed, so a second run creates nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use time::Duration;
use uuid::Uuid;

use jangteo_domain::command::{AdjustStock, CreateCampaign, CreateProduct};
use jangteo_domain::coupon::{CampaignDetails, CampaignPlan, CouponTerms, Discount, Percent, Validity};
use jangteo_domain::id::{IdSource, ProductId};
use jangteo_domain::idempotency::{Fingerprint, IdempotencyKey, RequestKey};
use jangteo_domain::money::PositiveMoney;
use jangteo_domain::product::{OptionName, OptionValue, Options, Price, ProductDetails, ProductStatus};
use jangteo_domain::text::Text;
use jangteo_domain::{BatchExecutor, Command, Currency, Money, Queries, Recording, Request, StoreError, Timestamp};

use crate::idempotency::digest;
use crate::operator;

/// The product of the sample order.
pub const FIRST_PRODUCT: Uuid = id(1);
/// The campaign of the sample coupon.
pub const FIRST_CAMPAIGN: Uuid = id(101);

struct DemoProduct {
    number: u8,
    name: &'static str,
    description: &'static str,
    category: &'static str,
    options: &'static [(&'static str, &'static str)],
    item_group_id: Option<&'static str>,
    /// Whole units of the shop's currency.
    price: i64,
    stock: i32,
}

const PRODUCTS: &[DemoProduct] = &[
    DemoProduct {
        number: 1,
        name: "제주 감귤 5kg / Jeju mandarins 5 kg",
        description: "서귀포에서 온 노지 감귤. Grown in the open, from Seogwipo.",
        category: "fruit",
        options: &[],
        item_group_id: None,
        price: 19_000,
        stock: 500,
    },
    DemoProduct {
        number: 2,
        name: "놋그릇 밥공기 / Brass rice bowl",
        description: "손으로 두드려 만든 방짜 유기. Hammered by hand.",
        category: "kitchen",
        options: &[],
        item_group_id: None,
        price: 78_000,
        stock: 30,
    },
    DemoProduct {
        number: 3,
        name: "누비 조끼 / Quilted vest",
        description: "",
        category: "clothing",
        options: &[("color", "red"), ("size", "M")],
        item_group_id: Some("quilted-vest"),
        price: 54_000,
        stock: 40,
    },
    DemoProduct {
        number: 4,
        name: "누비 조끼 / Quilted vest",
        description: "",
        category: "clothing",
        options: &[("color", "indigo"), ("size", "M")],
        item_group_id: Some("quilted-vest"),
        price: 54_000,
        stock: 40,
    },
    DemoProduct {
        number: 5,
        name: "한지 공책 / Hanji notebook",
        description: "닥나무 종이 80장. 80 sheets of mulberry paper.",
        category: "stationery",
        options: &[],
        item_group_id: None,
        price: 12_000,
        stock: 1_000,
    },
    DemoProduct {
        number: 6,
        name: "한정판 달항아리 / Moon jar, limited",
        description: "단 한 점. There is one.",
        category: "art",
        options: &[],
        item_group_id: None,
        price: 900_000,
        stock: 1,
    },
];

/// Creates the missing products and campaigns and returns their number.
///
/// # Errors
/// Errors of the store.
pub async fn seed(executor: &BatchExecutor, queries: &Queries) -> Result<usize, StoreError> {
    let mut created = 0;
    for product in PRODUCTS {
        let id = id(product.number);
        if queries.products.find(id.into()).await?.is_none() {
            created += 1;
            run_as(id, executor, &[create(product), fill(product, id.into())]).await?;
        }
    }
    let now = queries.clock.now().await?;
    for (number, plan) in [(101, welcome_campaign(now)), (102, first_come_campaign(now))] {
        if queries.coupons.campaign(id(number).into()).await?.is_none() {
            created += 1;
            run_as(id(number), executor, &[Command::CreateCampaign(CreateCampaign { plan })]).await?;
        }
    }
    Ok(created)
}

/// Runs the commands in one transaction that gives its first row this id.
async fn run_as(id: Uuid, executor: &BatchExecutor, commands: &[Command]) -> Result<(), StoreError> {
    let ids = Arc::new(FixedId { id, others: Arc::clone(&executor.ids), is_used: AtomicBool::new(false) });
    let requests: Vec<_> = commands.iter().map(|command| once(command, id, executor.rules.currency)).collect();
    for answer in (BatchExecutor { ids, ..executor.clone() }).execute(&requests).await {
        answer?;
    }
    Ok(())
}

/// The first row of each attempt has the fixed id.
struct FixedId {
    id: Uuid,
    others: Arc<dyn IdSource>,
    is_used: AtomicBool,
}

impl IdSource for FixedId {
    /// The id of a transaction: the start of an attempt.
    fn next_id(&self) -> Uuid {
        self.is_used.store(false, Ordering::Relaxed);
        self.others.next_id()
    }

    fn next_id_at(&self, at: Timestamp) -> Uuid {
        if self.is_used.swap(true, Ordering::Relaxed) { self.others.next_id_at(at) } else { self.id }
    }
}

fn create(product: &DemoProduct) -> Command {
    let options = product.options.iter().map(|(name, value)| (text(name), text(value)));
    let options: BTreeMap<OptionName, OptionValue> = options.collect();
    Command::CreateProduct(CreateProduct {
        details: ProductDetails {
            sku: None,
            name: text(product.name),
            description: text(product.description),
            category: text(product.category),
            options: Options::try_from(options).expect("few options"),
            item_group_id: product.item_group_id.map(text),
            price: Price::try_from(money(product.price)).expect("a price"),
            status: ProductStatus::OnSale,
        },
    })
}

fn fill(product: &DemoProduct, product_id: ProductId) -> Command {
    Command::AdjustStock(AdjustStock { product_id, quantity: product.stock, reason: text("demo") })
}

fn welcome_campaign(now: Timestamp) -> CampaignPlan {
    let percent = Percent::try_from(10).expect("a percentage");
    let discount = Discount::Percent { percent, cap: Some(positive(5_000)) };
    campaign("첫 구매 10% / Welcome, 10% off", discount, None, 100_000, now)
}

fn first_come_campaign(now: Timestamp) -> CampaignPlan {
    let discount = Discount::Fixed { amount: positive(10_000) };
    campaign("선착순 100명 / For the first hundred", discount, Some(positive(30_000)), 100, now)
}

fn campaign(
    name: &str,
    discount: Discount,
    min_order_amount: Option<PositiveMoney>,
    quantity: u32,
    now: Timestamp,
) -> CampaignPlan {
    let details = CampaignDetails {
        terms: CouponTerms { name: text(name), discount, min_order_amount },
        quantity,
        issue_opens_at: now,
        issue_closes_at: now.saturating_add(Duration::days(365)),
        validity: Validity::Days(30),
    };
    details.try_into().expect("a campaign of the demo")
}

/// A request with an idempotency key: two servers that seed concurrently have one effect.
fn once(command: &Command, id: Uuid, currency: Currency) -> Request {
    let key = digest(&[b"demo", command.name().as_bytes(), id.as_bytes()]);
    let idempotency = Some(IdempotencyKey { key: RequestKey(key), fingerprint: Fingerprint(key) });
    let renderer = Arc::new(operator::ResponseBody(currency));
    let recording = Recording { idempotency, audited_as: Some(operator::caller()), renderer };
    Request { command: command.clone(), recording: Some(recording) }
}

/// A fixed id in the form of a UUIDv7, older than any generated id.
const fn id(number: u8) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | number as u128)
}

fn text<const MIN: usize, const MAX: usize>(text: &str) -> Text<MIN, MAX> {
    Text::try_from(text.to_owned()).expect("a text of the demo")
}

fn money(units: i64) -> Money {
    Money::from_units(units).expect("an amount of the demo")
}

fn positive(units: i64) -> PositiveMoney {
    PositiveMoney::try_from(money(units)).expect("an amount of the demo")
}
