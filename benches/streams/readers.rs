//! The clients: many streams read by one thread, which looks at no more of a frame than its head.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::daemon;

/// Within so many bytes of a frame's payload stands all that is looked at.
const HEAD: usize = 160;
/// Streams of one `sub`, fewer than a `sub` may have.
const PER_SUBJECT: usize = 50;
/// A pong without content, masked with zeros.
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// A delta that arrived whole.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    pub stream: u32,
    /// `ts_ns` of the frame: when its beat began.
    pub beat_ns: i64,
    pub arrived_ns: i64,
}

/// What came in.
#[derive(Debug, Default)]
pub struct Received {
    pub deltas: Vec<Arrival>,
    /// Bytes of the deltas, headers included.
    pub bytes: u64,
    /// Data frames that were no deltas: whole states.
    pub states: u64,
    /// Streams that the server ended.
    pub closed: u64,
}

/// Open streams.
pub struct Readers {
    poll: Poll,
    streams: Vec<Stream>,
    buffer: Vec<u8>,
    pub received: Received,
}

struct Stream {
    socket: TcpStream,
    /// Bytes of the current frame that are still to come, once its head was seen.
    rest: usize,
    /// The current frame's beat, if it is a delta.
    beat_ns: Option<i64>,
    /// The beginning of a frame whose head has not come whole.
    partial: Vec<u8>,
}

impl Readers {
    pub fn new() -> Self {
        let poll = Poll::new().unwrap();
        Self { poll, streams: Vec::new(), buffer: vec![0; 64 * 1024], received: Received::default() }
    }

    /// Opens so many streams of the daemon: all ask at once, then all are answered.
    pub fn open(&mut self, address: SocketAddr, count: usize) {
        let tokens: Vec<String> =
            (0..count).map(|i| daemon::token(&format!("viewer-{}", i / PER_SUBJECT), "metacog.stream")).collect();
        let asked: Vec<StdStream> = tokens.iter().map(|token| ask(address, token)).collect();
        for mut socket in asked {
            let ahead = answer(&mut socket);
            self.add(socket, &ahead);
        }
    }

    /// Opens so many plain connections, on which frames come unasked.
    pub fn open_plain(&mut self, address: SocketAddr, count: usize) {
        for _ in 0..count {
            self.add(StdStream::connect(address).expect("the floor takes connections"), &[]);
        }
    }

    fn add(&mut self, socket: StdStream, ahead: &[u8]) {
        socket.set_nonblocking(true).unwrap();
        let mut socket = TcpStream::from_std(socket);
        let number = self.streams.len();
        self.poll.registry().register(&mut socket, Token(number), Interest::READABLE).unwrap();
        let mut stream = Stream { socket, rest: 0, beat_ns: None, partial: Vec::new() };
        stream.take(number, ahead, &mut self.received);
        self.streams.push(stream);
    }

    /// Reads for so long.
    pub fn read_for(&mut self, length: Duration) {
        let end = Instant::now() + length;
        let mut events = Events::with_capacity(1_024);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            if let Err(error) = self.poll.poll(&mut events, Some(left)) {
                assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "{error}");
            }
            for event in &events {
                let Token(number) = event.token();
                let stream = &mut self.streams[number];
                loop {
                    match stream.socket.read(&mut self.buffer) {
                        Ok(0) => {
                            self.received.closed += 1;
                            let _ = self.poll.registry().deregister(&mut stream.socket);
                            break;
                        }
                        Ok(n) => {
                            stream.take(number, &self.buffer[..n], &mut self.received);
                            // A short read has emptied the socket; what comes later is an event of its own.
                            if n < self.buffer.len() {
                                break;
                            }
                        }
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                        Err(_) => {
                            self.received.closed += 1;
                            break;
                        }
                    }
                }
            }
        }
    }
}

fn ask(address: SocketAddr, token: &str) -> StdStream {
    let mut socket = StdStream::connect(address).expect("the daemon takes connections");
    socket.set_nodelay(true).unwrap();
    let request = format!(
        "GET /v1/stream HTTP/1.1\r\nHost: load\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    socket
}

/// Reads the answer to an upgrade; what came after it.
fn answer(socket: &mut StdStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4_096];
    loop {
        let n = socket.read(&mut chunk).unwrap();
        assert!(n > 0, "the daemon hung up at a handshake");
        bytes.extend_from_slice(&chunk[..n]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            assert!(bytes.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&bytes));
            return bytes.split_off(end + 4);
        }
    }
}

impl Stream {
    fn take(&mut self, number: usize, data: &[u8], received: &mut Received) {
        if self.partial.is_empty() {
            return self.frames(number, data, received);
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(data);
        self.frames(number, &whole, received);
    }

    fn frames(&mut self, number: usize, mut data: &[u8], received: &mut Received) {
        loop {
            let now = self.rest.min(data.len());
            self.rest -= now;
            data = &data[now..];
            if self.rest > 0 {
                return;
            }
            if let Some(beat_ns) = self.beat_ns.take() {
                received.deltas.push(Arrival { stream: number as u32, beat_ns, arrived_ns: now_ns() });
            }
            let Some((header, payload)) = header(data) else { break };
            let Some(head) = data.get(header..header + payload.min(HEAD)) else { break };
            match data[0] & 0x0f {
                1 if head.starts_with(br#"{"type":"delta""#) => {
                    self.beat_ns = Some(field(head, br#""ts_ns":"#));
                    received.bytes += (header + payload) as u64;
                }
                1 => received.states += u64::from(head.starts_with(br#"{"type":"state""#)),
                9 => {
                    let _ = self.socket.write(&PONG);
                }
                _ => {}
            }
            self.rest = header + payload;
        }
        self.partial.extend_from_slice(data);
    }
}

/// Lengths of a frame's header and payload (RFC 6455, section 5.2); `None` while the header is not there whole.
fn header(data: &[u8]) -> Option<(usize, usize)> {
    let short = usize::from(data.get(1)? & 0x7f);
    match short {
        126 => Some((4, usize::from(u16::from_be_bytes(data.get(2..4)?.try_into().ok()?)))),
        127 => Some((10, u64::from_be_bytes(data.get(2..10)?.try_into().ok()?) as usize)),
        _ => Some((2, short)),
    }
}

/// The whole number after this name.
fn field(head: &[u8], name: &[u8]) -> i64 {
    let start =
        head.windows(name.len()).position(|window| window == name).expect("a delta says when it was") + name.len();
    head[start..].iter().take_while(|byte| byte.is_ascii_digit()).fold(0, |n, byte| n * 10 + i64::from(byte - b'0'))
}

pub fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}
