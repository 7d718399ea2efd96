//! Answers whole, and sockets that speak what no HTTP library would.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::daemon::{Daemon, token};
use super::wait::{eventually, within};

/// An answer with all that is in it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub async fn to(request: reqwest::RequestBuilder) -> Self {
        let response = within("an answer", request.send()).await.expect("the daemon answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = within("a body", response.bytes()).await.expect("the answer is whole").to_vec();
        Self { status, headers, body }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers are text"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Checks that this is a problem as RFC 9457 has it; its detail.
    #[track_caller]
    pub fn problem(&self, status: u16, slug: &str) -> String {
        let problem = self.json();
        assert_eq!((self.status, self.header("content-type")), (status, "application/problem+json"), "{problem}");
        assert_eq!(problem["type"], format!("urn:consciousness-system:problem:{slug}"));
        assert_eq!(problem["status"], status);
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
        problem["detail"].as_str().expect("problems have a detail").to_owned()
    }
}

impl Daemon {
    /// A POST with a token that may send observations.
    pub fn post(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        let request = self.http.post(self.url(path)).bearer_auth(token("agent", "metacog.observe"));
        request.header("content-type", content_type).body(body)
    }

    /// Sends these bytes on a connection of its own, which is kept open.
    pub async fn raw(&self, bytes: &[u8]) -> TcpStream {
        let mut socket = within("a connection", TcpStream::connect(self.address)).await.expect("the daemon listens");
        // It may refuse before it has read all.
        let _ = within("the daemon to read", socket.write_all(bytes)).await;
        socket
    }

    /// Bytes of memory that the daemon holds.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the daemon runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("processes have memory");
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kibibytes * 1024
    }

    /// Waits until all observations sent so far are folded: those of a request are folded in the order they came.
    pub async fn settled(&self) -> Value {
        let marker = format!("marker-{:032x}", rand::random::<u128>());
        let (status, _) = self.observe(&serde_json::json!({"agent": marker, "kind": "thought"})).await;
        assert_eq!(status, 202);
        self.state_when("the marker", |state| state["agents"][&marker].is_object()).await["state"].clone()
    }

    /// Checks that bad input cost nothing: the daemon is alive, its heart beats, nothing panicked, and observations
    /// are taken and shown.
    pub async fn assert_well(&self) {
        let (status, body) = self.get("/livez").await;
        assert_eq!((status, &body["checks"]["heart"]["ok"]), (200, &Value::Bool(true)), "{body}");
        let beats = self.metric("heartbeat_beats_total").await;
        eventually("the next beat", || async { (self.metric("heartbeat_beats_total").await > beats).then_some(()) })
            .await;
        self.settled().await;
        let log = self.log();
        let bad = |line: &&String| line.contains("panicked") || line.contains("\"level\":\"ERROR\"");
        assert_eq!(log.iter().find(bad), None);
    }
}

/// Reads until the daemon closes the connection; what it said.
pub async fn rest(socket: &mut TcpStream) -> String {
    let mut said = Vec::new();
    // A reset is an end too.
    let _ = within("the daemon to close the connection", socket.read_to_end(&mut said)).await;
    String::from_utf8_lossy(&said).into_owned()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}
