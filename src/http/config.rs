use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::address::ForwardedHeader;
use crate::setting::{Networks, Problems, duration};

/// Section `server`: the listener and its connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Longest time for a request's header to arrive, from its first byte on; for the first one, from the connection on.
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    /// Longest time that a connection may rest between two requests.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// Longest time for a request's body to arrive.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
    /// Connections open at a time, streams included.
    pub max_connections: usize,
    /// Proxies that are believed when they say whom they ask for.
    pub trusted_proxies: Networks,
    /// The header in which they say so.
    pub forwarded_header: ForwardedHeader,
    /// Whether trusted proxies begin each connection with a header of the PROXY protocol, version 2.
    pub proxy_protocol: bool,
    /// File with addresses and networks that may not connect; empty: none.
    pub deny_file: PathBuf,
    /// File with the certificate (PEM) and those that it is signed by; empty: no TLS.
    pub tls_cert_file: PathBuf,
    /// File with its private key (PEM); empty: no TLS.
    pub tls_key_file: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            max_connections: 25_000,
            trusted_proxies: Networks::default(),
            forwarded_header: ForwardedHeader::default(),
            proxy_protocol: false,
            deny_file: PathBuf::new(),
            tls_cert_file: PathBuf::new(),
            tls_key_file: PathBuf::new(),
        }
    }
}

impl Config {
    /// Whether connections are by TLS.
    pub fn tls(&self) -> bool {
        !self.tls_cert_file.as_os_str().is_empty()
    }

    /// Reports values out of range. Files are not looked at.
    pub fn check(&self, problems: &mut Problems) {
        let timeouts = Duration::from_millis(100)..=Duration::from_mins(10);
        problems.duration("server.header_timeout", self.header_timeout, timeouts.clone());
        let idle = Duration::from_millis(100)..=Duration::from_hours(1);
        problems.duration("server.idle_timeout", self.idle_timeout, idle);
        problems.duration("server.body_timeout", self.body_timeout, timeouts);
        let both = self.tls_cert_file.as_os_str().is_empty() == self.tls_key_file.as_os_str().is_empty();
        problems.require("server.tls_key_file", both, "goes with server.tls_cert_file: set both, or none");
        let someone = !self.proxy_protocol || !self.trusted_proxies.is_empty();
        problems.require(
            "server.proxy_protocol",
            someone,
            "needs server.trusted_proxies: from others nothing is believed",
        );
        problems.number("server.max_connections", self.max_connections, 1..=1_000_000);
    }
}
