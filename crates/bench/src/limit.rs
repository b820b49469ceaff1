//! The yardstick for writes: the database's own limit, with only the server's adapter in front of it.
//!
//! The domain's executor records the transactions of the server's batches on an in-memory store, with locks,
//! idempotency keys, events and commit marker. They are then replayed through the adapter, without HTTP or decisions,
//! on the best number of connections. A transaction places orders and pays for those of the previous transaction on
//! its connection. Connections share no user and no product, so that none waits for another's locks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use futures_util::future::try_join_all;
use jangteo_domain::command::Command;
use jangteo_domain::id::OrderId;
use jangteo_domain::{Request, StoreError};
use jangteo_testkit::cpu_seconds;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::answers;
use crate::database::{Database, Kind};
use crate::measure::per_second;
use crate::past::Clock;
use crate::progress::Progress;
use crate::recorder::{Recorder, Transaction};
use crate::server::{Books, Program};
use crate::shop::{self, Shop, Size};
use crate::store::{self, on_threads};

const NAME: &str = "yardstick";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LimitPlan {
    pub purchases: usize,
    pub batches: Vec<usize>,
    pub connections: Vec<usize>,
}

/// The result for one batch size and number of connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Try {
    pub batch: usize,
    pub connections: usize,
    pub purchases: usize,
    pub seconds: f64,
    pub per_second: f64,
    /// Processor seconds of the database, if it is a separate process.
    pub database_cpu_seconds: Option<f64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limit {
    pub best: Try,
    pub tried: Vec<Try>,
    /// The best configuration again, in turns with the server.
    pub turns: Turns,
    pub books: Books,
}

/// The server and the replay in turns, so that other activity on the machine affects both.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Turns {
    pub turns: u32,
    /// Callers of the server.
    pub callers: usize,
    /// Purchases a second over HTTP, spread over the products.
    pub purchases_per_second: f64,
    /// Purchases a second of one product.
    pub hot_purchases_per_second: f64,
    /// Twice as many callers, which fill larger batches.
    pub more_callers: usize,
    /// Purchases a second of `more_callers`, spread over the products.
    pub purchases_of_more_per_second: f64,
    /// Purchases a second through the adapter alone.
    pub limit_per_second: f64,
}

/// Replays recorded transactions on a separate database.
pub struct Yardstick<'a> {
    database: &'a Database,
    url: String,
    /// By number of connections.
    adapters: BTreeMap<usize, jangteo_sql::Database>,
    purchases: Purchases,
}

impl<'a> Yardstick<'a> {
    pub async fn open(database: &'a Database, size: Size, seed: u64) -> Result<Self> {
        let url = database.create(NAME).await?;
        let adapter = store::open_new(&url).await?;
        let purchases = Purchases::new(size, seed).await?;
        replay(adapter.clone(), purchases.recorder.take()).await?;
        Ok(Self { database, url, adapters: BTreeMap::from([(1, adapter)]), purchases })
    }

    /// Measures every combination of the plan.
    pub async fn try_all(&mut self, plan: &LimitPlan, progress: &Progress) -> Result<Vec<Try>> {
        let connection_counts: &[usize] = match self.database.kind() {
            Kind::Mariadb => &plan.connections,
            Kind::Sqlite => &[1], // SQLite has a single writer.
        };
        // The first replay warms the database up and is not counted.
        self.replay(plan.batches[0], connection_counts[0], plan.purchases / 4).await?;
        let mut tried = Vec::new();
        for &connections in connection_counts {
            for &batch in &plan.batches {
                progress.step(format!(
                    "the database's own limit: {batch} purchases a transaction, {connections} connections"
                ));
                let started_at = Instant::now();
                tried.push(self.replay(batch, connections, plan.purchases).await?);
                progress.advance(started_at.elapsed());
            }
        }
        Ok(tried)
    }

    /// Makes about `count` purchases.
    pub async fn replay(&mut self, batch: usize, connections: usize, count: usize) -> Result<Try> {
        let rounds = (count / batch / connections).max(1);
        let scripts = self.purchases.record(batch, connections, rounds).await?;
        let adapter = self.adapter(connections).await?;
        let cpu = || self.database.pid().map(cpu_seconds).transpose();
        let cpu_before = cpu()?;
        let started_at = Instant::now();
        try_join_all(scripts.into_iter().map(|script| replay(adapter.clone(), script))).await?;
        let seconds = started_at.elapsed().as_secs_f64();
        let database_cpu_seconds = cpu()?.zip(cpu_before).map(|(after, before)| after - before);
        let purchases = rounds * batch * connections;
        let per_second = per_second(purchases as u64, seconds);
        Ok(Try { batch, connections, purchases, seconds, per_second, database_cpu_seconds })
    }

    /// The adapter with this number of connections, opened once.
    async fn adapter(&mut self, connections: usize) -> Result<jangteo_sql::Database> {
        if let Some(adapter) = self.adapters.get(&connections) {
            return Ok(adapter.clone());
        }
        let adapter = store::open(&self.url, connections).await?;
        self.adapters.insert(connections, adapter.clone());
        Ok(adapter)
    }

