//! The floor: what fan-out costs at least. One loop, and one bare `send()` of as many bytes a stream and beat.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::machine;
use super::readers::now_ns;

/// First argument of the process that is the floor.
pub const FLAG: &str = "--floor";

/// A floor server, ended when dropped.
pub struct Floor {
    pub address: SocketAddr,
    child: Child,
}

impl Floor {
    /// Starts this program anew as a floor server that sends frames of so many bytes.
    pub fn start(streams: usize, bytes: usize, interval: Duration, cpu: Option<&str>) -> Self {
        let this = std::env::current_exe().unwrap();
        let mut command = machine::command(&this, cpu);
        command.args([FLAG, &streams.to_string(), &bytes.to_string(), &interval.as_millis().to_string()]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { address: line.trim().parse().unwrap(), child }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server's `main`: streams, bytes, milliseconds.
pub fn serve(args: &[String]) {
    let [streams, bytes, interval] = args else { panic!("streams, bytes, milliseconds") };
    let (streams, bytes): (usize, usize) = (streams.parse().unwrap(), bytes.parse().unwrap());
    let interval = Duration::from_millis(interval.parse().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    let mut sockets: Vec<(TcpStream, Vec<u8>)> = Vec::new();
    while sockets.len() < streams {
        let (socket, _) = listener.accept().unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        sockets.push((socket, Vec::new()));
    }
    let start = Instant::now();
    for beat in 1.. {
        std::thread::sleep((start + interval * beat).saturating_duration_since(Instant::now()));
        let frame = frame(bytes);
        for (socket, rest) in &mut sockets {
            // A client that is behind gets the rest of its frame, and misses this one.
            let bytes = if rest.is_empty() { &frame[..] } else { &rest[..] };
            match socket.write(bytes) {
                Ok(n) => *rest = bytes[n..].to_vec(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

fn frame(bytes: usize) -> Vec<u8> {
    let payload = bytes.clamp(130, 65_000) - 4;
    let mut frame = vec![0x81, 126];
    frame.extend_from_slice(&(payload as u16).to_be_bytes());
    let head = format!(r#"{{"type":"delta","epoch":1,"beat":100,"base":99,"ts_ns":{},"patch":""#, now_ns());
    frame.extend_from_slice(head.as_bytes());
    frame.resize(4 + payload, b'x');
    frame
}
