//! The yardstick for writes: what the database can do with nobody in front of it.
//!
//! The statements of the server's batches, locks, idempotency keys, events and marker included, are written down
//! beforehand by the domain's own executor, and then sent as plain SQL text by as many connections as do best. A
//! transaction places so many orders and pays those that the one before it on its connection placed. Connections
//! share no user and no product, so that none waits for another: the database at its best.

use std::time::Instant;

use anyhow::Result;
use futures_util::future::try_join_all;
use jangteo_domain::batch::Request;
use jangteo_domain::command::Command;
use jangteo_domain::id::OrderId;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::database::{Connection, Database, Kind};
use crate::measure::per_second;
use crate::process;
use crate::progress::Progress;
use crate::script::{Style, Transaction};
use crate::server::{Books, Program};
use crate::shop::{self, Shop, Size};

const NAME: &str = "yardstick";

/// What to try.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LimitPlan {
    /// Purchases of each try.
    pub purchases: usize,
    /// Purchases of a transaction.
    pub batches: Vec<usize>,
    /// Connections.
    pub connections: Vec<usize>,
}

/// What one batch size on so many connections came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Try {
    /// Purchases of a transaction.
    pub batch: usize,
    /// Connections.
    pub connections: usize,
    /// Purchases in all.
    pub purchases: usize,
    /// How long it took.
    pub seconds: f64,
    /// Purchases a second.
    pub per_second: f64,
    /// Statements of a full transaction.
    pub statements: usize,
    /// Processor seconds of the database, where it is a process of its own.
    pub database_cpu_seconds: Option<f64>,
}

/// The database's own limit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limit {
    /// The best of what was tried.
    pub best: Try,
    /// All that was tried.
    pub tried: Vec<Try>,
    /// The best again, and the server, in turns.
    pub turns: Turns,
    /// Whether the books were right after it.
    pub books: Books,
}

/// The server and the plain SQL in turns, so that whatever else the machine does meets both.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Turns {
    /// How many.
    pub turns: u32,
    /// Callers of the server.
    pub callers: usize,
    /// Purchases a second by HTTP, spread over the products.
    pub purchases_per_second: f64,
    /// Purchases a second of the one product.
    pub hot_purchases_per_second: f64,
    /// Twice as many callers, whose batches are larger.
    pub more_callers: usize,
    /// Their purchases a second, spread over the products.
    pub purchases_of_more_per_second: f64,
    /// Purchases a second by plain SQL.
    pub limit_per_second: f64,
}

/// Plain SQL on a database of its own.
pub struct Yardstick<'a> {
    database: &'a Database,
    url: String,
    purchases: Purchases,
}

impl<'a> Yardstick<'a> {
    /// Opens its shop.
    pub async fn open(database: &'a Database, program: &Program, size: Size, seed: u64) -> Result<Self> {
        let (shop, url) = Shop::open_in(database, NAME, program, size).await?;
        shop.script().set_style(Style::Replay);
        let purchases = Purchases { shop, random: SmallRng::seed_from_u64(seed), count: 0 };
        Ok(Self { database, url, purchases })
    }

    /// Tries all of the plan.
    pub async fn try_all(&mut self, plan: &LimitPlan, progress: &Progress) -> Result<Vec<Try>> {
        let connection_counts: &[usize] = match self.database.kind() {
            Kind::Mariadb => &plan.connections,
            Kind::Sqlite => &[1], // One writer at a time is all that it has.
        };
        // The first try warms the database up and does not count.
        self.replay(plan.batches[0], connection_counts[0], plan.purchases / 4).await?;
        let mut tried = Vec::new();
        for &connections in connection_counts {
            for &batch in &plan.batches {
                progress.step(format!(
                    "the database's own limit: {batch} purchases a transaction, {connections} connections"
                ));
                let begun_at = Instant::now();
                tried.push(self.replay(batch, connections, plan.purchases).await?);
                progress.advance(begun_at.elapsed());
            }
        }
        Ok(tried)
    }

