//! A dashboard behind the balancer: keeps one state through all reconnections, and looks at every frame.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use rand::RngExt;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

use crate::balancer::Balancer;
use crate::history::{History, Position};
use crate::support::token;

/// Without a frame for so long it takes its stream for dead. There is one a second at least.
const PATIENCE: Duration = Duration::from_secs(4);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub struct Dashboard {
    pub name: String,
    pub balancer: Balancer,
    pub history: Arc<History>,
    pub state: Value,
    pub at: Option<Position>,
    /// Whether a leader made what it has.
    led: bool,
    ticket: String,
}

impl Dashboard {
    pub fn new(number: usize, balancer: &Balancer, history: &Arc<History>) -> Self {
        Self {
            name: format!("dashboard-{number}"),
            balancer: balancer.clone(),
            history: Arc::clone(history),
            state: Value::Null,
            at: None,
            led: false,
            ticket: String::new(),
        }
    }

    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let ending = async {
                let Some(socket) = self.connect().await else { return "could not connect".to_owned() };
                self.read(socket).await
            };
            let ended = tokio::select! {
                ended = ending => ended,
                () = stop.cancelled() => return,
            };
            self.history.note(format!("{}: {ended}, at {:?}", self.name, self.at));
            self.history.count("reconnections");
            // As clients should: not all at once.
            let pause = rand::rng().random_range(20..300);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// By ticket where there is one, else by a token.
    async fn connect(&mut self) -> Option<Socket> {
        let ticket = std::mem::take(&mut self.ticket);
        if !ticket.is_empty() {
            let since = self.at.map_or(String::new(), |(epoch, beat)| format!("?since={epoch}:{beat}"));
            match self.offer(&since, &format!("resume.{ticket}")).await {
                Ok(socket) => {
                    self.history.count("resumed");
                    return Some(socket);
                }
                Err(Some(401)) => self.history.count("tickets refused"),
                Err(_) => {}
            }
        }
        // Whoever begins anew knows nothing.
        self.at = None;
        self.led = false;
        let token = token(&self.name, "metacog.stream");
        match self.offer("", &format!("bearer.{token}")).await {
            Ok(socket) => Some(socket),
            Err(status) => {
                if let Some(status) = status.filter(|status| *status != 503) {
                    self.history.wrong(format!("{}: a fresh token is refused with {status}", self.name));
                }
                None
            }
        }
    }

    /// Asks for a stream: the socket, or the status that refused it, if there was any.
    async fn offer(&self, query: &str, credential: &str) -> Result<Socket, Option<u16>> {
        let url = format!("ws://{}/v1/stream{query}", self.balancer.address);
        let mut request = url.into_client_request().expect("a request");
        let protocols = format!("metacog.v1, {credential}").parse().expect("a header");
        request.headers_mut().insert("sec-websocket-protocol", protocols);
        match timeout(PATIENCE, tokio_tungstenite::connect_async(request)).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(tungstenite::Error::Http(response))) => Err(Some(response.status().as_u16())),
            Ok(Err(_)) | Err(_) => Err(None),
        }
    }

    /// Reads until the stream ends: how it did.
    async fn read(&mut self, mut socket: Socket) -> String {
        // Positions rise within a stream, whatever its pod is to the others.
        let mut last = None;
        let mut first = true;
        loop {
            let text = match timeout(PATIENCE, socket.next()).await {
                Err(_) => return "heard nothing".to_owned(),
                Ok(Some(Ok(Message::Text(text)))) => text,
                Ok(Some(Ok(Message::Close(Some(frame))))) => return format!("closed with {}", frame.code),
                Ok(Some(Ok(_))) => continue,
                Ok(Some(Err(_)) | None) => return "lost its connection".to_owned(),
            };
            let frame: Value = serde_json::from_str(&text).expect("frames are JSON");
            match frame["type"].as_str() {
                Some("hello") => self.ticket = frame["resume"].as_str().unwrap_or_default().to_owned(),
                Some("state" | "delta") => {
                    self.take(&frame, &mut last, first);
                    first = false;
                }
                Some("error") if frame["code"] == "draining" => self.history.count("told of draining"),
                _ => self.history.wrong(format!("{}: {text}", self.name)),
            }
        }
    }

    fn take(&mut self, frame: &Value, last: &mut Option<Position>, first: bool) {
        let name = self.name.clone();
        let number = |key: &str| frame[key].as_u64().unwrap_or_default();
        let at = (number("epoch"), number("beat"));
        if last.is_some_and(|last| at <= last) {
            self.history.wrong(format!("{name}: {at:?} comes after {last:?} on one stream"));
        }
        *last = Some(at);
        let before = self.at;
        if frame["type"] == "state" {
            self.state = frame["state"].clone();
            if first && self.led && before.is_some_and(|before| at < before) && is_led(&self.state) {
                self.history.wrong(format!("{name}: resumed at {before:?}, and is told {at:?}"));
            }
        } else {
            if before != Some((at.0, number("base"))) {
                self.history.wrong(format!("{name}: a delta to {at:?} from {} for who has {before:?}", number("base")));
            }
            if first {
                self.history.count("resumed by deltas");
            }
            json_patch::merge(&mut self.state, &frame["patch"]);
        }
        self.at = Some(at);
        self.led = is_led(&self.state);
        self.history.count("frames");
        if self.led {
            self.history.saw(&name, at, frame["ts_ns"].as_i64().unwrap_or_default(), &self.state);
        } else {
            self.history.count("degraded frames");
        }
    }
}

/// Whether a leader made this state.
pub fn is_led(state: &Value) -> bool {
    state["cluster"]["status"] == "led"
}
