//! Server properties, read once per connection.

use diesel::result::{ConnectionError, ConnectionResult};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

/// Upper bound of a packet; the server buffers and parses it in memory.
const PACKET_BYTES_MAX: usize = 4 << 20;
/// Packet space besides statements or a bind: header, `COMMIT` and the frame of a compound statement.
pub(super) const PACKET_RESERVE: usize = 1 << 10;

/// A server's limits on writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Server {
    /// In bytes, as the server reports it.
    max_allowed_packet: usize,
    pub(super) framing: Framing,
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
        let variables = "SHOW VARIABLES WHERE Variable_name IN \
                         ('version', 'max_allowed_packet', 'wsrep_on', 'wsrep_provider', 'log_bin', 'binlog_format')";
        let variables: Vec<(String, String)> =
            connection.query(variables).await.map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
        Self::from_variables(&variables)
    }

    fn from_variables(variables: &[(String, String)]) -> ConnectionResult<Self> {
        let value = |name: &str| {
            let variable = variables.iter().find(|(variable, _)| variable.eq_ignore_ascii_case(name));
            variable.map(|(_, value)| value.as_str())
        };
        let is = |name: &str, expected: &str| value(name).is_some_and(|value| value.eq_ignore_ascii_case(expected));
        if is("log_bin", "ON") && is("binlog_format", "STATEMENT") {
            return Err(ConnectionError::BadConnection(STATEMENT_LOG.to_owned()));
        }
        let replicates_by_wsrep =
            is("wsrep_on", "ON") && value("wsrep_provider").is_some_and(|path| !path.is_empty() && path != "none");
        let is_mariadb = value("version").is_some_and(|version| version.contains("MariaDB"));
        let framing = match (replicates_by_wsrep, is_mariadb) {
            (false, _) => Framing::Several,
            (true, true) => Framing::Compound,
            (true, false) => Framing::OneByOne,
        };
        let max_allowed_packet = value("max_allowed_packet").and_then(|bytes| bytes.parse().ok());
        let unknown = || ConnectionError::BadConnection("the server has no max_allowed_packet".to_owned());
        Ok(Self { max_allowed_packet: max_allowed_packet.ok_or_else(unknown)?, framing })
    }

    #[cfg(test)]
    pub(super) fn taking(max_allowed_packet: usize, framing: Framing) -> Self {
        Self { max_allowed_packet, framing }
    }

    /// Upper bound of the statements in one packet, in bytes. Only a single larger row exceeds it.
    pub(super) fn packet_bytes_max(self) -> usize {
        self.max_allowed_packet.min(PACKET_BYTES_MAX).saturating_sub(PACKET_RESERVE)
    }

    /// Upper bound of one bind, in bytes.
    pub(crate) fn bind_bytes_max(self) -> usize {
        self.packet_bytes_max()
    }

    /// Upper bound of a statement with a single row, in bytes.
    pub(super) fn row_bytes_max(self) -> usize {
        self.max_allowed_packet.saturating_sub(PACKET_RESERVE)
    }
}

pub(crate) const STATEMENT_LOG: &str = "the server logs statements (binlog_format=STATEMENT), and InnoDB then takes no \
                                        writes at READ COMMITTED: set binlog_format=ROW";

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn server(variables: &[(&str, &str)]) -> ConnectionResult<Server> {
        let variables = [("max_allowed_packet", "16777216")].iter().chain(variables);
        let variables: Vec<_> = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Server::from_variables(&variables)
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
    fn only_an_enabled_statement_log_is_rejected() {
        assert!(server(&[("log_bin", "ON"), ("binlog_format", "STATEMENT")]).is_err());
        assert!(server(&[("log_bin", "OFF"), ("binlog_format", "STATEMENT")]).is_ok());
        assert!(server(&[("log_bin", "ON"), ("binlog_format", "MIXED")]).is_ok());
    }
}
