//! The test data: users with points, products with stock, and a year of orders.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use clap::ValueEnum;
use jangteo_data_platform::JsonEvents;
use jangteo_domain::batch::{Attempts, Backoff, Work};
use jangteo_domain::command::{
    Actor, AdjustStock, CancelOrder, Command, CouponChoice, CreateProduct, ExpireOrder, PayOrder, PlaceOrder,
    TopUpPoints,
};
use jangteo_domain::id::{IdSource, OrderId, ProductId, UserId};
use jangteo_domain::money::{Currency, Money, PositiveMoney};
use jangteo_domain::order::OrderLines;
use jangteo_domain::product::{OptionName, OptionValue, Options, Price, ProductDetails, ProductStatus};
use jangteo_domain::stock::MovementReason;
use jangteo_domain::time::{Date, Timestamp};
use jangteo_domain::transaction::{LockSet, ProductDepth};
use jangteo_domain::{Answer, BatchExecutor, Reply, Request, ShopCalendar, ShopRules, StoreError, UnitOfWorkFactory};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::past::{Clock, PastStore};

/// Points of each user: the maximum of one top-up, enough for thousands of orders.
const POINTS: i64 = 1_000_000;
/// Initial stock of each product: more than any run sells, and well within the range of a stock.
pub const STOCK: i32 = 1_000_000_000;
/// Open orders of a user, at most as many as the rules allow.
const OPEN_ORDERS: usize = 20;
/// Number of categories of the products.
pub const CATEGORIES: usize = 20;
/// Commands of a batch while the shop is filled.
const BATCH: usize = 4_000;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Size {
    pub users: usize,
    /// Products in addition to the hot one.
    pub products: usize,
    pub names: Names,
}

/// Language of product names and descriptions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Names {
    /// Short names and descriptions.
    Ascii,
    /// Hangul names and a long description for every second product, including the hot one.
    Hangul,
}

/// A shop and its rules.
pub struct Shop {
    executor: BatchExecutor,
    clock: Arc<Clock>,
    users: Vec<UserId>,
    /// The first is the hot one.
    products: Vec<ProductId>,
    opened_at: Timestamp,
}

impl Shop {
    /// Fills an empty store at the clock's time: a top-up for every user, and every product with its stock.
    pub async fn open(store: Arc<dyn UnitOfWorkFactory>, clock: Arc<Clock>, size: Size) -> Result<Self> {
        let users = (0..size.users).map(user_id).collect::<Result<Vec<_>>>()?;
        let executor = BatchExecutor {
            factory: store,
            rules: Arc::new(rules()?),
            ids: Arc::clone(&clock) as Arc<dyn IdSource>,
            events: Arc::new(JsonEvents),
            backoff: Arc::new(NoBackoff),
        };
        let opened_at = clock.now();
        let mut shop = Self { executor, clock, users, products: vec![], opened_at };
        shop.fill(size).await?;
        Ok(shop)
    }

    /// Fills an empty database as of `opened_at`, so that a past can be written.
    pub async fn open_in(database: &jangteo_sql::Database, size: Size, opened_at: Timestamp) -> Result<Self> {
        let clock = Arc::new(Clock::new(opened_at));
        let store = PastStore::new(database.unit_of_work_factory(), Arc::clone(&clock), now()?);
        Self::open(Arc::new(store), clock, size).await
    }

    async fn fill(&mut self, size: Size) -> Result<()> {
        let create = |index| Ok(Command::CreateProduct(CreateProduct { details: details(index, size.names)? }));
        for reply in self.run((0..=size.products).map(create).collect::<Result<_>>()?).await? {
            if let Reply::ProductCreated { product, .. } = reply {
                self.products.push(product.id);
            }
        }
        let reason: MovementReason = "the first delivery".to_owned().try_into()?;
        let fill = |product_id: &ProductId| {
            Command::AdjustStock(AdjustStock { product_id: *product_id, quantity: STOCK, reason: reason.clone() })
        };
        let amount = positive(POINTS)?;
        let top_up = |user_id: &UserId| Command::TopUpPoints(TopUpPoints { user_id: user_id.clone(), amount });
        self.run(self.products.iter().map(fill).chain(self.users.iter().map(top_up)).collect()).await?;
        Ok(())
    }

    /// Purchases of the hot product by one user, for about as many points as are topped up, in transactions of at most as many as may be open.
    pub async fn purchase_hot(&self, user: usize, count: usize) -> Result<()> {
        for begin in (0..count).step_by(OPEN_ORDERS) {
            let (user_id, amount) = (self.users[user].clone(), positive(POINTS / 500)?);
            let top_up = Command::TopUpPoints(TopUpPoints { user_id, amount });
            let place = |_| self.place_of(user, self.hot_product());
            let places = (begin..count.min(begin + OPEN_ORDERS)).map(place).collect::<Result<_>>()?;
            let placed = placed(&self.run(places).await?);
            let pays = placed.into_iter().map(|order_id| self.pay(user, order_id));
            self.run(std::iter::once(top_up).chain(pays).collect()).await?;
        }
        Ok(())
    }

