//! The number of connections of each client address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use crate::client_address::{ClientAddress, TrustedProxies};

/// Limits the connections of each client address. Clones share one state.
#[derive(Clone)]
pub struct Places {
    max: NonZeroUsize,
    proxies: TrustedProxies,
    taken: Taken,
}

type Taken = Arc<Mutex<HashMap<IpAddr, usize>>>;

impl Places {
    /// At most `max` connections of an address; without limit from trusted proxies and from this machine.
    pub fn new(max: NonZeroUsize, proxies: TrustedProxies) -> Self {
        Self { max, proxies, taken: Taken::default() }
    }

    /// A place for a connection from the address; `None` while all its places are taken.
    pub fn take(&self, peer: IpAddr) -> Option<Place> {
        let peer = peer.to_canonical();
        if peer.is_loopback() || self.proxies.contains(peer) {
            return Some(Place::unlimited());
        }
        let network = ClientAddress(peer).network();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(network).or_default();
        if *count >= self.max.get() {
            return None;
        }
        *count += 1;
        Some(Place(Some((Arc::clone(&self.taken), network))))
    }
}

/// The place of a connection, free again when dropped. `None` for an address without limit.
pub struct Place(Option<(Taken, IpAddr)>);

impl Place {
    /// The place of a connection that does not count.
    pub fn unlimited() -> Self {
        Self(None)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((taken, network)) = &self.0 else { return };
        if let Entry::Occupied(mut count) = taken.lock().unwrap_or_else(PoisonError::into_inner).entry(*network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::X_FORWARDED_FOR;

    use super::*;

    #[test]
    fn each_address_has_its_places() {
        let proxies =
            TrustedProxies { networks: vec!["10.0.0.1/32".parse().expect("a network")], header: X_FORWARDED_FOR };
        let places = Places::new(NonZeroUsize::MIN, proxies);
        let take = |address: &str| places.take(address.parse().expect("an address"));
        let taken = [take("203.0.113.9"), take("2001:db8:1:2::3")];
        assert!(taken.iter().all(Option::is_some));
        for same in ["203.0.113.9", "::ffff:203.0.113.9", "2001:db8:1:2::4"] {
            assert!(take(same).is_none(), "{same}");
        }
        for other in ["203.0.113.8", "2001:db8:1:3::3"] {
            assert!(take(other).is_some(), "{other}");
        }
        for exempt in ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", "10.0.0.1"] {
            assert!([take(exempt), take(exempt)].iter().all(Option::is_some), "{exempt}");
        }
        drop(taken);
        assert!(places.taken.lock().expect("no panic while it is locked").is_empty());
        assert!(take("203.0.113.9").is_some());
    }
}
