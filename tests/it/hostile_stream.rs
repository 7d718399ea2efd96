//! Hostile clients of the stream are told, cut off, and cost nobody else anything.

use futures_util::{SinkExt, StreamExt, stream};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::{Daemon, Stream, connect, eventually, rest, sign, token, try_connect, unix_now, within};

const BOTH: &str = "metacog.stream metacog.observe";

/// The header of a request for a stream.
fn upgrade(token: &str) -> String {
    format!(
        "GET /v1/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {token}\r\n"
    )
}

fn part(first: bool, last: bool, bytes: usize) -> Message {
    let opcode = OpCode::Data(if first { Data::Text } else { Data::Continue });
    Message::Frame(Frame::message(vec![b'x'; bytes], opcode, last))
}

#[tokio::test]
async fn messages_that_break_the_rules_close_the_stream() {
    let daemon = Daemon::start(&[]).await;
    let kilobytes = |n: usize| Message::text(format!("{{\"type\":\"ping\",\"x\":\"{}\"}}", "x".repeat(n << 10)));
    let endless: Vec<_> = (0..70).map(|i| part(i == 0, false, 1_000)).collect();
    let tiny: Vec<_> = (0..60_000).map(|i| part(i == 0, false, 1)).collect();
    let empty: Vec<_> = (0..100_000).map(|i| part(i == 0, false, 0)).collect();
    let not_utf8 = Message::Frame(Frame::message(&b"\xff\xfe"[..], OpCode::Data(Data::Text), true));
    let reserved = Message::Frame(Frame::message(&b"x"[..], OpCode::Data(Data::Reserved(5)), true));
    let continued = part(false, true, 5);
    for (name, messages, codes) in [
        ("binary", vec![Message::binary(vec![1, 2, 3])], vec![1003]),
        ("large", vec![kilobytes(64)], vec![1009]),
        ("huge", vec![kilobytes(10_000)], vec![1009]),
        ("large in parts", endless, vec![1009]),
        ("many parts", tiny, vec![1008, 1009]),
        ("parts of nothing", empty, vec![1008, 1009]),
        ("not UTF-8", vec![not_utf8], vec![1007]),
        ("reserved opcode", vec![reserved], vec![1002]),
        ("nothing to continue", vec![continued], vec![1002]),
    ] {
        let mut stream = connect(&daemon, &token("a", BOTH)).await;
        let _ = within("the daemon to read", async {
            for message in messages {
                stream.socket.feed(message).await?;
            }
            stream.socket.flush().await
        })
        .await;
        let (code, _) = stream.closed().await;
        assert!(codes.contains(&code), "{name}: {code}");
    }
    let mut stream = connect(&daemon, &token("a", BOTH)).await;
    stream.socket.send(kilobytes(63)).await.unwrap();
    stream.frame_of_type("pong").await;
    // Frames of clients are masked (RFC 6455, section 5.1).
    let mut raw = daemon.raw(format!("{}\r\n", upgrade(&token("a", BOTH))).as_bytes()).await;
    raw.write_all(b"\x81\x02{}").await.unwrap();
    let said = rest(&mut raw).await;
    assert!(said.starts_with("HTTP/1.1 101 ") && said.contains("protocol error"), "{said}");
    daemon.assert_well().await;
}

#[tokio::test]
async fn malformed_messages_are_told_and_then_close() {
    let daemon = Daemon::start(&[("limits__burst", "100")]).await;
    let mut stream = connect(&daemon, &token("a", BOTH)).await;
    let deep = format!("{{\"type\":\"ping\",\"x\":{}", "[".repeat(60_000));
    let messages = [
        "",
        "{",
        "[]",
        "null",
        "{\"type\":\"nonsense\"}",
        "{\"type\":\"subscribe\",\"agents\":\"a\"}",
        "{\"type\":\"subscribe\",\"max_hz\":0}",
        "{\"type\":\"observe\"}",
        "{\"type\":\"auth\"}",
        &deep,
    ];
    for message in &messages[1..] {
        stream.send_text((*message).to_owned()).await;
        let error = stream.frame_of_type("error").await;
        assert_eq!(error["code"], "bad_message", "{message:.50}");
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty() && text.len() < 100));
    }
    stream.send_text(messages[0].to_owned()).await;
    assert_eq!(stream.closed().await.0, 1008);
    // A wrong observation is no malformed message: a client may go on after any number of them.
    let mut stream = connect(&daemon, &token("a", BOTH)).await;
    for _ in 0..15 {
        stream.send(json!({"type": "observe", "observation": {"agent": "a", "kind": "dream"}})).await;
        let error = stream.frame_of_type("error").await;
        assert_eq!((&error["code"], &error["message"]), (&json!("rejected"), &json!("unknown `kind`")));
    }
    let patterns: Vec<_> = (0..65).map(|i| format!("agent-{i}")).collect();
    stream.send(json!({"type": "subscribe", "agents": patterns})).await;
    assert_eq!(stream.frame_of_type("error").await["code"], "bad_message");
    stream.send(json!({"type": "ping"})).await;
    stream.frame_of_type("pong").await;
    daemon.assert_well().await;
}