    /// Sets the time of the next transactions.
    pub fn set_now(&self, now: Timestamp) {
        self.clock.set(now);
    }

    /// Executes the requests in one transaction and returns their replies. All must succeed.
    pub async fn execute(&self, requests: &[Request]) -> Result<Vec<Reply>> {
        let reply = |answer: Result<Answer, StoreError>| match answer {
            Ok(Answer::Decided { outcome: Ok(reply), .. }) => Ok(reply),
            Ok(other) => bail!("the shop rejected a command of the benchmark: {other:?}"),
            Err(error) => Err(error.into()),
        };
        self.executor.execute(requests).await.into_iter().map(reply).collect()
    }

    /// Executes the commands in as few transactions as needed. All must succeed.
    pub async fn run(&self, commands: Vec<Command>) -> Result<Vec<Reply>> {
        let requests: Vec<_> = commands.into_iter().map(Request::new).collect();
        let mut replies = Vec::with_capacity(requests.len());
        for batch in requests.chunks(BATCH) {
            replies.extend(self.execute(batch).await?);
        }
        Ok(replies)
    }

    pub fn currency(&self) -> Currency {
        self.executor.rules.currency
    }

    /// The rows that purchases lock.
    pub fn rows(&self) -> LockSet {
        let mut rows = LockSet { accounts: self.users.iter().cloned().collect(), ..LockSet::default() };
        for id in &self.products {
            rows.add_product(*id, ProductDepth::Whole);
            rows.stocks.insert(*id);
        }
        rows
    }

    pub fn users(&self) -> &[UserId] {
        &self.users
    }

    /// The products of spread purchases.
    pub fn products(&self) -> &[ProductId] {
        &self.products[1..]
    }

    pub fn hot_product(&self) -> ProductId {
        self.products[0]
    }

    /// Excludes every product with that remainder by `every` from orders, and returns them.
    pub fn withdraw(&mut self, every: usize, remainder: usize) -> Vec<ProductId> {
        let is_withdrawn = |index: usize| index > 0 && index % every == remainder;
        let (withdrawn, left): (Vec<_>, Vec<_>) =
            self.products.drain(..).enumerate().partition(|(index, _)| is_withdrawn(*index));
        self.products = left.into_iter().map(|(_, id)| id).collect();
        withdrawn.into_iter().map(|(_, id)| id).collect()
    }

    /// An order of one item.
    pub fn place(&self, user: usize, product: usize) -> Result<Command> {
        self.place_of(user, self.products()[product])
    }

    fn place_of(&self, user: usize, product: ProductId) -> Result<Command> {
        let lines = OrderLines::new([(product, 1)], self.executor.rules.line_limits())?;
        Ok(Command::PlaceOrder(PlaceOrder { user_id: self.users[user].clone(), lines, expected_total: None }))
    }

    pub fn pay(&self, user: usize, order_id: OrderId) -> Command {
        Command::PayOrder(PayOrder { order_id, actor: self.actor(user), coupon: CouponChoice::None })
    }

    fn actor(&self, user: usize) -> Actor {
        Actor { user_id: self.users[user].clone(), is_admin: false }
    }

    /// Orders of the past up to `until`: see [`History`].
    pub fn history(&self, orders: usize, until: Timestamp, seed: u64) -> History<'_> {
        History {
            shop: self,
            random: SmallRng::seed_from_u64(seed),
            orders,
            done: 0,
            until,
            unpaid: BTreeMap::new(),
            orders_of_batch: History::ORDERS_OF_BATCH,
        }
    }

    /// Places orders, at most `each` per user, that expired a minute before `now`.
    pub async fn place_overdue(&self, count: usize, each: usize, now: Timestamp) -> Result<()> {
        self.set_now(now.saturating_sub(self.executor.rules.order_ttl + time::Duration::minutes(1)));
        let place = |index| self.place(index / each % self.users.len(), index % self.products().len());
        self.run((0..count).map(place).collect::<Result<_>>()?).await?;
        Ok(())
    }
}

/// A year of orders by random users of random products. Of a hundred orders, 94 are paid, 1 is paid and refunded, 3
/// expire and 2 are canceled unpaid.
pub struct History<'a> {
    shop: &'a Shop,
    random: SmallRng,
    orders: usize,
    done: usize,
    until: Timestamp,
    /// Orders that expire, by expiry time.
    unpaid: BTreeMap<Timestamp, Vec<OrderId>>,
    orders_of_batch: usize,
}

