//! The edge of the house: who may connect at all, and what a connection goes through before its first request.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;

use super::address::Forwarded;
use super::config::Config;
use super::crowd::{Crowd, Spot};
use super::deny::DenyList;
use super::head::Head;
use super::proxy;
use super::socket::{Connection, Socket};
use super::tls;
use crate::telemetry::Metrics;

/// Why connections are refused, as `connections_refused_total` counts it.
pub const REFUSALS: [&str; 6] = ["full", "denied", "address_full", "proxy_header", "tls", "timeout"];

/// What the listener asks before it lets anybody in. Its files are replaced while it works.
#[derive(Debug)]
pub struct Edge {
    pub(super) config: Config,
    pub(super) forwarded: Forwarded,
    deny: ArcSwap<DenyList>,
    tls: ArcSwapOption<rustls::ServerConfig>,
    crowd: Arc<Crowd>,
    metrics: Metrics,
}

/// A file of section `server` that cannot be used: the key, the file, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {} {problem}", .path.display())]
pub struct FileError {
    key: &'static str,
    path: PathBuf,
    problem: String,
}

impl Edge {
    /// Reads the files that the configuration names. At most so many connections of one address; 0: any number.
    ///
    /// # Errors
    /// Which file cannot be used.
    pub fn load(config: Config, connections_per_address: usize, metrics: Metrics) -> Result<Self, FileError> {
        let deny = read_deny(&config)?;
        let tls = read_tls(&config)?;
        metrics.denied_networks.set(i64::try_from(deny.len()).unwrap_or(i64::MAX));
        Ok(Self {
            forwarded: Forwarded::new(&config),
            deny: ArcSwap::from_pointee(deny),
            tls: ArcSwapOption::new(tls),
            crowd: Crowd::new(connections_per_address),
            config,
            metrics,
        })
    }

    /// The file with the denied addresses, where there is one.
    pub fn deny_files(&self) -> Vec<PathBuf> {
        named([&self.config.deny_file])
    }

    /// The files of the certificate and its key, where there are some.
    pub fn tls_files(&self) -> Vec<PathBuf> {
        named([&self.config.tls_cert_file, &self.config.tls_key_file])
    }

    /// Reads the denied addresses again. How many there are; whoever has a stream open is to be looked at again.
    ///
    /// # Errors
    /// What is wrong with the file. The earlier ones stay in force.
    pub fn reload_deny(&self) -> Result<usize, FileError> {
        let deny = read_deny(&self.config)?;
        let count = deny.len();
        self.deny.store(Arc::new(deny));
        self.metrics.denied_networks.set(i64::try_from(count).unwrap_or(i64::MAX));
        Ok(count)
    }

    /// Reads the certificate and its key again, for connections from now on.
    ///
    /// # Errors
    /// What is wrong with the files. The earlier ones stay in use.
    pub fn reload_tls(&self) -> Result<(), FileError> {
        self.tls.store(read_tls(&self.config)?);
        Ok(())
    }

    /// Whether an address may not connect.
    pub fn denies(&self, address: IpAddr) -> bool {
        self.deny.load().contains(address)
    }

    pub(super) fn count(&self, refusal: Refusal) {
        self.metrics.connections_refused_total.with_label_values(&[REFUSALS[refusal as usize]]).inc();
    }

    /// Takes a connection through all that comes before its first request: the proxy's header, the lists, TLS. The
    /// connection, and the address that its requests come from, as far as proxies are trusted.
    pub(super) async fn receive(
        &self,
        mut tcp: TcpStream,
        peer: IpAddr,
        place: OwnedSemaphorePermit,
    ) -> Result<(Connection, IpAddr), Refusal> {
        let mut address = peer.to_canonical();
        if self.config.proxy_protocol && self.forwarded.trusts(address) {
            let told = proxy::read(&mut tcp).await.map_err(|_| Refusal::ProxyHeader)?;
            address = told.unwrap_or(address);
        }
        let spot = match self.welcome(address) {
            Ok(spot) => spot,
            Err(refusal) => {
                // Its buffer is empty: what does not go out at once is not worth waiting for. With TLS it would not be
                // understood. What came is taken first: a socket that is dropped with unread input may take back what it
                // has sent.
                if self.tls.load().is_none() {
                    let _ = tcp.try_read(&mut [0; 2_048]);
                    let _ = tcp.try_write(refusal.answer());
                }
                return Err(refusal);
            }
        };
        let socket = match self.tls.load_full() {
            Some(config) => {
                let accepted = TlsAcceptor::from(config).accept(tcp).await;
                Socket::Tls(Box::new(accepted.map_err(|_| Refusal::Tls)?))
            }
            None => Socket::Plain(tcp),
        };
        let head = Arc::new(Head::new(self.config.header_timeout));
        Ok((Connection::new(socket, place, spot, head), address))
    }

    /// Whether an address may have another connection. Proxies that are trusted have any number, for others.
    fn welcome(&self, address: IpAddr) -> Result<Option<Spot>, Refusal> {
        if self.forwarded.trusts(address) {
            return Ok(None);
        }
        if self.denies(address) {
            return Err(Refusal::Denied);
        }
        self.crowd.join(address).map(Some).ok_or(Refusal::AddressFull)
    }
}

/// Why a connection is refused; the order is that of [`REFUSALS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There are as many connections as there may be.
    Full,
    /// Its address is on the list.
    Denied,
    /// Its address has as many connections as it may have.
    AddressFull,
    /// A proxy did not say whom it is for.
    ProxyHeader,
    /// No TLS, or none that is spoken here.
    Tls,
    /// What comes before the first request took too long.
    Timeout,
}

impl Refusal {
    /// What the client is told, where it is told anything.
    pub(super) const fn answer(self) -> &'static [u8] {
        match self {
            Self::Full => {
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            }
            Self::Denied => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            Self::AddressFull => {
                b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            }
            Self::ProxyHeader | Self::Tls | Self::Timeout => b"",
        }
    }
}

fn named<const N: usize>(paths: [&PathBuf; N]) -> Vec<PathBuf> {
    paths.into_iter().filter(|path| !path.as_os_str().is_empty()).cloned().collect()
}

fn read_deny(config: &Config) -> Result<DenyList, FileError> {
    let path: &Path = &config.deny_file;
    if path.as_os_str().is_empty() {
        return Ok(DenyList::default());
    }
    DenyList::read(path).map_err(|problem| FileError { key: "server.deny_file", path: path.to_owned(), problem })
}

fn read_tls(config: &Config) -> Result<Option<Arc<rustls::ServerConfig>>, FileError> {
    if !config.tls() {
        return Ok(None);
    }
    let read = tls::read(&config.tls_cert_file, &config.tls_key_file);
    read.map(Some).map_err(|(wrong, problem)| match wrong {
        tls::Wrong::Certificate => {
            FileError { key: "server.tls_cert_file", path: config.tls_cert_file.clone(), problem }
        }
        tls::Wrong::Key => FileError { key: "server.tls_key_file", path: config.tls_key_file.clone(), problem },
    })
}
