//! Database crashes, outages and lock conflicts.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jangteo_testkit::{Column, Connection, INNODB_FRESH_AFTER, eventually_within};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;

use crate::arena::{Arena, empty_body, send};
use crate::faults::Notes;
use crate::faults::waits::Waits;
use crate::journal::{Observed, Operation, Write};

/// Rows that the rival changes first, so that the database, which rolls back the transaction with the fewest changes,
/// rolls back the server's.
const BALLAST: u32 = 3_000;

/// SIGKILL of the database under load, and a restart with crash recovery.
pub async fn kills(arena: &Arena, count: u64) -> Notes {
    for _ in 0..2 {
        arena.open(arena.server()).await;
    }
    arena.fill().await;
    let mut random = arena.random(1);
    let killing = async {
        for number in 1..=count {
            arena.after_writes(random.random_range(20..80)).await;
            tokio::time::sleep(Duration::from_micros(random.random_range(0..15_000))).await;
            arena.mariadb().crash().await.expect("it runs");
            tokio::time::sleep(Duration::from_millis(random.random_range(0..1_500))).await;
            arena.mariadb().start_again().await.expect("it comes up again");
            arena.advance(number);
        }
        // The servers reconnect on their own.
        arena.after_writes(50).await;
    };
    arena.under_load(killing).await;
    Notes::new()
}

/// The database is read-only for a while, like an old primary after a switchover.
pub async fn read_only(arena: &Arena, count: u64) -> Notes {
    reject(arena, count, "SET GLOBAL read_only = ON", "SET GLOBAL read_only = OFF").await
}

/// The database rejects new connections for a while and loses the existing ones.
pub async fn full_house(arena: &Arena, count: u64) -> Notes {
    // Administrators have a reserved connection.
    reject(arena, count, "SET GLOBAL max_connections = 10", "SET GLOBAL max_connections = 500").await
}

/// Makes the database reject the servers' statements, which respond 503 to each write.
async fn reject(arena: &Arena, count: u64, begin: &str, end: &str) -> Notes {
    for _ in 0..2 {
        arena.open(arena.server()).await;
    }
    arena.fill().await;
    let mut administrator = arena.shop.database().connect().await;
    let rejecting = async {
        for number in 1..=count {
            arena.after_writes(20).await;
            administrator.execute(begin).await;
            arena.proxy().reset_all();
            tokio::time::sleep(Duration::from_secs(2)).await;
            administrator.execute(end).await;
            arena.advance(number);
        }
        arena.after_writes(20).await;
    };
    arena.under_load(rejecting).await;
    administrator.close().await;
    Notes::new()
}

/// A rival locks an account, waits until an order waits for it, and then locks the order's stock.
pub async fn deadlocks(arena: &Arena, count: u64) -> Notes {
    for _ in 0..2 {
        arena.open(arena.server()).await;
    }
    arena.fill().await;
    let product = arena.stock.lock().expect("no panic while it is held").products[0].clone();
    let mut rival = Rival::new(arena, &product).await;
    let before = rival.deadlocks().await;
    let forcing = async {
        let mut suffered = 0;
        while suffered < count {
            rival.provoke(arena).await;
            suffered = (rival.deadlocks().await - before).saturating_sub(rival.lost);
            arena.advance(suffered.min(count));
        }
    };
    arena.under_load(forcing).await;
    let retries = arena.retries().await.get("conflict").copied().unwrap_or_default();
    let lost = rival.lost;
    rival.end().await;
    vec![format!("{retries} retries after conflicts; the rival lost {lost} more")]
}

/// A connection that takes locks in the wrong order.
struct Rival {
    connection: Connection,
    thread: i64,
    watcher: Connection,
    product: String,
    random: StdRng,
    /// Deadlocks that rolled back the rival.
    lost: u64,
}

impl Rival {
    const USER: &'static str = "contended";

    async fn new(arena: &Arena, product: &str) -> Self {
        let mut random = arena.random(2);
        let path = format!("/v1/users/{}/points/top-ups", Self::USER);
        let top_up = arena.write(Operation::TopUpPoints, Some(Self::USER), path, json!({ "amount": "100000" }));
        arena.make(top_up, &mut random).await.expect("no fault yet");
        let mut connection = arena.shop.database().connect().await;
        let thread = connection.number("CONNECTION_ID()", "DUAL").await;
        for statement in [
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "CREATE TABLE chaos_ballast (id INT PRIMARY KEY, weight INT NOT NULL) ENGINE = InnoDB",
            &format!("INSERT INTO chaos_ballast SELECT seq, 0 FROM seq_1_to_{BALLAST}"),
        ] {
            connection.execute(statement).await;
        }
        let watcher = arena.shop.database().connect().await;
        Self { connection, thread, watcher, product: product.replace('-', ""), random, lost: 0 }
    }

