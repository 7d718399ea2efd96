//! Addresses that may not connect.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use crate::setting::networks::{self, EXPECTED};

/// Addresses and networks, found in a time that does not grow with their number.
#[derive(Debug, Default)]
pub(super) struct DenyList {
    /// By the length of their prefixes, of which there are few.
    v4: BTreeMap<u8, HashSet<IpNet>>,
    v6: BTreeMap<u8, HashSet<IpNet>>,
    len: usize,
}

impl DenyList {
    /// Reads a file: one address or network a line; what follows a `#` is not read.
    ///
    /// # Errors
    /// What is wrong with it, with the line.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {}", error.kind()))?;
        let mut list = Self::default();
        for (i, line) in text.lines().enumerate() {
            let item = line.split('#').next().unwrap_or_default().trim();
            if !item.is_empty() {
                list.add(networks::parse(item).ok_or_else(|| format!("line {}: must be {EXPECTED}", i + 1))?);
            }
        }
        Ok(list)
    }

    fn add(&mut self, network: IpNet) {
        let family = if network.addr().is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        self.len += usize::from(family.entry(network.prefix_len()).or_default().insert(network));
    }

    /// Whether an address is one of them, or in one of them.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let family = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        family.iter().any(|(&prefix, networks)| {
            IpNet::new(address, prefix).is_ok_and(|network| networks.contains(&network.trunc()))
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DenyList, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        DenyList::read(file.path())
    }

    #[test]
    fn lines_are_addresses_and_networks() {
        let list =
            read("# since Tuesday\n192.0.2.7\n\n10.1.2.3/8 # all of it\n::ffff:198.51.100.0/120\n2001:db8::/32\n")
                .unwrap();
        assert_eq!(list.len(), 4);
        for denied in ["192.0.2.7", "::ffff:192.0.2.7", "10.9.9.9", "198.51.100.255", "2001:db8:ffff::1"] {
            assert!(list.contains(denied.parse().unwrap()), "{denied}");
        }
        for let_in in ["192.0.2.8", "11.0.0.0", "198.51.101.0", "2001:db9::1", "::1", "127.0.0.1"] {
            assert!(!list.contains(let_in.parse().unwrap()), "{let_in}");
        }
        assert!(read("0.0.0.0/0\n::/0").unwrap().contains("203.0.113.9".parse().unwrap()));
        assert_eq!(read("").unwrap().len(), 0);
    }

    #[test]
    fn what_is_neither_is_told_by_its_line() {
        let problem = read("192.0.2.7\n192.0.2.0/33\n").unwrap_err();
        assert_eq!(problem, format!("line 2: must be {EXPECTED}"));
        assert_eq!(DenyList::read(Path::new("/nowhere")).unwrap_err(), "cannot be read: entity not found");
    }
}
