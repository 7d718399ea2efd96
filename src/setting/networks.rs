//! Lists of networks.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::list;

/// What a network is written as, for error texts.
pub const EXPECTED: &str = "an address or a network such as \"10.0.0.0/8\" or \"2001:db8::/32\"";

/// Addresses and networks. Addresses of IPv4 that are written as ones of IPv6 (`::ffff:10.0.0.1`) count as what they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether an address lies in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

/// An address, or a network in CIDR notation; `None` when the text is neither. Bits beyond the prefix are ignored.
pub fn parse(text: &str) -> Option<IpNet> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address.to_canonical()),
        Err(_) => text.parse::<IpNet>().ok()?.trunc(),
    };
    // A mapped network is one of IPv4, where it is not wider than all of IPv4.
    match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.network().to_canonical() {
            IpAddr::V4(v4) => IpNet::new(v4.into(), v6.prefix_len() - 96).ok(),
            IpAddr::V6(_) => Some(network),
        },
        _ => Some(network),
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items = list(deserializer)?;
        let networks = items.iter().enumerate().map(|(i, item)| {
            parse(item.trim()).ok_or_else(|| D::Error::custom(format!("item {} must be {EXPECTED}", i + 1)))
        });
        networks.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(items: &[&str]) -> Networks {
        items.iter().map(|item| parse(item).unwrap()).collect()
    }

    #[test]
    fn addresses_and_networks_are_one_kind_of_thing() {
        let all = networks(&["10.1.2.3/8", "192.0.2.7", "2001:db8::/32", "::ffff:198.51.100.0/120", "::1"]);
        for inside in ["10.255.0.1", "::ffff:10.0.0.1", "192.0.2.7", "2001:db8:1::5", "198.51.100.9", "::1"] {
            assert!(all.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["11.0.0.1", "192.0.2.8", "2001:db9::", "198.51.101.0", "127.0.0.1", "::a00:1", "::"] {
            assert!(!all.contains(outside.parse().unwrap()), "{outside}");
        }
        assert!(networks(&["0.0.0.0/0"]).contains("203.0.113.1".parse().unwrap()));
        assert!(!networks(&["0.0.0.0/0"]).contains("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn anything_else_is_no_network() {
        for text in ["", "10.0.0.0/33", "10.0.0", "example.com", "10.0.0.1:80", "[::1]", "::/129", "10.0.0.0/-1", "*"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
