//! The shop that is measured: its users with their points, its products with their stock, and years of orders.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use jangteo_domain::batch::Request;
use jangteo_domain::command::{
    Actor, AdjustStock, CancelOrder, Command, CouponChoice, CreateProduct, ExpireOrder, PayOrder, PlaceOrder,
    TopUpPoints,
};
use jangteo_domain::id::{OrderId, ProductId, UserId};
use jangteo_domain::idempotency::{Fingerprint, IdempotencyKey, RequestKey};
use jangteo_domain::money::{Money, PositiveMoney};
use jangteo_domain::order::OrderLines;
use jangteo_domain::product::{OptionName, OptionValue, Options, Price, ProductDetails, ProductStatus};
use jangteo_domain::time::Timestamp;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::database::Database;
use crate::script::{Script, Style};
use crate::server::Program;
use crate::sql::Dialect;

/// The points that each user starts with: the most that one top-up may add, enough for thousands of orders.
const POINTS: i64 = 1_000_000;
/// Pieces of each product: more than any run sells, and far from what a stock can count.
const STOCK: i32 = 1_000_000_000;
/// How many categories the products are spread over.
pub const CATEGORIES: usize = 20;
/// Commands of one batch while the shop is filled.
const BATCH: usize = 4_000;

/// How large a shop.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Size {
    /// Users, each with points.
    pub users: usize,
    /// Products, each with stock, besides the hot one.
    pub products: usize,
}

/// A shop and the text that makes it.
pub struct Shop {
    script: Script,
    users: Vec<UserId>,
    products: Vec<ProductId>,
    hot_product: ProductId,
    opened_at: Timestamp,
}

impl Shop {
    /// A shop that opens at that time: everybody tops up once, every product is made and stocked.
    pub fn open(dialect: Dialect, size: Size, opened_at: Timestamp) -> Result<Self> {
        let script = Script::new(dialect)?;
        script.set_style(Style::Bulk);
        script.set_now(opened_at);
        let product_ids: Vec<ProductId> = (0..=size.products).map(|_| script.next_id().into()).collect();
        let users = (0..size.users).map(user_id).collect::<Result<Vec<_>>>()?;
        let (hot_product, products) = product_ids.split_first().context("there is at least the hot product")?;
        let shop = Self { script, users, products: products.to_vec(), hot_product: *hot_product, opened_at };

        let mut commands = Vec::new();
        for (index, product_id) in product_ids.iter().enumerate() {
            commands.push(Command::CreateProduct(CreateProduct { product_id: *product_id, details: details(index)? }));
            commands.push(Command::AdjustStock(AdjustStock {
                product_id: *product_id,
                quantity: STOCK,
                reason: "the first delivery".to_owned().try_into()?,
            }));
        }
        let amount = positive(POINTS)?;
        let top_up = |user_id: &UserId| Command::TopUpPoints(TopUpPoints { user_id: user_id.clone(), amount });
        commands.extend(shop.users.iter().map(top_up));
        // A product is stocked in the batch that makes it: batches have even lengths.
        for batch in commands.chunks(BATCH) {
            shop.run(batch)?;
        }
        Ok(shop)
    }

    /// One that opens now, in a new database of that name, and the address for the server.
    pub async fn open_in(database: &Database, name: &str, program: &Program, size: Size) -> Result<(Self, String)> {
        let url = database.create(name).await?;
        program.migrate(&url)?;
        let shop = Self::open(database.kind().dialect(), size, now()?)?;
        let mut connection = database.connect(name).await?;
        for transaction in shop.script.take() {
            connection.run_transaction(&transaction).await?;
        }
        connection.run_transaction(&shop.script.finish()).await?;
        connection.close().await?;
        Ok((shop, url))
    }

    /// The text of it.
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// The users' ids.
    pub fn users(&self) -> &[UserId] {
        &self.users
    }

    /// The products that purchases are spread over.
    pub fn products(&self) -> &[ProductId] {
        &self.products
    }

    /// The product that everybody wants.
    pub fn hot_product(&self) -> ProductId {
        self.hot_product
    }

    fn run(&self, commands: &[Command]) -> Result<()> {
        let requests: Vec<_> = commands.iter().cloned().map(Request::new).collect();
        self.script.run(&requests)
    }

    /// An order of one piece, and its id.
    pub fn place(&self, user: usize, product: usize) -> Result<(OrderId, Command)> {
        let order_id = self.script.next_id().into();
        let lines = OrderLines::new([(self.products[product], 1)], self.script.rules())?;
        let user_id = self.users[user].clone();
        Ok((order_id, Command::PlaceOrder(PlaceOrder { order_id, user_id, lines, expected_total: None })))
    }

    /// Its payment.
    pub fn pay(&self, user: usize, order_id: OrderId) -> Command {
        Command::PayOrder(PayOrder { order_id, actor: self.actor(user), coupon: CouponChoice::None })
    }

    fn actor(&self, user: usize) -> Actor {
        Actor { user_id: self.users[user].clone(), is_admin: false }
    }

