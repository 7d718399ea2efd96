//! A small HTTP client, and observations to send with it.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::daemon;

/// A connection that is kept open.
pub struct Http {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Http {
    pub fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("the daemon takes connections");
        socket.set_nodelay(true).unwrap();
        Self { socket, buffer: Vec::new() }
    }

    pub fn get(&mut self, path: &str, token: &str) -> (u16, String) {
        let head = format!("GET {path} HTTP/1.1\r\nHost: load\r\nAuthorization: Bearer {token}\r\n\r\n");
        self.exchange(head.into_bytes())
    }

    pub fn post(&mut self, path: &str, token: &str, media_type: &str, body: &[u8]) -> (u16, String) {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: load\r\nAuthorization: Bearer {token}\r\nContent-Type: {media_type}\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.exchange(request)
    }

    fn exchange(&mut self, request: Vec<u8>) -> (u16, String) {
        self.socket.write_all(&request).expect("the daemon reads requests");
        self.buffer.clear();
        let mut chunk = [0; 16 * 1024];
        loop {
            let n = self.socket.read(&mut chunk).expect("the daemon answers");
            assert!(n > 0, "the daemon hung up");
            self.buffer.extend_from_slice(&chunk[..n]);
            let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if self.buffer.len() >= end + 4 + length.unwrap_or(0) {
                let status = head[9..12].parse().unwrap();
                return (status, String::from_utf8_lossy(&self.buffer[end + 4..]).into_owned());
            }
        }
    }
}

/// Native observations, one a line, of all kinds that change an agent's public figures.
pub fn ndjson(count: usize, agents: usize) -> Vec<u8> {
    let mut lines = String::new();
    for i in 0..count {
        let (agent, turn) = (i % agents, i / agents);
        let what = match turn % 6 {
            0 => format!(r#""kind":"usage","input_tokens":{},"output_tokens":40,"cost":0.001"#, 900 + i % 97),
            1 => format!(r#""kind":"action","tool":"search","arguments":{{"query":"flights {i}"}},"call_id":"c{i}""#),
            2 => {
                format!(r#""kind":"result","tool":"search","ok":true,"text":"found {i}","duration_ms":{}"#, 20 + i % 61)
            }
            3 => format!(r#""kind":"claim","claim_id":"q{i}","confidence":0.{}"#, 50 + i % 49),
            4 => format!(r#""kind":"verdict","claim_id":"q{}","correct":{}"#, i - agents, i % 3 > 0),
            _ => format!(r#""kind":"thought","text":"the next step is number {i}, which follows from the last""#),
        };
        writeln!(lines, r#"{{"agent":"load-{agent}","session":"s",{what}}}"#).unwrap();
    }
    lines.into_bytes()
}

/// Bodies sent on schedule by a thread of their own, whether or not the last one was answered in time.
pub struct Feed {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

/// What became of requests.
#[derive(Debug, Default)]
pub struct Counts {
    pub accepted: AtomicU64,
    pub refused: AtomicU64,
}

impl Feed {
    /// Sends `body`, which holds `each` observations, every `pause`.
    pub fn start(address: SocketAddr, body: Vec<u8>, each: u64, pause: Duration) -> Self {
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        let (stopped, counting) = (Arc::clone(&stop), Arc::clone(&counts));
        let thread = std::thread::spawn(move || {
            let token = daemon::token("feed", "metacog.observe");
            let mut http = Http::connect(address);
            let mut due = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                let (status, _) = http.post("/v1/observations", &token, "application/x-ndjson", &body);
                let count = if status == 202 { &counting.accepted } else { &counting.refused };
                count.fetch_add(each, Ordering::Relaxed);
                due += pause;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        Self { stop, counts, thread: Some(thread) }
    }

    /// Observations accepted and refused so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.counts.accepted.load(Ordering::Relaxed), self.counts.refused.load(Ordering::Relaxed))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Its panic was printed where it happened.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
