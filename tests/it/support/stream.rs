//! A WebSocket client that keeps the state as a dashboard does.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::daemon::Daemon;
use super::wait::within;

pub struct Stream {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub hello: Value,
    /// The public state as its frames tell it.
    pub state: Value,
    pub epoch: u64,
    pub beat: u64,
}

/// Close code and reason.
pub type Closed = (u16, String);

/// Opens a stream with this bearer token and reads its hello.
pub async fn connect(daemon: &Daemon, token: &str) -> Stream {
    try_connect(daemon, "/v1/stream", &[("authorization", &format!("Bearer {token}"))]).await.expect("the stream opens")
}

/// Asks for a stream with these headers: the stream with its hello read, or the status that refused it.
pub async fn try_connect(daemon: &Daemon, path: &str, headers: &[(&str, &str)]) -> Result<Stream, u16> {
    let mut request = format!("ws://{}{path}", daemon.address).into_client_request().expect("a request");
    for (name, value) in headers {
        let name: tungstenite::http::HeaderName = name.parse().expect("a header name");
        request.headers_mut().append(name, value.parse().expect("a header value"));
    }
    match within("the handshake", tokio_tungstenite::connect_async(request)).await {
        Ok((socket, _)) => Stream::new(socket).await,
        Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("the handshake failed: {error}"),
    }
}

impl Stream {
    /// Reads the hello; the code, when the daemon closes in place of it.
    pub async fn new(socket: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Result<Self, u16> {
        let mut stream = Self { socket, hello: Value::Null, state: Value::Null, epoch: 0, beat: 0 };
        stream.hello = stream.frame().await.map_err(|(code, _)| code)?;
        assert_eq!(stream.hello["type"], "hello");
        Ok(stream)
    }

    /// The next JSON frame, or how the stream was closed.
    pub async fn frame(&mut self) -> Result<Value, Closed> {
        loop {
            match within("a frame", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("frames are JSON")),
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map_or((1005, String::new()), |f| (f.code.into(), f.reason.to_string())));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err((1006, String::new())),
            }
        }
    }

    /// The next frame, with the state brought up to date where it tells the state.
    pub async fn next(&mut self) -> Result<Value, Closed> {
        let frame = self.frame().await?;
        match frame["type"].as_str() {
            Some("state") => self.state = frame["state"].clone(),
            Some("delta") => {
                assert_eq!(frame["base"], self.beat, "a delta applies to what was last told");
                assert_eq!(frame["epoch"], self.epoch);
                json_patch::merge(&mut self.state, &frame["patch"]);
            }
            _ => return Ok(frame),
        }
        self.epoch = frame["epoch"].as_u64().expect("an epoch");
        self.beat = frame["beat"].as_u64().expect("a beat");
        Ok(frame)
    }

    /// Reads on until the state is as wanted.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) {
        within(what, async {
            while self.state.is_null() || !wanted(&self.state) {
                self.next().await.expect("the stream stays open");
            }
        })
        .await;
    }

    /// Reads on until a frame of this type comes.
    pub async fn frame_of_type(&mut self, kind: &str) -> Value {
        within(kind, async {
            loop {
                let frame = self.next().await.expect("the stream stays open");
                if frame["type"] == kind {
                    return frame;
                }
            }
        })
        .await
    }

    /// Reads on until the stream is closed.
    pub async fn closed(&mut self) -> Closed {
        within("the stream to be closed", async {
            loop {
                if let Err(closed) = self.next().await {
                    return closed;
                }
            }
        })
        .await
    }

    pub async fn send(&mut self, message: Value) {
        self.send_text(message.to_string()).await;
    }

    pub async fn send_text(&mut self, text: String) {
        // A stream that the daemon has just closed cannot be written to; the test reads the reason.
        let _ = self.socket.send(Message::text(text)).await;
    }

    pub async fn subscribe(&mut self, agents: &[&str]) {
        self.send(json!({"type": "subscribe", "agents": agents})).await;
    }
}