    /// Orders of the past, to be written down in order: see [`History`].
    pub fn history(&self, orders: usize, until: Timestamp, seed: u64) -> History<'_> {
        History { shop: self, random: SmallRng::seed_from_u64(seed), orders, done: 0, until, unpaid: BTreeMap::new() }
    }

    /// Orders whose time to pay ended a minute before `now` and that nobody has swept yet, at most `each` a user.
    /// Their rows are put off until [`Script::finish_open_orders`].
    pub fn forget_orders(&self, count: usize, each: usize, now: Timestamp) -> Result<()> {
        self.script.set_now(now.saturating_add(-self.script.rules().order_ttl - time::Duration::minutes(1)));
        let mut commands = Vec::with_capacity(count);
        for index in 0..count {
            commands.push(self.place(index / each % self.users.len(), index % self.products.len())?.1);
        }
        commands.chunks(BATCH).try_for_each(|batch| self.run(batch))
    }
}

/// The past of a shop: of a hundred orders 95 were paid, and of these 1 cancelled and refunded later; 3 expired and 2
/// were cancelled unpaid. Spread evenly over a year, users and products at random.
pub struct History<'a> {
    shop: &'a Shop,
    random: SmallRng,
    orders: usize,
    done: usize,
    until: Timestamp,
    /// Orders that will expire, by the time when they do.
    unpaid: BTreeMap<Timestamp, Vec<OrderId>>,
}

impl History<'_> {
    const ORDERS_OF_BATCH: usize = 2_000;
    /// How long the past lasts.
    pub const LENGTH: time::Duration = time::Duration::days(365);

    /// Writes the next batch down; false when all is written.
    pub fn next_batch(&mut self) -> Result<bool> {
        let count = Self::ORDERS_OF_BATCH.min(self.orders - self.done);
        if count == 0 && self.unpaid.is_empty() {
            return Ok(false);
        }
        let half_an_hour = time::Duration::minutes(30);
        let now = if count > 0 { self.time_of(self.done) } else { self.until.saturating_add(-half_an_hour) };
        self.shop.script.set_now(now);
        let mut commands = Vec::with_capacity(3 * count);
        let later = self.unpaid.split_off(&now.saturating_add(time::Duration::microseconds(1)));
        let due = std::mem::replace(&mut self.unpaid, later).into_values().flatten();
        commands.extend(due.map(|order_id| Command::ExpireOrder(ExpireOrder { order_id })));
        for index in self.done..self.done + count {
            self.add_order(index, now, &mut commands)?;
        }
        self.done += count;
        self.shop.run(&commands)?;
        Ok(true)
    }

    fn add_order(&mut self, index: usize, now: Timestamp, commands: &mut Vec<Command>) -> Result<()> {
        let user = self.random.random_range(0..self.shop.users.len());
        let product = self.random.random_range(0..self.shop.products.len());
        let (order_id, place) = self.shop.place(user, product)?;
        commands.push(place);
        let cancel = Command::CancelOrder(CancelOrder { order_id, actor: self.shop.actor(user) });
        match index % 100 {
            0 => commands.extend([self.shop.pay(user, order_id), cancel]),
            1 | 2 => commands.push(cancel),
            3..=5 => {
                let expires_at = now.saturating_add(self.shop.script.rules().order_ttl);
                self.unpaid.entry(expires_at).or_default().push(order_id);
            }
            _ => commands.push(self.shop.pay(user, order_id)),
        }
        Ok(())
    }

    /// When the order of that number was placed. The last one long enough ago to have expired by now.
    fn time_of(&self, index: usize) -> Timestamp {
        let end = self.until.saturating_add(-time::Duration::hours(1));
        let age = Self::LENGTH * ((self.orders - index) as f64 / self.orders as f64);
        end.saturating_add(-age).max(self.shop.opened_at)
    }
}

/// What makes a request one that may be sent again, as the server would have it from the client.
pub fn claim(number: u64) -> IdempotencyKey {
    // Keys are hashes in the server, so these are spread over the key space as well.
    let mut random = SmallRng::seed_from_u64(number);
    IdempotencyKey { key: RequestKey(random.random()), fingerprint: Fingerprint(random.random()) }
}

/// The time now by this machine's clock, which is the database's too.
pub fn now() -> Result<Timestamp> {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Timestamp::from_unix_microseconds(i64::try_from(elapsed.as_micros())?).context("a time in range")
}

fn user_id(index: usize) -> Result<UserId> {
    Ok(format!("user-{index:06}").parse()?)
}

/// The category of the product of that number.
pub fn category(index: usize) -> String {
    format!("category-{:02}", index % CATEGORIES)
}

fn details(index: usize) -> Result<ProductDetails> {
    let colors = ["red", "green", "blue", "black", "white"];
    let options: BTreeMap<OptionName, OptionValue> = [
        ("color".to_owned().try_into()?, colors[index % colors.len()].to_owned().try_into()?),
        ("size".to_owned().try_into()?, (index % 10).to_string().try_into()?),
    ]
    .into();
    Ok(ProductDetails {
        name: format!("Product {index:04}").try_into()?,
        description: format!("The product of number {index}, of which there is always enough.").try_into()?,
        category: category(index).try_into()?,
        options: Options::try_from(options)?,
        item_group_id: Some(format!("item-{:04}", index / 10).try_into()?),
        price: Price::try_from(Money::from_units(100 + 10 * i64::try_from(index % 90)?).context("in range")?)?,
        status: ProductStatus::OnSale,
    })
}

fn positive(units: i64) -> Result<PositiveMoney> {
    Ok(Money::from_units(units).context("in range")?.try_into()?)
}