#[tokio::test]
async fn observing_needs_its_own_scope() {
    let daemon = Daemon::start(&[]).await;
    let mut stream = connect(&daemon, &token("a", "metacog.stream")).await;
    stream.send(json!({"type": "observe", "observation": {"agent": "a", "kind": "thought"}})).await;
    let error = stream.frame_of_type("error").await;
    assert_eq!(error["code"], "forbidden");
    assert!(error["message"].as_str().unwrap().contains("metacog.observe"));
    assert_eq!(daemon.metric("ws_scope_reject_total").await, 1.0);
    stream.send(json!({"type": "ping"})).await;
    stream.frame_of_type("pong").await;
    assert_eq!(daemon.settled().await["agents"]["a"], Value::Null);
}

#[tokio::test]
async fn too_many_messages_are_dropped_and_abuse_closes() {
    let daemon = Daemon::start(&[]).await;
    // The limit is a subject's, however many streams it has.
    let mut streams = [connect(&daemon, &token("a", BOTH)).await, connect(&daemon, &token("a", BOTH)).await];
    for _ in 0..40 {
        for stream in &mut streams {
            stream.send(json!({"type": "ping"})).await;
        }
    }
    for stream in &mut streams {
        assert_eq!(stream.frame_of_type("error").await["code"], "rate_limited");
    }
    assert!(daemon.metric("ws_rate_limit_drops_total").await > 0.0);
    let mut other = connect(&daemon, &token("b", BOTH)).await;
    other.send(json!({"type": "ping"})).await;
    other.frame_of_type("pong").await;
    let [mut abuser, _calm] = streams;
    let flood = async {
        for _ in 0..100_000 {
            if abuser.socket.feed(Message::text("{\"type\":\"ping\"}")).await.is_err() {
                break;
            }
        }
        let _ = abuser.socket.flush().await;
    };
    within("the flood to end", flood).await;
    // A reset may overtake the close frame when the daemon is written to after it.
    assert!([1008, 1006].contains(&abuser.closed().await.0));
    other.send(json!({"type": "ping"})).await;
    other.frame_of_type("pong").await;
    let mut flooded = connect(&daemon, &token("c", BOTH)).await;
    for _ in 0..300 {
        // Control frames count as well.
        flooded.socket.feed(Message::Ping(vec![1].into())).await.unwrap();
    }
    flooded.socket.flush().await.unwrap();
    assert_eq!(flooded.closed().await.0, 1008);
    daemon.assert_well().await;
}

#[tokio::test]
async fn a_thousand_connections_of_one_subject_are_too_many() {
    let daemon = Daemon::start(&[]).await;
    let mut honest = connect(&daemon, &token("honest", "metacog.stream")).await;
    let opened: Vec<Result<Stream, u16>> = stream::iter(0..1_000)
        .map(|_| {
            let bearer = format!("Bearer {}", token("greedy", "metacog.stream"));
            let daemon = &daemon;
            async move { try_connect(daemon, "/v1/stream", &[("authorization", &bearer)]).await }
        })
        .buffer_unordered(16)
        .collect()
        .await;
    let mut open: Vec<Stream> =
        opened.into_iter().filter_map(|opened| opened.map_err(|code| assert_eq!(code, 4429)).ok()).collect();
    assert_eq!(open.len(), 64);
    assert_eq!(daemon.metric("ws_connections").await, 65.0);
    assert_eq!(daemon.metric("ws_connections_total{outcome=\"too_many\"}").await, 936.0);
    let beat = honest.beat;
    honest.until("the next frame", |_| true).await;
    honest.next().await.expect("the stream stays open");
    assert!(honest.beat > beat);
    let other = connect(&daemon, &token("other", "metacog.stream")).await;
    assert_eq!(other.hello["protocol"], 1);
    // A token that was turned away may come again once there is room.
    let again = token("greedy", "metacog.stream");
    let bearer = format!("Bearer {again}");
    let headers = [("authorization", &*bearer)];
    assert_eq!(try_connect(&daemon, "/v1/stream", &headers).await.err(), Some(4429));
    open.pop();
    eventually("the place to be free", || async { (daemon.metric("ws_connections").await < 66.0).then_some(()) }).await;
    assert!(try_connect(&daemon, "/v1/stream", &headers).await.is_ok());
    daemon.assert_well().await;
}

