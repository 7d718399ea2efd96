//! A small TCP load balancer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::seq::SliceRandom;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

#[derive(Clone)]
pub struct Balancer {
    pub address: SocketAddr,
    pods: Arc<Mutex<Vec<Option<SocketAddr>>>>,
}

impl Balancer {
    /// For so many pods, none of which takes traffic yet.
    pub async fn start(pods: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let balancer =
            Self { address: listener.local_addr().expect("an address"), pods: Arc::new(Mutex::new(vec![None; pods])) };
        let own = balancer.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let own = own.clone();
                tokio::spawn(async move { own.carry(client).await });
            }
        });
        balancer
    }

    /// From now on this pod takes traffic here, or none.
    pub fn route(&self, pod: usize, address: Option<SocketAddr>) {
        self.pods.lock().unwrap()[pod] = address;
    }

    /// To whichever pod takes the connection, in any order.
    async fn carry(&self, mut client: TcpStream) {
        let mut pods: Vec<_> = self.pods.lock().unwrap().iter().flatten().copied().collect();
        pods.shuffle(&mut rand::rng());
        for address in pods {
            if let Ok(Ok(mut pod)) = timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
                let _ = copy_bidirectional(&mut client, &mut pod).await;
                return;
            }
        }
    }
}
