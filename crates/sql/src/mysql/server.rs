//! Server properties, read once per connection.

use std::sync::Arc;

use diesel::result::{ConnectionError, ConnectionResult};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Upper bound of a packet; the server buffers and parses it in memory.
const PACKET_BYTES_MAX: usize = 4 << 20;
/// Packet space besides statements or a bind: header, `COMMIT` and the frame of a compound statement.
pub(super) const PACKET_RESERVE: usize = 1 << 10;

/// A server, as one connection sees it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// In bytes, as the server reports it.
    max_allowed_packet: usize,
    pub(super) framing: Framing,
    pub(super) identity: Arc<Identity>,
    /// Cancelled when the connection must not be used any more.
    pub(super) lost: CancellationToken,
    /// Wakes the monitor of the hosts: this server may no longer be the writer.
    pub(super) suspected: Arc<Notify>,
}

/// The identity of a server: one host name may resolve to several servers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Unique among the servers of a cluster.
    pub(super) server: String,
    /// The group whose members agree on the order of all transactions.
    pub(super) group: Option<Group>,
}

/// A group, by its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Group {
    GroupReplication(String),
    Galera(String),
}

impl Identity {
    pub(super) fn is_group_member(&self) -> bool {
        matches!(self.group, Some(Group::GroupReplication(_)))
    }
}

/// How related statements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Several statements in one packet. The server runs them until the first failure.
    Several,
    /// One compound statement. A Galera node may abort a transaction between two statements, and the rest of the packet
    /// would run outside of it; a compound statement ends there.
    Compound,
    /// One statement per packet: Galera without compound statements outside of procedures.
    OneByOne,
}

impl Server {
    pub(super) async fn of(connection: &mut Conn) -> ConnectionResult<Self> {
        let variables = "SHOW VARIABLES WHERE Variable_name IN ('version', 'max_allowed_packet', 'log_bin', \
                         'binlog_format', 'server_uuid', 'server_uid', 'hostname', 'port', 'wsrep_on', \
                         'wsrep_provider', 'wsrep_node_name', 'wsrep_cluster_name', 'wsrep_dirty_reads', \
                         'wsrep_trx_fragment_size', 'group_replication_group_name', \
                         'group_replication_single_primary_mode')";
        let variables: Vec<(String, String)> =
            connection.query(variables).await.map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
        let variables = Variables(variables);
        if variables.is_group_member() && is_outside_of_its_group(connection).await? {
            return Err(ConnectionError::BadConnection("the server is outside of its group".to_owned()));
        }
        Self::from_variables(&variables)
    }

    fn from_variables(variables: &Variables) -> ConnectionResult<Self> {
        if let Some(refusal) = REFUSALS.iter().find(|refusal| (refusal.applies)(variables)) {
            return Err(ConnectionError::BadConnection(refusal.reason.to_owned()));
        }
        let framing = match (variables.replicates_by_wsrep(), variables.is_mariadb()) {
            (false, _) => Framing::Several,
            (true, true) => Framing::Compound,
            (true, false) => Framing::OneByOne,
        };
        let max_allowed_packet = variables.value("max_allowed_packet").and_then(|bytes| bytes.parse().ok());
        let unknown = || ConnectionError::BadConnection("the server has no max_allowed_packet".to_owned());
        Ok(Self {
            max_allowed_packet: max_allowed_packet.ok_or_else(unknown)?,
            framing,
            identity: Arc::new(variables.identity()),
            lost: CancellationToken::new(),
            suspected: Arc::default(),
        })
    }

    #[cfg(test)]
    pub(super) fn taking(max_allowed_packet: usize, framing: Framing) -> Self {
        let identity = Arc::new(Identity { server: "test".to_owned(), group: None });
        Self { max_allowed_packet, framing, identity, lost: CancellationToken::new(), suspected: Arc::default() }
    }

    pub(super) fn replicates_by_wsrep(&self) -> bool {
        self.framing != Framing::Several
    }