/// Opens a stream on a socket with a small buffer, subscribes to everything in a way of its own, and reads nothing.
async fn deaf(daemon: &Daemon, number: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut socket = socket.connect(daemon.address).await.unwrap();
    let request = format!("{}\r\n", upgrade(&token(&format!("deaf-{number}"), "metacog.stream")));
    socket.write_all(request.as_bytes()).await.unwrap();
    let message = json!({"type": "subscribe", "agents": ["*", format!("none-{number}")]}).to_string();
    let length = u8::try_from(message.len()).unwrap();
    assert!(length < 126);
    let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(message.as_bytes());
    socket.write_all(&frame).await.unwrap();
    socket
}

#[tokio::test]
async fn clients_that_never_read_are_closed_and_cost_others_nothing() {
    let settings = [
        ("stream__merge_for", "200ms"),
        ("stream__stall_timeout", "1s"),
        ("log__filter", "info,consciousness_system::http=debug"),
    ];
    let daemon = Daemon::start(&settings).await;
    let mut honest = connect(&daemon, &token("honest", "metacog.stream")).await;
    let crowd: Value = (0..3_000).map(|i| json!({"agent": format!("agent-{i}"), "kind": "thought"})).collect();
    assert_eq!(daemon.observe(&crowd).await.0, 202);
    honest.until("the crowd", |state| state["agents"].as_object().is_some_and(|agents| agents.len() == 3_000)).await;
    let before = daemon.memory();
    let mut deaf_ones = Vec::new();
    for number in 0..20 {
        deaf_ones.push(deaf(&daemon, number).await);
    }
    // Everything changes again and again until all of them are closed.
    let closed = || {
        let told = |line: &&String| line.contains("stream ended") && line.contains("\"code\":4408");
        daemon.log().iter().filter(told).count()
    };
    let mut round = 1;
    within("the deaf ones to be closed", async {
        while closed() < deaf_ones.len() {
            round += 1;
            assert_eq!(daemon.observe(&crowd).await.0, 202);
            honest.until("the round", |state| state["agents"]["agent-2999"]["observations"] == round).await;
        }
    })
    .await;
    assert!(daemon.metric("ws_backpressure_drops_total").await > 0.0);
    assert_eq!(daemon.metric("ws_connections").await, 1.0);
    let grown = daemon.memory().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    assert_eq!(honest.state["agents"], daemon.state().await["state"]["agents"]);
    drop(deaf_ones);
    daemon.assert_well().await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_closed() {
    let settings =
        [("stream__merge_for", "100ms"), ("stream__stall_timeout", "1s"), ("stream__ping_interval", "500ms")];
    let daemon = Daemon::start(&settings).await;
    let mut mute = daemon.raw(format!("{}\r\n", upgrade(&token("mute", "metacog.stream"))).as_bytes()).await;
    let mut honest = connect(&daemon, &token("honest", "metacog.stream")).await;
    // It reads all there is, and says nothing.
    let said = within("the mute one to be closed", async {
        let mut said = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut mute, &mut said).await;
        said
    });
    let (said, ()) = tokio::join!(said, async {
        let end = honest.beat + 30;
        while honest.beat < end {
            honest.next().await.expect("a client that answers stays");
        }
    });
    let close = [0x88, 2 + 26, 0x11, 0x38];
    assert!(said.windows(4).any(|bytes| bytes == close), "closed with 4408");
    daemon.assert_well().await;
}

#[tokio::test]
async fn handshakes_that_are_none_are_refused_and_take_no_token() {
    let short = [("server__header_timeout", "500ms"), ("server__idle_timeout", "500ms")];
    let daemon = Daemon::start(&short).await;
    let jti = json!({"sub": "a", "scope": "metacog.stream", "exp": unix_now() + 600, "jti": "one"});
    let token = sign(&jti);
    let good = upgrade(&token);
    for (old, new, status) in [
        ("Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Version: 8\r\n", 426),
        ("Sec-WebSocket-Version: 13\r\n", "", 426),
        ("Upgrade: websocket\r\n", "Upgrade: h2c\r\n", 426),
        ("Connection: Upgrade\r\n", "Connection: close\r\n", 426),
        ("HTTP/1.1", "HTTP/1.0", 426),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhl", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "", 400),
        ("/v1/stream", "/v1/stream?since=1", 400),
        ("/v1/stream", "/v1/stream?since=-1:5", 400),
        ("GET", "POST", 405),
    ] {
        let said = rest(&mut daemon.raw(format!("{}\r\n", good.replace(old, new)).as_bytes()).await).await;
        let line = said.lines().next().unwrap_or_default();
        assert!(line.split(' ').nth(1) == Some(&status.to_string()), "{old} {new}: {said}");
    }
    // Half a handshake, and one whose client is gone before it ends.
    assert!(!rest(&mut daemon.raw(good.as_bytes()).await).await.contains(" 101 "));
    drop(daemon.raw(good.as_bytes()).await);
    connect(&daemon, &token).await;
    daemon.assert_well().await;
}