    /// Verifies the books and drops the database.
    pub async fn close(self, program: &Program) -> Result<Books> {
        let books = program.verify(&self.url).await?;
        self.database.discard(NAME).await?;
        Ok(books)
    }
}

async fn replay(adapter: jangteo_sql::Database, script: Vec<Transaction>) -> Result<()> {
    let store = adapter.unit_of_work_factory();
    let replaying = async move {
        for transaction in script {
            transaction.replay(&*store).await?;
        }
        Ok::<_, StoreError>(())
    };
    Ok(on_threads(replaying).await??)
}

struct Purchases {
    shop: Shop,
    recorder: Recorder,
    random: SmallRng,
    count: u64,
}

impl Purchases {
    async fn new(size: Size, seed: u64) -> Result<Self> {
        let clock = Arc::new(Clock::new(shop::now()?));
        let recorder = Recorder::new(Arc::clone(&clock));
        let shop = Shop::open(Arc::new(recorder.clone()), clock, size).await?;
        Ok(Self { shop, recorder, random: SmallRng::seed_from_u64(seed), count: 0 })
    }

    /// The transactions of each connection: in each of `rounds`, orders and the payments of the previous round's; then
    /// the payments of the last round's.
    async fn record(&mut self, batch: usize, connections: usize, rounds: usize) -> Result<Vec<Vec<Transaction>>> {
        self.recorder.retain_only(&self.shop.rows()).await?;
        let mut scripts = vec![Vec::with_capacity(rounds + 1); connections];
        let mut placed: Vec<Vec<(usize, OrderId)>> = vec![Vec::new(); connections];
        for round in 0..=rounds {
            self.shop.set_now(shop::now()?);
            for connection in 0..connections {
                let pays = placed[connection].drain(..).map(|(user, order_id)| self.shop.pay(user, order_id));
                let mut commands: Vec<Command> = pays.collect();
                let mut users = Vec::new();
                for _ in 0..if round < rounds { batch } else { 0 } {
                    let user = self.pick(self.shop.users().len(), connection, connections);
                    let product = self.pick(self.shop.products().len(), connection, connections);
                    users.push(user);
                    commands.push(self.shop.place(user, product)?);
                }
                let requests: Vec<_> = commands.into_iter().map(|command| self.request(command)).collect();
                let orders = shop::placed(&self.shop.execute(&requests).await?);
                placed[connection] = users.into_iter().zip(orders).collect();
                scripts[connection].extend(self.recorder.take());
            }
        }
        Ok(scripts)
    }

    fn request(&mut self, command: Command) -> Request {
        self.count += 1;
        Request { command, recording: Some(answers::recording(self.count, self.shop.currency())) }
    }

    /// A random index that belongs to this connection.
    fn pick(&mut self, count: usize, connection: usize, connections: usize) -> usize {
        self.random.random_range(0..count / connections) * connections + connection
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jangteo_domain::page::Page;
    use jangteo_domain::transaction::LockSet;

    use super::*;
    use crate::shop::Names;

    #[tokio::test]
    async fn connections_share_no_row() {
        let size = Size { users: 40, products: 8, names: Names::Hangul };
        let mut purchases = Purchases::new(size, 1).await.expect("a shop");
        purchases.recorder.take();
        let scripts = purchases.record(4, 2, 3).await.expect("recorded");
        assert_eq!(scripts.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4]);
        let rows = |script: &[Transaction]| {
            let mut rows = (BTreeSet::new(), LockSet::default());
            for Transaction { first, locks, .. } in script {
                rows.0.extend(first.orders.iter().copied());
                rows.1.accounts.extend(locks.accounts.iter().cloned());
                rows.1.products.extend(locks.products.clone());
                rows.1.stocks.extend(&locks.stocks);
            }
            rows
        };
        let ((orders, locks), (other_orders, other_locks)) = (rows(&scripts[0]), rows(&scripts[1]));
        assert!(!orders.is_empty() && orders.is_disjoint(&other_orders));
        assert!(!locks.accounts.is_empty() && locks.accounts.is_disjoint(&other_locks.accounts));
        assert!(!locks.stocks.is_empty() && locks.stocks.is_disjoint(&other_locks.stocks));
        assert!(!locks.products.is_empty());
        assert!(locks.products.keys().all(|product| !other_locks.products.contains_key(product)));
    }

    #[tokio::test]
    async fn a_replay_leaves_the_books_balanced() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let database = Database::start(Kind::Sqlite, folder.path()).await?;
        let size = Size { users: 40, products: 8, names: Names::Hangul };
        let mut yardstick = Yardstick::open(&database, size, 1).await?;
        for count in [12, 24] {
            assert_eq!(yardstick.replay(4, 1, count).await?.purchases, count);
        }
        let adapter = yardstick.adapter(1).await?;
        assert_eq!(store::findings(&adapter).await?, [""; 0]);
        let paid = adapter.queries().deliveries.list(None, &Page { after: None, limit: 100 }).await?;
        assert_eq!(paid.len(), 36);
        Ok(())
    }
}
