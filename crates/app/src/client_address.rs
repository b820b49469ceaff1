//! The address of a client, also behind proxies.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use actix_web::HttpMessage;
use actix_web::dev::RequestHead;
use actix_web::http::header::{HeaderName, HeaderValue};
use ipnet::IpNet;

/// The bits of an IPv6 address that a provider assigns; the client chooses the others.
const IPV6_NETWORK: u128 = !0 << 64;

/// The proxies that forward the address of their client in a header.
#[derive(Debug, Clone)]
pub struct TrustedProxies {
    pub networks: Vec<IpNet>,
    /// Contains addresses, separated by commas; each proxy appends that of its peer.
    pub header: HeaderName,
}

impl TrustedProxies {
    /// Whether a connection from this address carries the requests of several clients.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The peer; behind a trusted proxy the right-most address in the header that is no trusted proxy. An entry that is
    /// no address counts for the proxy that appended it.
    pub fn client(&self, head: &RequestHead) -> ClientAddress {
        let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let mut client = head.peer_addr.map_or(unknown, |peer| peer.ip().to_canonical());
        if self.contains(client) {
            let lines: Vec<_> = head.headers.get_all(&self.header).map(HeaderValue::to_str).collect();
            for entry in lines.iter().rev().flat_map(|line| line.as_ref().unwrap_or(&"").rsplit(',')) {
                let Some(address) = parse(entry.trim()) else { break };
                client = address;
                if !self.contains(client) {
                    break;
                }
            }
        }
        ClientAddress(client)
    }
}

/// An address, with the port that some proxies append.
fn parse(entry: &str) -> Option<IpAddr> {
    let address = entry.parse().ok();
    let address = address.or_else(|| entry.parse().ok().map(|with_port: SocketAddr| with_port.ip()));
    Some(address?.to_canonical())
}

/// The address that the limits and the log identify a client by. Each request has it as an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The client of a request.
    ///
    /// # Panics
    /// When the request did not pass the middleware.
    pub fn of(request: &impl HttpMessage) -> Self {
        *request.extensions().get().expect("the middleware sets the client of each request")
    }

    /// The unit of limits: an IPv4 address, or the /64 network of an IPv6 address.
    pub fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK).into(),
            address @ IpAddr::V4(_) => address,
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use rstest::rstest;

    use super::*;

    fn proxies() -> TrustedProxies {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network"));
        TrustedProxies { networks: networks.into(), header: HeaderName::from_static("x-forwarded-for") }
    }

    #[rstest]
    #[case("192.0.2.7", &["203.0.113.9"], "192.0.2.7")]
    #[case("10.0.0.1", &[], "10.0.0.1")]
    #[case("10.0.0.1", &["203.0.113.9"], "203.0.113.9")]
    #[case("10.0.0.1", &["198.51.100.1, 203.0.113.9"], "203.0.113.9")]
    #[case("10.0.0.1", &["203.0.113.9, 10.0.0.2"], "203.0.113.9")]
    #[case("10.0.0.1", &["198.51.100.1", "203.0.113.9,10.0.0.2"], "203.0.113.9")]
    #[case("10.0.0.1", &["203.0.113.9:51234"], "203.0.113.9")]
    #[case("10.0.0.1", &["[2001:db8::7]:51234"], "2001:db8::7")]
    #[case("fd00::1", &["2001:db8::7"], "2001:db8::7")]
    #[case("::ffff:10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9")]
    #[case("10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1")]
    #[case("10.0.0.1", &["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2")]
    #[case("10.0.0.1", &["203.0.113.9", ""], "10.0.0.1")]
    #[case("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3")]
    fn trusts_only_proxies(#[case] peer: &str, #[case] lines: &[&str], #[case] client: &str) {
        let peer = SocketAddr::new(peer.parse().expect("an address"), 1234);
        let request = lines.iter().fold(TestRequest::default().peer_addr(peer), |request, line| {
            request.append_header(("X-Forwarded-For", *line))
        });
        assert_eq!(proxies().client(request.to_http_request().head()).to_string(), client);
    }

    #[rstest]
    #[case("203.0.113.9", "203.0.113.9")]
    #[case("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::")]
    fn limits_count_ipv6_by_network(#[case] address: &str, #[case] network: &str) {
        let address = ClientAddress(address.parse().expect("an address"));
        assert_eq!(address.network().to_string(), network);
    }
}