    async fn provoke(&mut self, arena: &Arena) {
        self.connection.execute("BEGIN").await;
        self.connection.execute("UPDATE chaos_ballast SET weight = weight + 1").await;
        let account = format!("SELECT * FROM point_accounts WHERE user_id = '{}' FOR UPDATE", Self::USER);
        let stock = format!("SELECT * FROM stocks WHERE product_id = UNHEX('{}') FOR UPDATE", self.product);
        let waiting = format!(
            "information_schema.INNODB_LOCK_WAITS AS w JOIN information_schema.INNODB_TRX AS t \
             ON t.trx_id = w.blocking_trx_id WHERE t.trx_mysql_thread_id = {}",
            self.thread
        );
        // Any of the statements may meet a deadlock.
        let crossing = async {
            self.connection.try_execute(&account).await?;
            let lines = json!({ "lines": [{ "product_id": dashed(&self.product), "quantity": 1 }] });
            let order = arena.write(Operation::PlaceOrder, Some(Self::USER), "/v1/orders".to_owned(), lines);
            let connection = &mut self.connection;
            let watcher = &mut self.watcher;
            let wanting = async {
                eventually_within(Duration::from_secs(5), "the order waits", async || {
                    tokio::time::sleep(INNODB_FRESH_AFTER).await;
                    (watcher.number("COUNT(*)", &waiting).await > 0).then_some(())
                })
                .await;
                connection.try_execute(&stock).await?;
                connection.try_execute("ROLLBACK").await
            };
            let (wanted, response) = tokio::join!(wanting, arena.make(order, &mut self.random));
            wanted.map(|()| response)
        };
        match crossing.await {
            Ok(response) => {
                let placed = response.filter(|response| response.is_success());
                // The number of open orders is limited.
                if let Some(placed) = placed {
                    let order = placed.document()["order_id"].as_str().expect("an id").to_owned();
                    let path = format!("/v1/orders/{order}/cancellation");
                    let cancellation = arena.write(Operation::CancelOrder, Some(Self::USER), path, empty_body());
                    arena.make(cancellation, &mut self.random).await;
                }
            }
            Err(_) => {
                self.lost += 1;
                self.connection.execute("ROLLBACK").await;
            }
        }
    }

    async fn deadlocks(&mut self) -> u64 {
        status(&mut self.watcher, "INNODB_DEADLOCKS").await
    }

    async fn end(self) {
        self.connection.close().await;
        self.watcher.close().await;
    }
}

/// A status variable of the database.
async fn status(connection: &mut Connection, name: &str) -> u64 {
    let table = format!("information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = '{name}'");
    let values = connection.rows(&table, &[Column::Plain("VARIABLE_VALUE")], |row| row.text()).await;
    values.first().and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}: {values:?}"))
}

fn dashed(id: &str) -> String {
    format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..])
}

/// A transaction locks a stock for 8 s.
pub async fn short_lock(arena: &Arena, _once: u64) -> Notes {
    hold_lock(arena, Duration::from_secs(8)).await
}

/// A transaction locks a stock for a minute.
pub async fn long_lock(arena: &Arena, _once: u64) -> Notes {
    hold_lock(arena, Duration::from_secs(60)).await
}

async fn hold_lock(arena: &Arena, time: Duration) -> Notes {
    let server = arena.open(arena.server()).await;
    arena.fill().await;
    let products = arena.stock.lock().expect("no panic while it is held").products.clone();
    let held = products[0].replace('-', "");
    let mut rival = arena.shop.database().connect().await;
    rival.execute("BEGIN").await;
    let stock = format!("SELECT * FROM stocks WHERE product_id = UNHEX('{held}') FOR UPDATE");
    rival.execute(&stock).await;

    let until = Instant::now() + time;
    let order = |user: String, product: &str| {
        let lines = json!({ "lines": [{ "product_id": product, "quantity": 1 }] });
        arena.write(Operation::PlaceOrder, Some(&user), "/v1/orders".to_owned(), lines)
    };
    let top_up = |user: String| {
        let path = format!("/v1/users/{user}/points/top-ups");
        arena.write(Operation::TopUpPoints, Some(&user), path, json!({ "amount": "10" }))
    };
    let call = &async |caller: u32, write: &dyn Fn(u32) -> Write| {
        let mut waits = Waits::default();
        let mut number = 0;
        while Instant::now() < until {
            let write = write(caller * 1_000 + number);
            number += 1;
            let index = arena.journal.open(write.clone());
            let started = Instant::now();
            let observed = send(&server, &write).await;
            waits.record(started.elapsed(), matches!(observed, Observed::Definite { .. }));
            arena.journal.observe(index, observed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        waits
    };
    let wanting = |number: u32| order(format!("wanting-{number}"), &products[0]);
    let other = |number: u32| order(format!("other-{number}"), &products[1]);
    let topping_up = |number: u32| top_up(format!("top-up-{number}"));
    let callers = |write| join_all((0..3).map(move |caller| call(caller, write)));
    let releasing = async {
        tokio::time::sleep_until(until.into()).await;
        rival.execute("ROLLBACK").await;
        Instant::now()
    };
    let (wanting, others, topping_up, released) =
        tokio::join!(callers(&wanting), callers(&other), callers(&topping_up), releasing);
    rival.close().await;
    arena.advance(1);

    // All orders succeed again.
    let mut random = arena.random(1);
    for product in &products[..2] {
        eventually_within(Duration::from_secs(10), "orders are placed again", async || {
            arena
                .make(order("afterwards".to_owned(), product), &mut random)
                .await
                .filter(|response| response.is_success())
        })
        .await;
    }
    let normal_after = released.elapsed();
    vec![
        Waits::all(wanting).describe("orders of the locked product"),
        Waits::all(others).describe("of another"),
        Waits::all(topping_up).describe("top_ups"),
        format!("back to normal {:.1} s after the release of the lock", normal_after.as_secs_f64()),
    ]
}
