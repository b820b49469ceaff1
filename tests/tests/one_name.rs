//! One name for the database, as of managed databases, Kubernetes and TCP balancers. After a failover it leads to another
//! server, while connections to the former one may stay open.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use jangteo_testkit::{Column, Database, MariaDb, Proxy, Server, ServerBuilder, Shop, eventually, run_on, shop_url_of};

use crate::load::Load;

const TEST_MAX: Duration = Duration::from_secs(240);
const NAME: &str = "database.test";
/// Of the two servers, by which the name resolves to one or the other. Of the same length, see [`Front::lead_to`].
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];

#[tokio::test(flavor = "multi_thread")]
async fn a_server_follows_a_name_that_moves() {
    follow(async |databases, folder| Front::name(databases, folder).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_follows_a_balancer_that_moves() {
    follow(async |databases, _| Front::Balancer(Proxy::start_to(databases[0], 7).await.expect("a proxy"))).await;
}

async fn follow(front: impl AsyncFnOnce([SocketAddr; 2], &Path) -> Front) {
    let (one, other) = MariaDb::start_with_replica().await.expect("two servers");
    let database = Database::create_on(format!("{},127.0.0.1:{}", one.url(), other.port())).await.expect("a database");
    run_on(database, TEST_MAX, async |shop| {
        shop.expect_server_errors();
        let databases = [&one, &other].map(|database| SocketAddr::from(([127, 0, 0, 1], database.port())));
        let front = front(databases, shop.database().folder()).await;
        let url = shop_url_of(&front.host(), shop.database().mysql_name());
        let server = front.resolved_by(shop.server()).setting("DATABASE_URL", url).start().await;
        let load = Load::of(&server);

        // The former primary becomes read-only, and its connections stay open.
        load.during("read-only", 1, async {
            // The pool has connections to it.
            balances(&server, &shop).await;
            one.execute("SET GLOBAL read_only = ON").await.expect("read-only");
            other.catch_up_with(&one).await.expect("replicated");
            other.promote().await.expect("promoted");
            front.lead_to(databases, 1);
            load.progress().await;
        })
        .await;

        for (user, balance, stored) in balances(&server, &shop).await {
            assert_eq!(balance, stored, "{user}: the former primary is not read any more");
        }

        // The former primary is killed. The replica has all transactions, as nothing is written meanwhile.
        one.follow(&other).await.expect("replicating");
        one.catch_up_with(&other).await.expect("replicated");
        other.crash().await.expect("it runs");
        one.promote().await.expect("promoted");
        front.lead_to(databases, 0);
        load.during("killed", 0, async {}).await;
        load.check(shop.database().connect().await).await;
    })
    .await;
}

/// The users, each with the balance that the server returns and the one that the primary stores. In the absence of writes
/// they are equal.
async fn balances(server: &Server, shop: &Shop) -> Vec<(String, i64, i64)> {
    let mut primary = shop.database().connect().await;
    let columns = [Column::Plain("user_id"), Column::Money("balance")];
    let stored = primary.rows("point_accounts", &columns, |row| (row.text(), row.number() / 10_000)).await;
    primary.close().await;
    let read = stored.into_iter().map(async |(user, stored)| (user.clone(), server.balance(&user).await, stored));
    join_all(read).await
}

/// The address of the database that the server knows.
enum Front {
    /// A name in a hosts file of the server's own, and a listener on each address that it may have.
    Name { hosts: PathBuf, listeners: [Proxy; 2] },
    /// Passes connections on.
    Balancer(Proxy),
}

impl Front {
    async fn name(databases: [SocketAddr; 2], folder: &Path) -> Self {
        let hosts = folder.join("hosts");
        fs::write(&hosts, line(0)).expect("a file");
        // A name moves, but its port is the same.
        let listeners = eventually("a port that is free on both addresses", async || {
            let one = Proxy::start_at((ADDRESSES[0], 0).into(), databases[0], 7).await.expect("a free port");
            let other = Proxy::start_at((ADDRESSES[1], one.port()).into(), databases[1], 7).await.ok()?;
            Some([one, other])
        });
        Self::Name { hosts, listeners: listeners.await }
    }

    fn host(&self) -> String {
        match self {
            Self::Name { listeners, .. } => format!("{NAME}:{}", listeners[0].port()),
            Self::Balancer(proxy) => proxy.host(),
        }
    }

    fn resolved_by(&self, server: ServerBuilder) -> ServerBuilder {
        match self {
            Self::Name { hosts, .. } => server.hosts_file(hosts),
            Self::Balancer(_) => server,
        }
    }

    /// Leads new connections to one of the databases.
    fn lead_to(&self, databases: [SocketAddr; 2], index: usize) {
        match self {
            Self::Name { hosts, .. } => {
                // In place, without a moment in which the name is unknown.
                let file = File::options().write(true).open(hosts);
                file.and_then(|mut file| file.write_all(line(index).as_bytes())).expect("the file is writable");
            }
            Self::Balancer(proxy) => proxy.retarget(databases[index]),
        }
    }
}

fn line(index: usize) -> String {
    format!("{} {NAME}\n", ADDRESSES[index])
}
