//! The URL that events are sent to. Events carry personal data, so they leave this machine encrypted only; and no setting
//! and no name may direct them to a metadata service, which every machine of a cloud can reach without a credential.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use tokio::net::lookup_host;

/// Metadata services outside of the link-local networks: of AWS and Alibaba.
const METADATA_ADDRESSES: [IpAddr; 2] =
    [IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)), IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200))];
/// Names of metadata services.
const METADATA_NAMES: [&str; 3] = ["metadata", "metadata.goog", "metadata.google.internal"];

/// A permitted URL. It may contain a credential.
#[derive(Clone, PartialEq, Eq)]
pub struct Destination(Url);

/// A URL that events are not sent to. The text does not contain it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidDestination {
    /// Not a URL with a host and the scheme `http` or `https`.
    #[error("an https URL, such as https://data.example/events")]
    Malformed,
    /// A link-local address, or a metadata service.
    #[error("no link-local address and no metadata service")]
    Metadata,
    /// `http` to another machine.
    #[error("https, unless the host is this machine")]
    Unencrypted,
}

impl Destination {
    /// Validates a URL; `allow_http` permits `http` to other machines.
    ///
    /// # Errors
    /// See [`InvalidDestination`].
    pub fn parse(text: &str, allow_http: bool) -> Result<Self, InvalidDestination> {
        let url = Url::parse(text).map_err(|_| InvalidDestination::Malformed)?;
        let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https"));
        let host = host.ok_or(InvalidDestination::Malformed)?.trim_end_matches('.');
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        if METADATA_NAMES.contains(&host) || address.is_some_and(is_metadata) {
            return Err(InvalidDestination::Metadata);
        }
        let is_this_machine = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        if url.scheme() == "http" && !is_this_machine && !allow_http {
            return Err(InvalidDestination::Unencrypted);
        }
        Ok(Self(url))
    }

    pub(crate) fn url(&self) -> Url {
        self.0.clone()
    }
}

/// Without the credential.
impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({:?})", self.0.host_str().unwrap_or_default())
    }
}

fn is_metadata(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    is_link_local || METADATA_ADDRESSES.contains(&address)
}

/// Resolves names at each connect, as the system does, to permitted addresses only.
pub(crate) struct PermittedAddresses;

impl Resolve for PermittedAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is replaced by that of the URL.
            let addresses = permitted(lookup_host((name.as_str(), 0)).await?)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn permitted(addresses: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, InvalidDestination> {
    let permitted: Vec<_> = addresses.filter(|address| !is_metadata(address.ip())).collect();
    if permitted.is_empty() { Err(InvalidDestination::Metadata) } else { Ok(permitted) }
}

#[cfg(test)]
mod tests {
    use super::InvalidDestination::{Malformed, Metadata, Unencrypted};
    use super::*;

    #[test]
    fn events_leave_this_machine_encrypted_and_never_to_a_metadata_service() {
        for (text, expected) in [
            ("https://data.example/events", Ok(())),
            ("https://192.0.2.1:8443/events", Ok(())),
            ("https://[2001:db8::1]/events", Ok(())),
            ("http://127.0.0.1:8081/events", Ok(())),
            ("http://127.9.9.9/", Ok(())),
            ("http://[::1]:8081/", Ok(())),
            ("http://LOCALHOST:8081/", Ok(())),
            ("http://data.example/events", Err(Unencrypted)),
            ("http://localhost.example/", Err(Unencrypted)),
            ("http://192.0.2.1/", Err(Unencrypted)),
            ("http://0.0.0.0/", Err(Unencrypted)),
            ("https://169.254.169.254/latest", Err(Metadata)),
            ("https://0xa9fea9fe/", Err(Metadata)),
            ("https://2852039166/", Err(Metadata)),
            ("https://[fe80::1]/", Err(Metadata)),
            ("https://[febf::1]/", Err(Metadata)),
            ("https://[fd00:ec2::254]/", Err(Metadata)),
            ("https://[::ffff:169.254.169.254]/", Err(Metadata)),
            ("https://100.100.100.200/", Err(Metadata)),
            ("https://Metadata.Google.Internal./", Err(Metadata)),
            ("data.example", Err(Malformed)),
            ("ftp://data.example/events", Err(Malformed)),
            ("https://", Err(Malformed)),
        ] {
            assert_eq!(Destination::parse(text, false).map(|_| ()), expected, "{text}");
        }
        assert!(Destination::parse("http://data.example/events", true).is_ok());
        assert_eq!(Destination::parse("http://169.254.169.254/", true), Err(Metadata));
    }

    #[test]
    fn a_name_resolves_to_permitted_addresses_only() {
        let addresses = |texts: &[&str]| {
            let addresses: Vec<SocketAddr> = texts.iter().map(|text| text.parse().expect("an address")).collect();
            addresses.into_iter()
        };
        let mixed = permitted(addresses(&["169.254.169.254:0", "192.0.2.1:0"]));
        assert_eq!(mixed, Ok(addresses(&["192.0.2.1:0"]).collect()));
        assert_eq!(permitted(addresses(&["[fe80::1]:0", "169.254.169.254:0"])), Err(Metadata));
    }

    #[test]
    fn a_credential_is_not_shown() {
        let destination = Destination::parse("https://shop:do-not-show@data.example/do-not-show", false);
        assert_eq!(format!("{destination:?}"), r#"Ok(Destination("data.example"))"#);
    }
}
