//! The listener and its connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::Addressed;
use super::edge::{Edge, Refusal};
pub(super) use super::socket::Connection;

/// Largest header of a request, its line included.
const MAX_HEADER: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;
/// Pause after a failure to accept, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that may wait to be accepted, so that a crowd that comes back at once need not knock twice, a second
/// apart; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: u32 = 4_096;

/// Listens on an address, with room for many to come at once.
///
/// # Errors
/// What the operating system has against it. Must be called within the runtime.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As `TcpListener::bind` does: an address whose last connections still linger can be taken again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes connections until `shutdown` is cancelled; those that are open then answer the request they are at, and close.
/// Each is a task of `tasks`, as each stream is, so the caller waits for them there. Streams don't end with `shutdown`:
/// they are drained at their registry.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    edge: Arc<Edge>,
    shutdown: CancellationToken,
    tasks: &TaskTracker,
) {
    let places = Arc::new(Semaphore::new(edge.config.max_connections.min(Semaphore::MAX_PERMITS)));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(edge.config.idle_timeout)
        .max_buf_size(MAX_HEADER)
        .max_headers(MAX_HEADERS);
    let house = Arc::new(House { router, edge, builder, shutdown });
    loop {
        let accepted = tokio::select! {
            biased;
            () = house.shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            house.edge.count(Refusal::Full);
            // It has an empty buffer: what does not go out at once is not worth waiting for.
            let _ = tcp.try_write(Refusal::Full.answer());
            continue;
        };
        tasks.spawn(Arc::clone(&house).attend(tcp, peer.ip(), place));
    }
}

/// What all connections share.
struct House {
    router: Router,
    edge: Arc<Edge>,
    builder: http1::Builder,
    shutdown: CancellationToken,
}

impl House {
    /// One connection, from its first byte to its last; a stream goes on without it.
    async fn attend(self: Arc<Self>, tcp: TcpStream, peer: IpAddr, place: OwnedSemaphorePermit) {
        // Frames are small and complete: nothing is gained by waiting for more.
        let _ = tcp.set_nodelay(true);
        // Boxed, so that the connection has no room for it any more once it is done.
        let receiving = Box::pin(self.edge.receive(tcp, peer, place));
        let receiving = tokio::time::timeout(self.edge.config.header_timeout, receiving);
        let received = tokio::select! {
            received = receiving => received.unwrap_or(Err(Refusal::Timeout)),
            () = self.shutdown.cancelled() => return,
        };
        let (connection, address) = match received {
            Ok(received) => received,
            Err(refusal) => return self.edge.count(refusal),
        };
        let inner = TowerToHyperService::new(self.router.clone());
        let head = Arc::clone(connection.head());
        let service = Addressed { inner, peer: address, edge: Arc::clone(&self.edge), head: Arc::clone(&head) };
        let served = self.builder.serve_connection(TokioIo::new(connection), service).with_upgrades();
        let mut served = std::pin::pin!(served);
        // What goes wrong with a connection is its client's affair, and was answered where it could be.
        tokio::select! {
            _ = served.as_mut() => return,
            () = head.overdue() => return,
            () = self.shutdown.cancelled() => served.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            _ = served => {}
            () = head.overdue() => {}
        }
    }
}
