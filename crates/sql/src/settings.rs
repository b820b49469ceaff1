use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// URLs and pool sizes.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseSettings {
    /// `sqlite:PATH` or `mysql://user:password@host:port,host:port…/database`: of several hosts the one that accepts
    /// writes.
    pub url: String,
    /// The URL of a read replica; `None` reads from the primary.
    pub read_url: Option<String>,
    /// Transport security to MySQL; `None` verifies certificates, except on loopback addresses and sockets, where it is
    /// off.
    pub tls: Option<Tls>,
    /// Certificates of the only trusted CAs, in PEM; `None` trusts the public ones.
    pub ca_file: Option<PathBuf>,
    /// The age of a heartbeat up to which a replica is read.
    pub read_lag_max: Duration,
    /// Upper bound of concurrent reads.
    pub pool_max: u32,
    /// Upper bound of concurrent searches for a text.
    pub search_pool_max: u32,
    /// The steps of a search.
    pub search_limits: SearchLimits,
    /// Upper bound of concurrent write transactions. SQLite always has one.
    pub write_connections: u32,
}

impl DatabaseSettings {
    /// A database with the smallest pools and default security.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            read_url: None,
            tls: None,
            ca_file: None,
            read_lag_max: Duration::from_secs(2),
            pool_max: 1,
            search_pool_max: 1,
            search_limits: SearchLimits::default(),
            write_connections: 1,
        }
    }
}

/// Numbers of products by which a search for a text chooses its way. The result is the same for all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SearchLimits {
    /// Read in the order of the list, before the index.
    pub first: u32,
    /// Read to find the rarest words of the text.
    pub sample: u32,
    /// Maximum candidates of the index; with more, all products are read in the order of the list.
    pub candidates: u32,
    /// Maximum products that are not in the index yet; with more, it is not used.
    pub unindexed: u32,
}

impl Default for SearchLimits {
    fn default() -> Self {
        Self { first: 2_000, sample: 500, candidates: 10_000, unindexed: 1_000 }
    }
}

/// Transport security.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tls {
    /// Requires a certificate of a trusted CA for the host's name.
    Verify,
    /// Encrypts without verification: a man in the middle reads everything.
    Encrypt,
    /// Plain text.
    Off,
}

impl fmt::Debug for DatabaseSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseSettings")
            .field("url", &without_password(&self.url))
            .field("read_url", &self.read_url.as_deref().map(without_password))
            .field("tls", &self.tls)
            .field("ca_file", &self.ca_file)
            .field("read_lag_max", &self.read_lag_max)
            .field("pool_max", &self.pool_max)
            .field("search_pool_max", &self.search_pool_max)
            .field("search_limits", &self.search_limits)
            .field("write_connections", &self.write_connections)
            .finish()
    }
}

/// The URL with the password as three stars and without its parameters, which may contain secrets.
fn without_password(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(before, _)| before);
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let Some((login, host)) = rest.rsplit_once('@') else { return url.to_owned() };
    let user = login.split_once(':').map_or(login, |(user, _)| user);
    format!("{scheme}://{user}:***@{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_password() {
        let settings = DatabaseSettings {
            read_url: Some("mysql://shop:hush@replica/shop".to_owned()),
            ..DatabaseSettings::new("mysql://shop:p@ss:w/rd@db.example:3306/shop?x=hush")
        };
        let shown = format!("{settings:?}");
        assert!(shown.contains("mysql://shop:***@db.example:3306/shop"), "{shown}");
        assert!(!shown.contains("hush") && !shown.contains("p@ss") && !shown.contains("w/rd"), "{shown}");
    }
}
