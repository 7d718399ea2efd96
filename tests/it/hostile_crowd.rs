//! Crowds of sockets that want nothing, messages in more parts than they have bytes, and bombs.

use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::{Daemon, Stream, connect, eventually, rest, token, within};

/// Files that the daemon has open.
fn files(daemon: &Daemon) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("the daemon runs").count()
}

/// Files that a process may have open, as this one is told.
fn most_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("processes have limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("files are limited");
    line.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(1_024)
}

/// What a socket may have said when its client says no more: nothing, a part of a head, of a body.
fn beginnings() -> [String; 5] {
    let bearer = token("a", "metacog.observe");
    let post = format!("POST /v1/observations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n");
    let trickle = format!("{post}Content-Length: 1000\r\n\r\n[");
    let upgrade = "GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nX";
    [String::new(), "G".to_owned(), upgrade.to_owned(), post, trickle]
}

/// So many sockets that say no more, many opened at a time.
async fn half_open(daemon: &Daemon, crowd: usize) -> Vec<TcpStream> {
    let beginnings = beginnings();
    let opening = (0..crowd).map(|i| daemon.raw(beginnings[i % beginnings.len()].as_bytes()));
    futures_util::stream::iter(opening).buffer_unordered(64).collect().await
}

#[tokio::test]
async fn half_open_sockets_cost_little() {
    // Other tests of this process have files open as well.
    let crowd = (most_files() / 3).min(3_000);
    // None is cut off before all are there, however slow the machine is.
    let daemon = Daemon::start(&[("server__header_timeout", "10m"), ("server__body_timeout", "10m")]).await;
    let mut honest = connect(&daemon, &token("honest", "metacog.stream")).await;
    honest.until("the state", |_| true).await;
    let (memory, files_before) = (daemon.memory(), files(&daemon));
    let sockets = half_open(&daemon, crowd).await;
    eventually("all of them to be held", || async { (files(&daemon) >= files_before + crowd).then_some(()) }).await;
    let grown = daemon.memory().saturating_sub(memory);
    println!("{crowd} half-open sockets, {} bytes each", grown / crowd as u64);
    assert!(grown < (32 << 20) + (crowd as u64) * (32 << 10), "{grown} bytes for {crowd}");
    // An honest client is served in the meantime, stream and request, and whoever comes anew as well.
    let beat = honest.beat;
    while honest.beat < beat + 20 {
        honest.next().await.expect("the stream stays open");
    }
    assert_eq!(daemon.get_as("metacog.stream", "/v1/state").await.0, 200);
    connect(&daemon, &token("late", "metacog.stream")).await.next().await.expect("a state");
    assert_eq!(daemon.metric("ws_backpressure_drops_total").await, 0.0);
    drop(sockets);
    eventually("all of them to be forgotten", || async { (files(&daemon) < files_before + 20).then_some(()) }).await;
    honest.next().await.expect("the stream stays open");
    daemon.assert_well().await;
}

#[tokio::test]
async fn half_open_sockets_are_cut_off() {
    let mut daemon = Daemon::start(&[("server__header_timeout", "1s"), ("server__body_timeout", "1s")]).await;
    // No connection of the tests' own client is cut off just as it is used again.
    daemon.http = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let mut honest = connect(&daemon, &token("honest", "metacog.stream")).await;
    for mut socket in half_open(&daemon, 200).await {
        // An answer that says why may come first; whichever it is, the end comes by itself.
        rest(&mut socket).await;
    }
    honest.next().await.expect("the stream stays open");
    daemon.assert_well().await;
}

fn part(bytes: &[u8], first: bool, last: bool) -> Message {
    let opcode = OpCode::Data(if first { Data::Text } else { Data::Continue });
    Message::Frame(Frame::message(bytes.to_vec(), opcode, last))
}

/// Sends a message in so many parts, most of them empty.
async fn send_in_parts(stream: &mut Stream, text: &str, parts: usize, ends: bool) {
    for i in 0..parts {
        let bytes = if i == 0 { text.as_bytes() } else { b"" };
        let _ = stream.socket.feed(part(bytes, i == 0, ends && i + 1 == parts)).await;
    }
    let _ = stream.socket.flush().await;
}

#[tokio::test]
async fn every_part_of_a_message_counts_as_a_frame() {
    let daemon = Daemon::start(&[]).await;
    let ping = "{\"type\":\"ping\"}";
    let mut stream = connect(&daemon, &token("a", "metacog.stream")).await;
    send_in_parts(&mut stream, ping, 10, true).await;
    stream.frame_of_type("pong").await;
    // One that has more parts than may be sent at once is dropped, all of it.
    let mut other = connect(&daemon, &token("b", "metacog.stream")).await;
    send_in_parts(&mut other, ping, 60, true).await;
    assert_eq!(other.frame_of_type("error").await["code"], "rate_limited");
    eventually("room for another one", || async {
        let drops = daemon.metric("ws_rate_limit_drops_total").await;
        (30.0..=60.0).contains(&drops).then_some(())
    })
    .await;
    let pong = async {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(300));
        loop {
            tokio::select! {
                _ = pace.tick() => other.send_text(ping.to_owned()).await,
                frame = other.frame() => if frame.expect("the stream stays open")["type"] == "pong" { return },
            }
        }
    };
    within("a pong", pong).await;
    // One that never ends is sustained abuse, long before it is too large.
    let mut bomb = connect(&daemon, &token("c", "metacog.stream")).await;
    send_in_parts(&mut bomb, "{", 1_000, false).await;
    // A reset may overtake the close frame when the daemon is written to after it.
    assert!([1008, 1006].contains(&bomb.closed().await.0));
    stream.next().await.expect("others stay");
    daemon.assert_well().await;
}

#[tokio::test]
async fn compression_is_not_spoken_on_streams() {
    let daemon = Daemon::start(&[]).await;
    let mut request = format!("ws://{}/v1/stream", daemon.address).into_client_request().unwrap();
    let bearer = format!("Bearer {}", token("a", "metacog.stream"));
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    request.headers_mut().insert("sec-websocket-extensions", "permessage-deflate".parse().unwrap());
    let (socket, response) = within("the handshake", tokio_tungstenite::connect_async(request)).await.unwrap();
    assert_eq!(response.headers().get("sec-websocket-extensions"), None);
    let mut stream = Stream::new(socket).await.unwrap();
    // Text, last, compressed (RSV1): a masked frame of some bytes that would inflate to megabytes.
    let tokio_tungstenite::MaybeTlsStream::Plain(tcp) = stream.socket.get_mut() else { panic!("no TLS") };
    tcp.write_all(&[0xc1, 0x84, 0, 0, 0, 0, 0xec, 0xc1, 0x01, 0x01]).await.unwrap();
    assert_eq!(stream.closed().await.0, 1002);
    let deflated = rest(
        &mut daemon.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n").await,
    )
    .await;
    assert!(deflated.contains("beating"), "nor in answers: {deflated}");
    daemon.assert_well().await;
}
