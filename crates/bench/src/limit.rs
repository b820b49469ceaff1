//! The yardstick for writes: what the database can do with the server's adapter alone in front of it.
//!
//! The transactions of the server's batches, locks, idempotency keys, events and marker included, are recorded
//! beforehand by the domain's own executor on a store in memory, and then replayed through the adapter, with no HTTP and
//! nothing to decide, on as many connections as do best. A transaction places so many orders and pays those that the one
//! before it on its connection placed. Connections share no user and no product, so that none waits for another: the
//! database at its best.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use futures_util::future::try_join_all;
use jangteo_domain::command::Command;
use jangteo_domain::id::OrderId;
use jangteo_domain::{Request, StoreError};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::answers;
use crate::database::{Database, Kind};
use crate::measure::per_second;
use crate::past::Clock;
use crate::process;
use crate::progress::Progress;
use crate::recorder::{Recorder, Transaction};
use crate::server::{Books, Program};
use crate::shop::{self, Shop, Size};
use crate::store::{self, on_threads};

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

/// The server and the replay in turns, so that whatever else the machine does meets both.
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
    /// Purchases a second by the adapter alone.
    pub limit_per_second: f64,
}

/// Transactions on a database of its own.
pub struct Yardstick<'a> {
    database: &'a Database,
    url: String,
    /// By how many connections they have.
    adapters: BTreeMap<usize, jangteo_sql::Database>,
    purchases: Purchases,
}

impl<'a> Yardstick<'a> {
    /// Opens its shop.
    pub async fn open(database: &'a Database, size: Size, seed: u64) -> Result<Self> {
        let url = database.create(NAME).await?;
        let adapter = store::open_new(&url).await?;
        let purchases = Purchases::new(size, seed).await?;
        replay(adapter.clone(), purchases.recorder.take()).await?;
        Ok(Self { database, url, adapters: BTreeMap::from([(1, adapter)]), purchases })
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
        let scripts = self.purchases.record(batch, connections, rounds).await?;
        let adapter = self.adapter(connections).await?;
        let cpu = || self.database.pid().map(process::cpu_seconds).transpose();
        let cpu_before = cpu()?;
        let begun_at = Instant::now();
        try_join_all(scripts.into_iter().map(|script| replay(adapter.clone(), script))).await?;
        let seconds = begun_at.elapsed().as_secs_f64();
        let database_cpu_seconds = cpu()?.zip(cpu_before).map(|(after, before)| after - before);
        let purchases = rounds * batch * connections;
        let per_second = per_second(purchases as u64, seconds);
        Ok(Try { batch, connections, purchases, seconds, per_second, database_cpu_seconds })
    }

    /// One that has so many connections, and keeps them.
    async fn adapter(&mut self, connections: usize) -> Result<jangteo_sql::Database> {
        if let Some(adapter) = self.adapters.get(&connections) {
            return Ok(adapter.clone());
        }
        let adapter = store::open(&self.url, connections).await?;
        self.adapters.insert(connections, adapter.clone());
        Ok(adapter)
    }

    /// Checks its books and takes it away.
    pub async fn close(self, program: &Program) -> Result<Books> {
        let books = program.verify(&self.url)?;
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

    /// The transactions of each connection: `rounds` that place orders, each paying for those of the one before, and
    /// one that pays for the last.
    async fn record(&mut self, batch: usize, connections: usize, rounds: usize) -> Result<Vec<Vec<Transaction>>> {
        self.recorder.keep_only(&self.shop.rows()).await?;
        let mut scripts = vec![Vec::with_capacity(rounds + 1); connections];
        let mut placed: Vec<Vec<(usize, OrderId)>> = vec![Vec::new(); connections];
        for round in 0..=rounds {
            self.shop.set_now(shop::now()?);
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
                let requests: Vec<_> = commands.into_iter().map(|command| self.request(command)).collect();
                self.shop.execute(&requests).await?;
                scripts[connection].extend(self.recorder.take());
            }
        }
        Ok(scripts)
    }

    fn request(&mut self, command: Command) -> Request {
        self.count += 1;
        Request { command, recording: Some(answers::recording(self.count, self.shop.currency())) }
    }

    /// One of those that are this connection's.
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
    async fn a_replay_leaves_the_books_right() -> Result<()> {
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