impl History<'_> {
    const ORDERS_OF_BATCH: usize = 2_000;
    /// Period of the orders.
    pub const LENGTH: time::Duration = time::Duration::days(365);

    /// Writes the next orders, then their payments and cancellations; false after the last ones.
    pub async fn next_batch(&mut self) -> Result<bool> {
        let count = self.orders_of_batch.min(self.orders - self.done);
        if count == 0 && self.unpaid.is_empty() {
            return Ok(false);
        }
        let half_an_hour = time::Duration::minutes(30);
        let now = if count > 0 { self.time_of(self.done) } else { self.until.saturating_sub(half_an_hour) };
        self.shop.set_now(now);
        let later = self.unpaid.split_off(&now.saturating_add(time::Duration::microseconds(1)));
        let due = std::mem::replace(&mut self.unpaid, later).into_values().flatten();
        let expire = due.map(|order_id| Command::ExpireOrder(ExpireOrder { order_id }));
        self.shop.run(expire.collect()).await?;
        let users: Vec<_> = (0..count).map(|_| self.random.random_range(0..self.shop.users.len())).collect();
        let mut random_product = || self.random.random_range(0..self.shop.products().len());
        let places = users.iter().map(|user| self.shop.place(*user, random_product())).collect::<Result<_>>()?;
        let orders = placed(&self.shop.run(places).await?);
        let mut commands = Vec::with_capacity(2 * count);
        for (index, (user, order_id)) in (self.done..).zip(users.into_iter().zip(orders)) {
            self.add_changes(index, user, order_id, now, &mut commands);
        }
        self.done += count;
        self.shop.run(commands).await?;
        Ok(true)
    }

    fn add_changes(
        &mut self,
        index: usize,
        user: usize,
        order_id: OrderId,
        now: Timestamp,
        commands: &mut Vec<Command>,
    ) {
        let cancel = Command::CancelOrder(CancelOrder { order_id, actor: self.shop.actor(user) });
        match index % 100 {
            0 => commands.extend([self.shop.pay(user, order_id), cancel]),
            1 | 2 => commands.push(cancel),
            3..=5 => {
                let expires_at = now.saturating_add(self.shop.executor.rules.order_ttl);
                self.unpaid.entry(expires_at).or_default().push(order_id);
            }
            _ => commands.push(self.shop.pay(user, order_id)),
        }
    }

    /// Time of the order with this index. The last order is old enough to have expired.
    fn time_of(&self, index: usize) -> Timestamp {
        let end = self.until.saturating_sub(time::Duration::hours(1));
        let age = Self::LENGTH * ((self.orders - index) as f64 / self.orders as f64);
        end.saturating_sub(age).max(self.shop.opened_at)
    }
}

/// The orders placed by the commands of these replies.
pub fn placed(replies: &[Reply]) -> Vec<OrderId> {
    let order_id = |reply: &Reply| match reply {
        Reply::OrderPlaced { order, .. } => Some(order.id),
        _ => None,
    };
    replies.iter().filter_map(order_id).collect()
}

/// The rules of a server with default settings.
fn rules() -> Result<ShopRules> {
    let units = |units| Money::from_units(units).context("an amount in range");
    let rules = ShopRules {
        currency: Currency::from_code("KRW").context("a currency")?,
        top_up_max: units(1_000_000)?,
        balance_max: units(10_000_000)?,
        order_ttl: time::Duration::minutes(10),
        order_lines_max: 100,
        order_quantity_max: 1_000,
        open_orders_max: OPEN_ORDERS as u32,
        unpaid_orders_max: 500,
        reserved_quantity_max: 1_000,
        calendar: Arc::new(Seoul),
    };
    rules.check()?;
    Ok(rules)
}

/// Korea has had no daylight saving time since 1988.
struct Seoul;

impl ShopCalendar for Seoul {
    fn day_of(&self, at: Timestamp) -> Date {
        at.saturating_add(time::Duration::hours(9)).to_offset_date_time().date()
    }
}

/// No retries: nothing runs concurrently while the shop is filled.
struct NoBackoff;

impl Backoff for NoBackoff {
    fn start(&self, _work: Work) -> Box<dyn Attempts> {
        Box::new(Self)
    }
}

#[async_trait]
impl Attempts for NoBackoff {
    async fn pause(&mut self, _cause: &StoreError) -> bool {
        false
    }
}

/// The time of this machine's clock, which the database shares.
pub fn now() -> Result<Timestamp> {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Timestamp::from_unix_microseconds(i64::try_from(elapsed.as_micros())?).context("a time in range")
}

fn user_id(index: usize) -> Result<UserId> {
    Ok(format!("user-{index:06}").parse()?)
}

pub fn category(index: usize) -> String {
    format!("category-{:02}", index % CATEGORIES)
}

