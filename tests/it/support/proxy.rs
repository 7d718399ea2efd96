//! A proxy before a server, which cuts connections where a test wants them cut.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub struct Proxy {
    pub address: SocketAddr,
    /// Bytes from the client that are let through before all connections are reset; negative: all.
    left: Arc<AtomicI64>,
    /// Connections that were reset.
    resets: Arc<AtomicU64>,
}

impl Proxy {
    /// Starts a proxy before this port.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (left, resets) = (Arc::new(AtomicI64::new(-1)), Arc::new(AtomicU64::new(0)));
        let (letting, counting) = (Arc::clone(&left), Arc::clone(&resets));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (letting, counting) = (Arc::clone(&letting), Arc::clone(&counting));
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                        carry(client, server, &letting, &counting).await;
                    }
                });
            }
        });
        Self { address, left, resets }
    }

    /// Lets so many more bytes of the clients through, and resets every connection at that point.
    pub fn cut_after(&self, bytes: i64) {
        self.left.store(bytes, Ordering::SeqCst);
    }

    /// Lets everything through again.
    pub fn heal(&self) {
        self.left.store(-1, Ordering::SeqCst);
    }

    pub fn resets(&self) -> u64 {
        self.resets.load(Ordering::SeqCst)
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, left: &AtomicI64, resets: &AtomicU64) {
    let (mut asked, mut told) = (vec![0; 4096], vec![0; 65536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(read @ 1..) = read else { return };
                let letting = left.load(Ordering::SeqCst);
                let through = if letting < 0 { read } else { read.min(usize::try_from(letting).unwrap()) };
                if server.write_all(&asked[..through]).await.is_err() {
                    return;
                }
                if letting >= 0 {
                    left.fetch_sub(i64::try_from(through).unwrap(), Ordering::SeqCst);
                }
                if through < read {
                    // A reset, not an orderly end.
                    SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("a socket option");
                    SockRef::from(&server).set_linger(Some(Duration::ZERO)).expect("a socket option");
                    resets.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
            read = server.read(&mut told) => {
                let Ok(read @ 1..) = read else { return };
                if client.write_all(&told[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
