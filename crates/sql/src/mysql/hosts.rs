//! The hosts in a database URL: options of the driver for each, with the transport security that the settings require.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use mysql_async::{Opts, OptsBuilder, SslOpts};

use crate::error::OpenError;
use crate::settings::Tls;

/// Splits `mysql://user:password@a,b:3307,c/name` into one set of options per host, in the order of the URL. Host names
/// stay names, and are resolved at each connection.
pub(super) fn hosts(url: &str, tls: Option<Tls>, ca_file: Option<&Path>) -> Result<Vec<Opts>, OpenError> {
    let rest = url.strip_prefix("mysql://").ok_or(OpenError::UnknownScheme)?;
    let (authority, path) = rest.split_once('/').ok_or_else(|| invalid("it names no database"))?;
    let (login, hosts) = authority.rsplit_once('@').map_or(("", authority), |(login, hosts)| (login, hosts));
    let at = if login.is_empty() { "" } else { "@" };
    hosts.split(',').map(|host| options(&format!("mysql://{login}{at}{host}/{path}"), host, tls, ca_file)).collect()
}

fn options(url: &str, host: &str, tls: Option<Tls>, ca_file: Option<&Path>) -> Result<Opts, OpenError> {
    if host.is_empty() {
        return Err(invalid("a host is empty"));
    }
    let options = Opts::from_url(url).map_err(|error| invalid(error.to_string()))?;
    if options.db_name().is_none_or(str::is_empty) {
        return Err(invalid("it names no database"));
    }
    if options.ssl_opts().is_some() {
        return Err(invalid("DATABASE_TLS sets TLS, not the URL"));
    }
    let tls = tls.unwrap_or(if is_local(&options) { Tls::Off } else { Tls::Verify });
    let tls = match tls {
        Tls::Verify => Some(verified(ca_file)?),
        Tls::Encrypt => {
            Some(SslOpts::default().with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true))
        }
        Tls::Off => None,
    };
    Ok(OptsBuilder::from_opts(options).ssl_opts(tls).into())
}

/// Requires a certificate for the host's name, issued by a CA of the file, or by a public one without a file.
fn verified(ca_file: Option<&Path>) -> Result<SslOpts, OpenError> {
    let Some(path) = ca_file else { return Ok(SslOpts::default()) };
    let unusable = |reason: String| OpenError::CaFile { path: path.to_owned(), reason };
    let pem = fs::read(path).map_err(|error| unusable(error.to_string()))?;
    if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
        return Err(unusable("it contains no certificate in PEM".to_owned()));
    }
    Ok(SslOpts::default().with_root_certs(vec![pem.into()]).with_disable_built_in_roots(true))
}

/// Whether no network lies between this machine and the host.
pub(super) fn is_local(options: &Opts) -> bool {
    options.socket().is_some() || is_loopback(options.ip_or_hostname())
}

/// `host:port`.
pub(super) fn name(options: &Opts) -> String {
    format!("{}:{}", options.ip_or_hostname(), options.tcp_port())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn invalid(reason: impl Into<String>) -> OpenError {
    OpenError::InvalidUrl { reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn parsed(url: &str) -> Vec<(String, u16, bool)> {
        let hosts = hosts(url, None, None).expect("a valid URL");
        let shown = |host: &Opts| (host.ip_or_hostname().to_owned(), host.tcp_port(), host.ssl_opts().is_some());
        hosts.iter().map(shown).collect()
    }

    #[rstest]
    #[case::one("mysql://u:p@db.example/shop", &[("db.example", 3306, true)])]
    #[case::several("mysql://u:p@a,b:3307,c/shop", &[("a", 3306, true), ("b", 3307, true), ("c", 3306, true)])]
    #[case::addresses("mysql://u@10.0.0.1:1,[::1]:2/shop", &[("10.0.0.1", 1, true), ("[::1]", 2, false)])]
    #[case::local("mysql://u:p%40@127.0.0.1,localhost/shop", &[("127.0.0.1", 3306, false), ("localhost", 3306, false)])]
    #[case::a_socket("mysql://u:p@db.example/shop?socket=/run/db.sock", &[("db.example", 3306, false)])]
    #[case::no_login("mysql://127.0.0.1/shop", &[("127.0.0.1", 3306, false)])]
    fn a_url_has_one_or_more_hosts(#[case] url: &str, #[case] expected: &[(&str, u16, bool)]) {
        let expected: Vec<_> = expected.iter().map(|(host, port, tls)| ((*host).to_owned(), *port, *tls)).collect();
        assert_eq!(parsed(url), expected);
    }

    #[rstest]
    #[case::no_database("mysql://u:p@a,b")]
    #[case::an_empty_database("mysql://u:p@a,b/")]
    #[case::an_empty_host("mysql://u:p@a,,b/shop")]
    #[case::an_unknown_parameter("mysql://u:p@a/shop?charset=utf8")]
    #[case::tls_in_the_url("mysql://u:p@a/shop?require_ssl=true")]
    #[case::a_port_that_is_none("mysql://u:p@a:port/shop")]
    fn rejects_an_invalid_url_without_its_password(#[case] url: &str) {
        let error = hosts(url, None, None).expect_err("an invalid URL").to_string();
        assert!(!error.contains("u:p"), "{error}");
    }

    #[test]
    fn rejects_a_ca_file_without_a_certificate() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        let rejected =
            || hosts("mysql://u:p@a/shop", Some(Tls::Verify), Some(&path)).expect_err("unusable").to_string();
        assert!(rejected().contains("ca.pem"), "{}", rejected());
        fs::write(&path, "-----BEGIN PRIVATE KEY-----").expect("a file");
        assert!(rejected().contains("no certificate"), "{}", rejected());
    }
}
