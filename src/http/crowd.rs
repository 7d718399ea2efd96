//! How many connections each address has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// The open connections by address. Addresses of IPv6 count by their /64, all of which one client has.
#[derive(Debug)]
pub(super) struct Crowd {
    limit: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place among those of its address, until it is dropped.
#[derive(Debug)]
pub(super) struct Spot {
    crowd: Arc<Crowd>,
    address: IpAddr,
}

impl Crowd {
    /// At most so many of one address; 0: any number.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit: if limit == 0 { usize::MAX } else { limit }, open: Mutex::default() })
    }

    /// A place for another one of this address; `None`: it has as many as it may.
    pub(super) fn join(self: &Arc<Self>, address: IpAddr) -> Option<Spot> {
        let address = one_client(address);
        let mut open = self.open.lock();
        let count = open.entry(address).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Spot { crowd: Arc::clone(self), address })
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        let mut open = self.crowd.open.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

fn one_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_an_addresses_own_and_come_back() {
        let crowd = Crowd::new(2);
        let join = |address: &str| crowd.join(address.parse().unwrap());
        let held = [join("192.0.2.1"), join("::ffff:192.0.2.1")];
        assert!(held.iter().all(Option::is_some) && join("192.0.2.1").is_none());
        assert!(join("192.0.2.2").is_some());
        let neighbours = [join("2001:db8::1"), join("2001:db8::2")];
        assert!(neighbours.iter().all(Option::is_some) && join("2001:db8::3").is_none());
        assert!(join("2001:db8:0:1::3").is_some());
        drop((held, neighbours));
        assert!(crowd.open.lock().is_empty(), "nothing is kept after the last");
        let any = Crowd::new(0);
        assert_eq!((0..1_000).map_while(|_| any.join([192, 0, 2, 1].into())).collect::<Vec<_>>().len(), 1_000);
    }
}