    /// Whether the connection may still be used.
    pub(crate) fn is_current(&self) -> bool {
        !self.lost.is_cancelled()
    }

    /// Whether a transaction that `other` committed is, or will be, part of this server's history.
    pub(crate) fn shares_history_with(&self, other: &Self) -> bool {
        let same_group = self.identity.group.is_some() && self.identity.group == other.identity.group;
        self.identity.server == other.identity.server || same_group
    }

    /// Upper bound of the statements in one packet, in bytes. Only a single larger row exceeds it.
    pub(super) fn packet_bytes_max(&self) -> usize {
        self.max_allowed_packet.min(PACKET_BYTES_MAX).saturating_sub(PACKET_RESERVE)
    }

    /// Upper bound of one bind, in bytes.
    pub(crate) fn bind_bytes_max(&self) -> usize {
        self.packet_bytes_max()
    }

    /// Upper bound of a statement with a single row, in bytes.
    pub(super) fn row_bytes_max(&self) -> usize {
        self.max_allowed_packet.saturating_sub(PACKET_RESERVE)
    }
}

/// Whether a member has started but not joined. It may accept writes, which its group would lack. Known from MySQL 8.1 on,
/// to any user.
async fn is_outside_of_its_group(connection: &mut Conn) -> ConnectionResult<bool> {
    let status = connection.query_first("SHOW GLOBAL STATUS LIKE 'Gr_last_consensus_end_timestamp'").await;
    let status: Option<(String, String)> = status.map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
    Ok(status.is_some_and(|(_, last)| last.is_empty()))
}

/// Variables of a server, with their values.
pub(super) struct Variables(pub Vec<(String, String)>);

impl Variables {
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let variable = self.0.iter().find(|(variable, _)| variable.eq_ignore_ascii_case(name));
        variable.map(|(_, value)| value.as_str())
    }

    /// The value, unless it is empty.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|value| !value.is_empty())
    }

    pub(super) fn is(&self, name: &str, expected: &str) -> bool {
        self.value(name).is_some_and(|value| value.eq_ignore_ascii_case(expected))
    }

    pub(super) fn is_mariadb(&self) -> bool {
        self.value("version").is_some_and(|version| version.contains("MariaDB"))
    }

    /// Galera.
    pub(super) fn replicates_by_wsrep(&self) -> bool {
        self.is("wsrep_on", "ON") && self.given("wsrep_provider").is_some_and(|path| path != "none")
    }

    /// Group Replication.
    pub(super) fn is_group_member(&self) -> bool {
        self.given("group_replication_group_name").is_some()
    }

    pub(super) fn identity(&self) -> Identity {
        let part = |name: &str| self.value(name).unwrap_or_default();
        let server = self.given("server_uuid").or_else(|| self.given("server_uid")).map_or_else(
            || [part("hostname"), part("port"), part("wsrep_node_name")].join(":"),
            |unique| [unique, part("wsrep_node_name")].join(" ").trim_end().to_owned(),
        );
        let group = self.given("group_replication_group_name").map(|name| Group::GroupReplication(name.to_owned()));
        let cluster = || self.replicates_by_wsrep().then(|| Group::Galera(part("wsrep_cluster_name").to_owned()));
        Identity { server, group: group.or_else(cluster) }
    }
}

/// A setting with which a server is refused.
pub(super) struct Refusal {
    pub(super) variable: &'static str,
    pub(super) applies: fn(&Variables) -> bool,
    /// With the value to set.
    pub(super) reason: &'static str,
}