    /// Makes about so many purchases.
    pub async fn replay(&mut self, batch: usize, connections: usize, count: usize) -> Result<Try> {
        let rounds = (count / batch / connections).max(1);
        let scripts = self.purchases.write_down(batch, connections, rounds)?;
        let statements = scripts.iter().flatten().map(Vec::len).max().unwrap_or(0);
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(self.database.connect(NAME).await?);
        }
        let cpu = || self.database.pid().map(process::cpu_seconds).transpose();
        let cpu_before = cpu()?;
        let begun_at = Instant::now();
        let open =
            try_join_all(open.into_iter().zip(&scripts).map(|(connection, script)| send(connection, script))).await?;
        let seconds = begun_at.elapsed().as_secs_f64();
        let database_cpu_seconds = cpu()?.zip(cpu_before).map(|(after, before)| after - before);
        for connection in open {
            connection.close().await?;
        }
        let purchases = rounds * batch * connections;
        let per_second = per_second(purchases as u64, seconds);
        Ok(Try { batch, connections, purchases, seconds, per_second, statements, database_cpu_seconds })
    }

    /// Checks its books and takes it away.
    pub async fn close(self, program: &Program) -> Result<Books> {
        let books = program.verify(&self.url)?;
        self.database.discard(NAME).await?;
        Ok(books)
    }
}

async fn send(mut connection: Connection, script: &[Transaction]) -> Result<Connection> {
    for transaction in script {
        connection.run_transaction(transaction).await?;
    }
    Ok(connection)
}

struct Purchases {
    shop: Shop,
    random: SmallRng,
    count: u64,
}

impl Purchases {
    /// The transactions of each connection: `rounds` that place orders, each paying for those of the one before, and
    /// one that pays for the last.
    fn write_down(&mut self, batch: usize, connections: usize, rounds: usize) -> Result<Vec<Vec<Transaction>>> {
        let mut scripts = vec![Vec::with_capacity(rounds + 1); connections];
        let mut placed: Vec<Vec<(usize, OrderId)>> = vec![Vec::new(); connections];
        for round in 0..=rounds {
            for connection in 0..connections {
                let pays = placed[connection].drain(..).map(|(user, order_id)| self.shop.pay(user, order_id));
                let mut commands: Vec<Command> = pays.collect();
                for _ in 0..if round < rounds { batch } else { 0 } {
                    let user = self.pick(self.shop.users().len(), connection, connections);
                    let product = self.pick(self.shop.products().len(), connection, connections);
                    let (order_id, place) = self.shop.place(user, product)?;
                    placed[connection].push((user, order_id));
                    commands.push(place);
                }
                scripts[connection].extend(self.transactions(commands)?);
            }
        }
        Ok(scripts)
    }

    /// One of those that are this connection's.
    fn pick(&mut self, count: usize, connection: usize, connections: usize) -> usize {
        self.random.random_range(0..count / connections) * connections + connection
    }

    fn transactions(&mut self, commands: Vec<Command>) -> Result<Vec<Transaction>> {
        let mut request = |command| {
            self.count += 1;
            Request { idempotency: Some(shop::claim(self.count)), ..Request::new(command) }
        };
        let requests: Vec<_> = commands.into_iter().map(&mut request).collect();
        self.shop.script().set_now(shop::now()?);
        self.shop.script().run(&requests)?;
        Ok(self.shop.script().take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Dialect;
    use std::collections::BTreeSet;

    #[test]
    fn connections_share_no_row() {
        let opened_at = shop::now().expect("a clock");
        let shop = Shop::open(Dialect::MySql, Size { users: 40, products: 8 }, opened_at).expect("a shop");
        shop.script().take();
        shop.script().set_style(Style::Replay);
        let mut purchases = Purchases { shop, random: SmallRng::seed_from_u64(1), count: 0 };
        let scripts = purchases.write_down(4, 2, 3).expect("written down");
        assert_eq!(scripts.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4]);
        let locked = |script: &[Transaction], table: &str| -> BTreeSet<String> {
            let is_lock = |text: &&String| text.contains(&format!("FROM {table} ")) && text.ends_with("FOR UPDATE");
            let keys = |text: &String| {
                let (_, keys) = text.split_once(" IN (").expect("by key");
                keys.split([',', ')']).filter(|key| key.contains('\'')).map(str::to_owned).collect::<Vec<_>>()
            };
            script.iter().flatten().filter(is_lock).flat_map(keys).collect()
        };
        for table in ["stocks", "point_accounts", "orders", "products"] {
            let (first, second) = (locked(&scripts[0], table), locked(&scripts[1], table));
            assert!(!first.is_empty() && first.is_disjoint(&second), "{table}");
        }
    }
}
