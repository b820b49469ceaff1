//! The lock of migrations: one server migrates at a time.
//!
//! `GET_LOCK` ends with its session, and holds on one node. On Galera a lease is taken as well: a row that expires. Of
//! two nodes that take it at once, certification lets one commit.

use std::time::Duration;

use diesel::dsl::sql;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};
use jangteo_domain::StoreError;
use tokio::time::{Instant, sleep};

use super::{Conn, classify};

/// Upper bound of the wait for another server's migration.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// The pause between attempts to take the lease.
const RETRY: Duration = Duration::from_millis(500);
/// The pause between renewals: a lease lasts four of them, and so long it delays others after a crash.
const RENEWAL: Duration = Duration::from_secs(5);

/// Takes the lock of one server; it ends with the session.
pub(super) async fn lock_server(connection: &mut Conn) -> Result<(), StoreError> {
    // Lock names are server-wide and at most 64 characters; a schema name may have 64 itself.
    let lock = sql::<Nullable<BigInt>>("SELECT GET_LOCK(CONCAT('jangteo.', LEFT(SHA2(DATABASE(), 256), 32)), 60)");
    match lock.get_result::<Option<i64>>(connection).await.map_err(classify)? {
        Some(1) => Ok(()),
        _ => Err(busy()),
    }
}

fn busy() -> StoreError {
    StoreError::unexpected(format!("another server has been migrating for {} s", WAIT_MAX.as_secs()))
}

/// A lease on all nodes of a cluster.
pub(super) struct Lease {
    connection: Conn,
    /// Unique among all servers.
    holder: String,
}

impl Lease {
    /// Waits for the lease, for at most a minute.
    pub(super) async fn take(mut connection: Conn) -> Result<Self, StoreError> {
        let table = "CREATE TABLE IF NOT EXISTS migration_lease (id TINYINT NOT NULL, holder CHAR(32) NOT NULL, \
                     expires_at DATETIME(6) NOT NULL, CONSTRAINT pk_migration_lease PRIMARY KEY (id)) ENGINE = InnoDB";
        connection.batch_execute(table).await.map_err(classify)?;
        // Each statement waits for the commits of the other nodes.
        connection.batch_execute("SET SESSION wsrep_sync_wait = 15").await.map_err(classify)?;
        let (mut lease, started_at) =
            (Self { connection, holder: format!("{:032x}", rand::random::<u128>()) }, Instant::now());
        loop {
            match lease.renew().await {
                Ok(true) => return Ok(lease),
                Ok(false) | Err(StoreError::Conflict(_)) if started_at.elapsed() < WAIT_MAX => sleep(RETRY).await,
                Ok(false) => return Err(busy()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs the work, and renews the lease meanwhile.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = sleep(RENEWAL) => match self.renew().await {
                    Ok(true) => {}
                    Ok(false) => tracing::warn!("another server has taken the lease of the migration"),
                    Err(error) => tracing::warn!(%error, "the lease of the migration was not renewed"),
                },
            }
        }
    }

    /// Lets the next server migrate at once.
    pub(super) async fn release(mut self) {
        let release = format!("DELETE FROM migration_lease WHERE id = 1 AND holder = '{}'", self.holder);
        if let Err(error) = self.connection.batch_execute(&release).await {
            tracing::warn!(%error, "the lease of the migration expires later");
        }
    }

    /// Takes or renews the lease; returns whether it is held.
    async fn renew(&mut self) -> Result<bool, StoreError> {
        let lasts = RENEWAL.saturating_mul(4).as_secs();
        // The columns are assigned in order, so `expires_at` follows the new holder.
        let renew = format!(
            "INSERT INTO migration_lease (id, holder, expires_at) \
             VALUES (1, '{}', UTC_TIMESTAMP(6) + INTERVAL {lasts} SECOND) ON DUPLICATE KEY UPDATE \
             holder = IF(expires_at < UTC_TIMESTAMP(6), VALUES(holder), holder), \
             expires_at = IF(holder = VALUES(holder), VALUES(expires_at), expires_at)",
            self.holder
        );
        self.connection.batch_execute(&renew).await.map_err(classify)?;
        let holder = sql::<Text>("SELECT holder FROM migration_lease WHERE id = 1");
        let holder = holder.get_result::<String>(&mut self.connection).await.map_err(classify)?;
        Ok(holder == self.holder)
    }
}
