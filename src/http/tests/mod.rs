//! The whole HTTP side on a real socket.

mod hostile;
mod requests;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Config, Edge, Gate, Parts, Pulse, Readiness, Services, Way, router, serve};
use crate::auth::audit::Audit;
use crate::auth::{Authenticator, Claims, Key, Keys, ReplayGuard, Revocations, Tickets, mint};
use crate::domain::Timestamp;
use crate::ingest::queue;
use crate::sanitize::testing;
use crate::setting::Limits;
use crate::stream::Hub;
use crate::telemetry::Metrics;
use crate::{auth, stream as room};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A running server and what stands behind it.
struct Server {
    address: SocketAddr,
    services: Arc<Services>,
    hub: Arc<Hub>,
    queue: Mutex<queue::Receiver>,
    metrics: Metrics,
    heart: Arc<Heart>,
    readiness: Arc<Readiness>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Heart {
    stopped: AtomicBool,
}

impl Pulse for Heart {
    fn skew_ms(&self) -> f64 {
        1.25
    }

    fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

fn key() -> Key {
    Key::symmetric("k", auth::Algorithm::HS256, SECRET).unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_nanos(i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap())
}

/// A token for an hour.
fn token(scope: &str) -> String {
    mint(&key(), &Claims::new("dashboard", scope, now(), Duration::from_secs(3_600))).unwrap()
}

impl Server {
    async fn start() -> Self {
        Self::with(Config::default(), Limits::default(), room::Config::default()).await
    }

    async fn with(config: Config, limits: Limits, stream: room::Config) -> Self {
        let metrics = Metrics::new().unwrap();
        let auth = auth::Config::default();
        let authenticator = Arc::new(Authenticator::new(&auth, Keys::new(vec![key()]).unwrap()));
        let guard = Arc::new(ReplayGuard::new(&auth, None, metrics.clone()));
        let gate = Arc::new(Gate {
            tickets: Tickets::new(Arc::clone(&authenticator), Arc::clone(&guard)).unwrap(),
            authenticator,
            guard,
            revocations: Revocations::default(),
            audit: Audit::off(),
            allowed_origins: vec!["https://dash.example".to_owned()],
            metrics: metrics.clone(),
        });
        let (sender, receiver) = queue::bounded(limits.queue);
        let edge = Edge::load(config.clone(), limits.connections_per_address, metrics.clone()).unwrap();
        let edge = Arc::new(edge);
        let hub = Arc::new(Hub::new(100_000));
        let heart = Arc::new(Heart::default());
        let readiness = Arc::new(Readiness::default());
        let tasks = TaskTracker::new();
        let services = Services::new(Parts {
            config,
            limits,
            stream,
            interval: Duration::from_millis(100),
            hub: Arc::clone(&hub),
            edge: Arc::clone(&edge),
            gate,
            pool: None,
            way: Way::Direct(sender),
            pulse: Arc::clone(&heart) as Arc<dyn Pulse>,
            readiness: Arc::clone(&readiness),
            metrics: metrics.clone(),
            clock: Arc::new(now),
            tasks: tasks.clone(),
        });
        services.streams().fanout.loops(&hub).for_each(|telling| drop(tokio::spawn(telling)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let (router, stop, tracker) = (router(Arc::clone(&services)), shutdown.clone(), tasks.clone());
        tasks.spawn(async move { serve(listener, router, edge, stop, &tracker).await });
        Self { address, services, hub, queue: Mutex::new(receiver), metrics, heart, readiness, shutdown, tasks }
    }

    fn publish(&self, beat: u64, figure: u64) {
        self.hub.publish(testing::beat(1, beat, 10_000 + beat * 100).agent("a/1", Some(&[(1, figure)])));
    }

    /// Sends bytes, and reads to the end of the connection.
    async fn exchange(&self, request: &[u8]) -> Answer {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        // The server may answer and hang up before it has everything.
        let _ = socket.write_all(request).await;
        Answer::read(&mut socket).await
    }

    async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() || method == "POST" {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        request += "\r\n";
        self.exchange(&[request.as_bytes(), body].concat()).await
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        self.request("GET", path, &[("Authorization", &format!("Bearer {token}"))], b"").await
    }

    async fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        let authorization = format!("Bearer {}", token("metacog.observe"));
        self.request("POST", path, &[("Authorization", &authorization), ("Content-Type", content_type)], body).await
    }

    /// Opens a stream with these headers.
    async fn open(&self, path: &str, headers: &[(&'static str, &str)]) -> Result<Socket, Answer> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let socket = TcpStream::connect(self.address).await.unwrap();
        match tokio_tungstenite::client_async(request, socket).await {
            Ok((socket, response)) => {
                Ok(Socket { socket, protocol: header(response.headers(), "sec-websocket-protocol") })
            }
            Err(tungstenite::Error::Http(response)) => Err(Answer {
                status: response.status().as_u16(),
                head: format!("{:?}", response.headers()),
                body: response.body().clone().unwrap_or_default(),
            }),
            Err(other) => panic!("{other}"),
        }
    }

    async fn open_with(&self, token: &str) -> Result<Socket, Answer> {
        self.open("/v1/stream", &[("authorization", &format!("Bearer {token}"))]).await
    }
}

fn header(headers: &tungstenite::http::HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

struct Socket {
    socket: WebSocketStream<TcpStream>,
    protocol: Option<String>,
}

impl Socket {
    async fn next(&mut self) -> Message {
        use futures_util::StreamExt;
        let message = tokio::time::timeout(Duration::from_secs(10), self.socket.next()).await;
        message.expect("a message in time").expect("a message").unwrap()
    }

    async fn frame(&mut self) -> Value {
        match self.next().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    async fn close_code(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.next().await {
                return frame.unwrap().code.into();
            }
        }
    }

    async fn say(&mut self, text: &str) {
        use futures_util::SinkExt;
        self.socket.send(Message::text(text)).await.unwrap();
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    async fn read(socket: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut bytes)).await.expect("an answer");
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head, body: bytes.get(end + 4..).unwrap_or_default().to_vec() }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// Checks that it is problem details of this kind.
    fn is_problem(&self, status: u16, slug: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.contains("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:consciousness-system:problem:{slug}"));
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string());
    }
}
