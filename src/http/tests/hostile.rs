use super::*;

fn quick() -> Config {
    let short = Duration::from_millis(200);
    Config { header_timeout: short, idle_timeout: short * 2, body_timeout: short, ..Config::default() }
}

#[tokio::test]
async fn a_header_that_never_ends_is_cut_off() {
    let server = Server::with(quick(), Limits::default(), room::Config::default()).await;
    let slow = server.exchange(b"GET /livez HTTP/1.1\r\nHost: te").await;
    assert!(matches!(slow.status, 0 | 408), "{slow:?}");
    let half_open = server.exchange(b"").await;
    assert_eq!(half_open.status, 0);
    let idle = server.exchange(b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert_eq!(idle.status, 200, "and then it is closed");
    let long = format!("GET /livez HTTP/1.1\r\nHost: test\r\nX: {}", "x".repeat(1_000_000));
    let answer = server.exchange(long.as_bytes()).await;
    assert!(matches!(answer.status, 431 | 0), "{answer:?}");
    let many = format!("GET /livez HTTP/1.1\r\nHost: test\r\n{}\r\n", "X: y\r\n".repeat(200));
    assert_eq!(server.exchange(many.as_bytes()).await.status, 431);
    assert_eq!(server.request("GET", "/livez", &[], b"").await.status, 200);
}

#[tokio::test]
async fn a_connection_may_rest_between_two_requests() {
    let config = quick();
    let longer = config.header_timeout * 3;
    let server =
        Server::with(Config { idle_timeout: longer * 100, ..config }, Limits::default(), room::Config::default());
    let server = server.await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let mut answer = [0; 12];
    for _ in 0..2 {
        client.write_all(b"GET /nothing HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 404");
        tokio::time::sleep(longer).await;
        let mut rest = [0; 4096];
        assert_ne!(client.try_read(&mut rest).unwrap(), 0, "the rest of the answer, and no end after it");
        assert_eq!(client.try_read(&mut rest).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
    client.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(20), client.read(&mut answer)).await.expect("it is cut off");
    assert!(closed.is_err() || closed.is_ok_and(|read| read == 0 || answer.starts_with(b"HTTP/1.1 408")));
}

#[tokio::test]
async fn a_body_that_trickles_is_cut_off() {
    let server = Server::with(quick(), Limits::default(), room::Config::default()).await;
    let head = format!(
        "POST /v1/observations HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {}\r\nContent-Length: 1000\r\n\r\n{{",
        token("metacog.observe")
    );
    server.exchange(head.as_bytes()).await.is_problem(408, "timeout");
}

#[tokio::test]
async fn large_bodies_are_refused_with_an_answer() {
    let server = Server::start().await;
    let body = vec![b' '; 10_000_000];
    server.post("/v1/observations", "application/json", &body).await.is_problem(413, "too-large");
    let mut chunked = format!(
        "POST /v1/observations HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
        token("metacog.observe")
    )
    .into_bytes();
    for _ in 0..100 {
        chunked.extend_from_slice(b"186a0\r\n");
        chunked.extend_from_slice(&body[..100_000]);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    server.exchange(&chunked).await.is_problem(413, "too-large");
    server.request("POST", "/v1/observations", &[], &body[..1_000]).await.is_problem(401, "unauthorized");
}

#[tokio::test]
async fn nonsense_in_a_body_is_told_and_not_quoted() {
    let server = Server::start().await;
    let deep = "[".repeat(100_000);
    for body in [deep.as_bytes(), b"\xff\xfeSECRET", b"SECRET", b"{\"agent\":\"SECRET\"", b"nan", b"7"] {
        let answer = server.post("/v1/observations", "application/json", body).await;
        answer.is_problem(400, "malformed");
        assert!(!String::from_utf8_lossy(&answer.body).contains("SECRET"));
    }
}

#[tokio::test]
async fn connections_are_bounded_and_come_back() {
    let config = Config { max_connections: 3, ..Config::default() };
    let server = Server::with(config, Limits::default(), room::Config::default()).await;
    server.publish(1, 1);
    let mut held = vec![];
    for _ in 0..2 {
        held.push(TcpStream::connect(server.address).await.unwrap());
    }
    // A stream counts as long as it is open.
    let mut socket = server.open_with(&token("metacog.stream")).await.unwrap();
    socket.frame().await;
    let answer = server.exchange(b"").await;
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after"));
    held.clear();
    let back = async { while server.request("GET", "/livez", &[], b"").await.status != 200 {} };
    tokio::time::timeout(Duration::from_secs(5), back).await.unwrap();
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed_and_costs_others_nothing() {
    let stall = Duration::from_millis(400);
    let stream =
        room::Config { merge_for: Duration::from_millis(100), stall_timeout: stall, ..room::Config::default() };
    let server = Server::with(Config::default(), Limits::default(), stream).await;
    let wide = |beat: u64| {
        let mut public = testing::beat(1, beat, 10_000 + beat * 100);
        for i in 0..2_000 {
            public = public.agent(&format!("agent-{i}"), Some(&[(1, beat), (2, beat)]));
        }
        public
    };
    server.hub.publish(wide(1));
    let mut good = server.open_with(&token("metacog.stream")).await.unwrap();
    let _deaf = server.open_with(&token("metacog.stream")).await.unwrap();
    good.frame().await;
    good.frame().await;
    let mut beat = 1;
    let closed = async {
        while server.metrics.ws_connections.get() > 1 {
            beat += 1;
            server.hub.publish(wide(beat));
            let delta = good.frame().await;
            assert_eq!((delta["type"].as_str(), delta["beat"].as_u64()), (Some("delta"), Some(beat)));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closed).await.expect("the deaf one is closed");
    assert!(server.metrics.ws_backpressure_drops_total.get() > 0);
}

#[tokio::test]
async fn a_fragmented_message_over_the_limit_closes() {
    use futures_util::SinkExt;
    use tungstenite::protocol::frame::Frame;
    use tungstenite::protocol::frame::coding::{Data, OpCode};
    let server = Server::start().await;
    let mut socket = server.open_with(&token("metacog.stream")).await.unwrap();
    socket.frame().await;
    for i in 0..70 {
        let opcode = OpCode::Data(if i == 0 { Data::Text } else { Data::Continue });
        let part = Frame::message(vec![b'x'; 1_000], opcode, false);
        if socket.socket.send(Message::Frame(part)).await.is_err() {
            break;
        }
    }
    assert_eq!(socket.close_code().await, 1009);
}

#[tokio::test]
async fn a_message_of_endless_empty_fragments_closes() {
    let server = Server::start().await;
    let mut socket = server.open_with(&token("metacog.stream")).await.unwrap();
    socket.frame().await;
    // Text, not final, then continuations, not final: masked, and empty.
    let mut bytes = vec![0x01, 0x80, 0, 0, 0, 0];
    bytes.extend_from_slice(&[0x00, 0x80, 0, 0, 0, 0].repeat(100_000));
    let _ = socket.socket.get_mut().write_all(&bytes).await;
    assert_eq!(socket.close_code().await, 1008);
}