/// 300 characters, a typical length.
const HANGUL_DESCRIPTION: &str = "국내에서 자란 원목을 골라 숙련된 장인이 하나씩 손으로 다듬어 만든 제품입니다. 표면은 천연 오일로 \
마감하여 나뭇결이 그대로 살아 있고, 오래 사용할수록 색이 깊어집니다. 모서리는 둥글게 처리하여 아이가 있는 집에서도 안심하고 쓸 수 \
있습니다. 조립은 따로 필요하지 않으며, 상자에서 꺼내 바로 사용하시면 됩니다. 물기가 닿으면 마른 천으로 닦아 주시고, 직사광선이 드는 \
곳은 피해 주세요. 나무의 특성상 사진과 색이나 무늬가 조금 다를 수 있으나 이는 불량이 아닙니다. 구매하신 날부터 일 년 동안 무상으로 \
수리해 드리며, 받으신 지 이레 안에는 이유를 묻지 않고 교환하거나 환불해 드립니다.";

/// Name and description of the product with this index.
fn texts(index: usize, names: Names) -> (String, String) {
    match names {
        Names::Hangul if index.is_multiple_of(2) => {
            (format!("장인이 만든 원목 수납 선반 {index:04}호 (친환경 도장)"), HANGUL_DESCRIPTION.to_owned())
        }
        Names::Hangul | Names::Ascii => {
            let description = format!("Product number {index}, always in stock.");
            (format!("Product {index:04}"), description)
        }
    }
}

fn details(index: usize, names: Names) -> Result<ProductDetails> {
    let colors = ["red", "green", "blue", "black", "white"];
    let options: BTreeMap<OptionName, OptionValue> = [
        ("color".to_owned().try_into()?, colors[index % colors.len()].to_owned().try_into()?),
        ("size".to_owned().try_into()?, (index % 10).to_string().try_into()?),
    ]
    .into();
    let (name, description) = texts(index, names);
    Ok(ProductDetails {
        sku: None,
        name: name.try_into()?,
        description: description.try_into()?,
        category: category(index).try_into()?,
        options: Options::try_from(options)?,
        item_group_id: Some(format!("item-{:04}", index / 10).try_into()?),
        price: Price::try_from(Money::from_units(100 + 10 * i64::try_from(index % 90)?).context("in range")?)?,
        status: ProductStatus::OnSale,
    })
}

pub fn positive(units: i64) -> Result<PositiveMoney> {
    Ok(Money::from_units(units).context("in range")?.try_into()?)
}

#[cfg(test)]
mod tests {
    use jangteo_domain::delivery::DeliveryState;
    use jangteo_domain::order::{OrderFilter, OrderStatus};
    use jangteo_domain::page::Page;

    use super::*;
    use crate::store;

    #[tokio::test]
    async fn writes_a_past_through_the_adapter() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let database = store::open_new(&format!("sqlite:{}", folder.path().join("shop.db").display())).await?;
        let today = now()?;
        let opened_at = today.saturating_sub(History::LENGTH + time::Duration::days(1));
        let size = Size { users: 30, products: 7, names: Names::Hangul };
        let shop = Shop::open_in(&database, size, opened_at).await?;
        let mut history = History { orders_of_batch: 100, ..shop.history(2_400, today, 1) };
        while history.next_batch().await? {}

        let count = async |status| {
            let filter = OrderFilter { status: Some(status), ..OrderFilter::default() };
            let page = Page { after: None, limit: 2_400 };
            Ok::<_, StoreError>(database.queries().orders.list(&filter, &page).await?.value.len())
        };
        assert_eq!(count(OrderStatus::Paid).await?, 24 * 94);
        assert_eq!(count(OrderStatus::Refunded).await?, 24);
        assert_eq!(count(OrderStatus::Cancelled).await?, 24 * 2);
        assert_eq!(count(OrderStatus::Expired).await?, 24 * 3);
        let events = database.queries().deliveries.list(None, &Page { after: None, limit: 2_400 }).await?;
        let events_since = today.saturating_sub(time::Duration::days(31));
        assert!(!events.is_empty());
        assert!(events.iter().all(|event| event.state == DeliveryState::Delivered && event.at >= events_since));
        assert_eq!(store::findings(&database).await?, [""; 0]);

        shop.place_overdue(50, 2, today).await?;
        assert_eq!(database.queries().orders.due(None, 100).await?.len(), 50);
        assert_eq!(store::findings(&database).await?, [""; 0]);
        Ok(())
    }

    #[test]
    fn every_second_product_has_a_name_in_hangul() -> Result<()> {
        for index in 0..4 {
            assert_eq!(details(index, Names::Hangul)?.name.as_str().is_ascii(), index % 2 == 1);
            assert!(details(index, Names::Ascii)?.name.as_str().is_ascii());
        }
        Ok(())
    }
}
