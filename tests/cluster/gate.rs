//! The way from one pod to Redis, which can be cut.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::schedule::Cut;

pub struct Gate {
    pub address: SocketAddr,
    cut: watch::Sender<Option<Cut>>,
}

impl Gate {
    /// Before a server on this port.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (cut, watching) = watch::channel(None);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, port, watching.clone()));
            }
        });
        Self { address, cut }
    }

    pub fn cut(&self, cut: Option<Cut>) {
        self.cut.send_replace(cut);
    }
}

async fn carry(client: TcpStream, port: u16, mut cut: watch::Receiver<Option<Cut>>) {
    let reset = |socket: &TcpStream| {
        let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
    };
    let resets = async |cut: &mut watch::Receiver<Option<Cut>>| {
        let _ = cut.wait_for(|cut| *cut == Some(Cut::Reset)).await;
    };
    let mut opened = cut.clone();
    let server = tokio::select! {
        () = resets(&mut cut) => return reset(&client),
        server = async {
            let _ = opened.wait_for(Option::is_none).await;
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await
        } => match server {
            Ok(server) => server,
            // As if there were no proxy.
            Err(_) => return reset(&client),
        },
    };
    let (mut client, mut server) = (client, server);
    {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let (there, back) = (cut.clone(), cut.clone());
        tokio::select! {
            () = resets(&mut cut) => {}
            () = pump(&mut from_client, &mut to_server, there) => {}
            () = pump(&mut from_server, &mut to_client, back) => {}
        }
    }
    reset(&client);
    reset(&server);
}

async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut cut: watch::Receiver<Option<Cut>>,
) {
    let mut bytes = vec![0; 16384];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else { return };
        let _ = cut.wait_for(Option::is_none).await;
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
