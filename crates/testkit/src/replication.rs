//! Asynchronous replication between two MariaDB servers.

use anyhow::{Context, Result, ensure};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};

use crate::mariadb::MariaDb;

/// Maximum time until a replica has applied all transactions, in seconds.
const CATCH_UP_MAX: u32 = 60;

impl MariaDb {
    /// Starts a primary and a read-only replica of it.
    ///
    /// # Errors
    /// Like [`MariaDb::start`].
    pub async fn start_with_replica() -> Result<(Self, Self)> {
        let primary = start(1, None).await?;
        let replica = primary.start_replica(2).await?;
        Ok((primary, replica))
    }

    /// Starts a read-only replica, with an id that no other server has.
    ///
    /// # Errors
    /// Like [`MariaDb::start`].
    pub async fn start_replica(&self, id: u32) -> Result<Self> {
        let replica = start(id, Some("read-only")).await?;
        replica.follow(self).await?;
        Ok(replica)
    }

    /// Replicates the binary log of another server, from its beginning or where this one's replication ended.
    ///
    /// # Errors
    /// If the server does not respond or rejects it.
    pub async fn follow(&self, primary: &Self) -> Result<()> {
        self.execute(&format!(
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, MASTER_USER = 'admin', \
             MASTER_PASSWORD = 'admin', MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos",
            primary.port()
        ))
        .await?;
        self.execute("START SLAVE").await
    }

    /// Waits until this replica has applied all transactions of its primary.
    ///
    /// # Errors
    /// If a server does not respond, or the replication has stopped.
    pub async fn catch_up_with(&self, primary: &Self) -> Result<()> {
        let mut connection = primary.connect().await?;
        let position: Option<String> = connection.query_first("SELECT @@GLOBAL.gtid_binlog_pos").await?;
        connection.disconnect().await?;
        let position = position.context("a position")?;
        let mut connection = self.connect().await?;
        let wait = format!("SELECT MASTER_GTID_WAIT('{position}', {CATCH_UP_MAX})");
        let reached: Option<i64> = connection.query_first(wait).await?;
        ensure!(reached == Some(0), "the replica does not reach {position}");
        Ok(connection.disconnect().await?)
    }

    /// Ends the replication and accepts writes, of which the former primary learns nothing.
    ///
    /// # Errors
    /// If the server does not respond.
    pub async fn promote(&self) -> Result<()> {
        for statement in ["STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = OFF"] {
            self.execute(statement).await?;
        }
        Ok(())
    }

    /// Executes a statement of an administrator.
    ///
    /// # Errors
    /// If the server does not respond or rejects it.
    pub async fn execute(&self, statement: &str) -> Result<()> {
        let mut connection = self.connect().await?;
        connection.query_drop(statement).await?;
        Ok(connection.disconnect().await?)
    }

    async fn connect(&self) -> Result<Conn> {
        Ok(Conn::new(Opts::from_url(&self.url())?).await?)
    }
}

async fn start(id: u32, setting: Option<&str>) -> Result<MariaDb> {
    let id = format!("server-id={id}");
    let settings: Vec<&str> = ["log-bin", "binlog-format=ROW", &id].into_iter().chain(setting).collect();
    MariaDb::start_in(&std::env::temp_dir(), &settings).await
}
