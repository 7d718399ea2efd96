//! The listener and its connections.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::{Addressed, Forwarded};
use super::config::Config;

/// Largest header of a request, its line included.
const MAX_HEADER: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;
/// What the kernel keeps of what a stream's client has not taken yet (it doubles this): a slow client is to be noticed
/// before megabytes of old frames wait for it.
const STREAM_SEND_BUFFER: usize = 64 * 1024;
/// Longest time that a client may take nothing of a response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a failure to accept, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that may wait to be accepted, so that a crowd that comes back at once need not knock twice, a second
/// apart; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: u32 = 4_096;
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

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
    config: &Config,
    shutdown: CancellationToken,
    tasks: &TaskTracker,
) {
    let places = Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS)));
    let forwarded = Arc::new(Forwarded::new(config));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(MAX_HEADER)
        .max_headers(MAX_HEADERS);
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            // It has an empty buffer: what does not go out at once is not worth waiting for.
            let _ = socket.try_write(FULL);
            continue;
        };
        // Frames are small and complete: nothing is gained by waiting for more.
        let _ = socket.set_nodelay(true);
        let connection = Connection { stream: Stream { socket, _place: place }, stalled: None };
        let service = Addressed {
            inner: TowerToHyperService::new(router.clone()),
            peer: peer.ip(),
            forwarded: Arc::clone(&forwarded),
        };
        let served = builder.serve_connection(TokioIo::new(connection), service).with_upgrades();
        let shutdown = shutdown.clone();
        tasks.spawn(async move {
            let mut served = std::pin::pin!(served);
            // What goes wrong with a connection is its client's affair, and was answered where it could be.
            tokio::select! {
                _ = served.as_mut() => return,
                () = shutdown.cancelled() => served.as_mut().graceful_shutdown(),
            }
            let _ = served.await;
        });
    }
}

/// A socket, and its place among the connections.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    _place: OwnedSemaphorePermit,
}

/// A connection of which a client takes nothing for long is broken off.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    /// The socket for a stream, which sees to slow clients itself.
    pub(super) fn into_stream(self) -> Stream {
        // Not having it means noticing later.
        let _ = socket2::SockRef::from(&self.stream.socket).set_send_buffer_size(STREAM_SEND_BUFFER);
        self.stream
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let stalled =
            self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + WRITE_TIMEOUT)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream.socket).poll_write(cx, buf);
        self.watch(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream.socket).poll_write_vectored(cx, bufs);
        self.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