pub(super) const REFUSALS: [Refusal; 4] = [
    Refusal {
        variable: "binlog_format",
        applies: |variables| variables.is("log_bin", "ON") && variables.is("binlog_format", "STATEMENT"),
        reason: "the server logs statements (binlog_format=STATEMENT), and InnoDB then takes no writes at READ \
                 COMMITTED: set binlog_format=ROW",
    },
    Refusal {
        variable: "group_replication_single_primary_mode",
        applies: |variables| {
            variables.is_group_member() && variables.is("group_replication_single_primary_mode", "OFF")
        },
        reason: "the group has several primaries, which do not see each other's row locks: set \
                 group_replication_single_primary_mode=ON",
    },
    Refusal {
        variable: "wsrep_dirty_reads",
        applies: |variables| variables.replicates_by_wsrep() && variables.is("wsrep_dirty_reads", "ON"),
        reason: "the node answers reads without its cluster: set wsrep_dirty_reads=OFF",
    },
    Refusal {
        variable: "wsrep_trx_fragment_size",
        applies: |variables| {
            variables.replicates_by_wsrep()
                && variables.given("wsrep_trx_fragment_size").is_some_and(|size| size != "0")
        },
        reason: "the node replicates transactions in fragments, which are not atomic for others: set \
                 wsrep_trx_fragment_size=0",
    },
];

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn server(variables: &[(&str, &str)]) -> ConnectionResult<Server> {
        let variables = [("max_allowed_packet", "16777216")].iter().chain(variables);
        let variables: Vec<_> = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Server::from_variables(&Variables(variables))
    }

    #[rstest]
    #[case::mariadb(&[("version", "10.11.6-MariaDB"), ("wsrep_on", "OFF"), ("wsrep_provider", "none")], Framing::Several)]
    #[case::galera_not_loaded(&[("version", "10.5.1-MariaDB"), ("wsrep_on", "ON"), ("wsrep_provider", "none")], Framing::Several)]
    #[case::galera(&[("version", "10.11.6-MariaDB"), ("wsrep_on", "ON"), ("wsrep_provider", "/usr/lib/galera/libgalera_smm.so")], Framing::Compound)]
    #[case::percona(&[("version", "8.0.36-28.1"), ("wsrep_on", "ON"), ("wsrep_provider", "/usr/lib/galera4/libgalera_smm.so")], Framing::OneByOne)]
    #[case::mysql(&[("version", "9.7.0")], Framing::Several)]
    fn statements_are_framed_by_how_the_server_replicates(
        #[case] variables: &[(&str, &str)],
        #[case] framing: Framing,
    ) {
        assert_eq!(server(variables).expect("a server").framing, framing);
    }

    #[test]
    fn servers_without_the_guarantees_are_refused() {
        let wsrep = [("wsrep_on", "ON"), ("wsrep_provider", "/usr/lib/galera/libgalera_smm.so")];
        assert!(server(&[&wsrep[..], &[("wsrep_dirty_reads", "ON")]].concat()).is_err());
        assert!(server(&[&wsrep[..], &[("wsrep_trx_fragment_size", "1024")]].concat()).is_err());
        assert!(
            server(&[&wsrep[..], &[("wsrep_dirty_reads", "OFF"), ("wsrep_trx_fragment_size", "0")]].concat()).is_ok()
        );
        let mode = |mode| [("group_replication_group_name", "g"), ("group_replication_single_primary_mode", mode)];
        assert!(server(&mode("OFF")).is_err());
        assert!(server(&mode("ON")).is_ok());
    }

    #[test]
    fn histories_are_shared_by_the_server_and_by_the_members_of_its_group() {
        let member = |uuid, group| server(&[("server_uuid", uuid), ("group_replication_group_name", group)]);
        let member = |uuid, group| member(uuid, group).expect("a server");
        assert!(member("a", "").shares_history_with(&member("a", "")));
        assert!(!member("a", "").shares_history_with(&member("b", "")), "a promoted replica may lack the last commits");
        assert!(member("a", "g").shares_history_with(&member("b", "g")));
        assert!(!member("a", "g").shares_history_with(&member("b", "h")));
    }

    #[test]
    fn only_an_enabled_statement_log_is_rejected() {
        assert!(server(&[("log_bin", "ON"), ("binlog_format", "STATEMENT")]).is_err());
        assert!(server(&[("log_bin", "OFF"), ("binlog_format", "STATEMENT")]).is_ok());
        assert!(server(&[("log_bin", "ON"), ("binlog_format", "MIXED")]).is_ok());
    }
}
