//! The stream, kept open: connects, goes on where it was cut off, backs off, and says what is going on.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Bytes, Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::ending::{self, Refusal, Verdict};
use super::frame::Frame;
use super::target::Target;
use crate::auth::credentials::PROTOCOL;
use crate::sanitize::Position;
use crate::setting::Secret;

/// What is asked of the daemon.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Frames a second at most.
    pub max_hz: Option<f64>,
    /// Patterns of agents' names; empty: all of them.
    pub agents: Vec<String>,
}

/// What happens on the stream.
#[derive(Debug)]
pub enum News {
    /// A connection is being made.
    Connecting,
    /// A frame that applies to what was told before, as it came and read.
    Frame(Utf8Bytes, Box<Frame>),
    /// It was cut off, or did not open; the next try is due then.
    Waiting {
        /// Why.
        why: String,
        /// When it is tried again.
        until: Instant,
    },
    /// Something that the daemon says, for people.
    Remark(String),
}

/// How it ended.
#[derive(Debug, PartialEq)]
pub enum Ending {
    /// For good: why, and what a person can do.
    Final(String),
    /// Nobody wants news any more.
    Unwatched,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A stream of a daemon.
#[derive(Debug)]
pub struct Link {
    target: Target,
    wishes: Wishes,
    /// Reopens the stream, once.
    ticket: Option<Secret>,
    /// The token that was shown last.
    shown: Secret,
    /// What was told last.
    position: Option<Position>,
    /// Whether the stream was ever open.
    opened: bool,
    /// Tries since the last frame.
    tries: u32,
}

/// Largest message that is read: the state of some hundred thousand agents.
const LARGEST: usize = 1 << 30;
/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Time from ping to ping; also how often a renewed token is looked for.
const PING: Duration = Duration::from_secs(5);
/// A daemon from which nothing came for so long is gone: it answers pings.
const SILENCE: Duration = Duration::from_secs(30);
/// The shortest and the longest wait between tries, before chance shortens it.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

impl Link {
    /// A stream that is not open yet.
    pub fn new(target: Target, wishes: Wishes) -> Self {
        let shown = Secret::default();
        Self { target, wishes, ticket: None, shown, position: None, opened: false, tries: 0 }
    }

    /// Keeps the stream open and tells what happens, until it ends for good or nobody listens.
    pub async fn run(mut self, news: Sender<News>) -> Ending {
        loop {
            if news.send(News::Connecting).await.is_err() {
                return Ending::Unwatched;
            }
            let verdict = match self.open().await {
                Ok(socket) => match self.follow(socket, &news).await {
                    Some(verdict) => verdict,
                    None => return Ending::Unwatched,
                },
                Err(verdict) => verdict,
            };
            let (why, after) = match verdict {
                Verdict::Again { why, after } => (why, after.unwrap_or_default()),
                Verdict::Final(why) => return Ending::Final(why),
            };
            let until = Instant::now() + after + self.wait(rand::random());
            if news.send(News::Waiting { why, until }).await.is_err() {
                return Ending::Unwatched;
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = news.closed() => return Ending::Unwatched,
            }
        }
    }

    /// How long to wait before the next try: longer from try to try, and shortened by chance (0 to 1), so that not all
    /// who were cut off at once come back at once.
    fn wait(&mut self, chance: f64) -> Duration {
        let (shortest, longest) = WAITS;
        let wait = shortest.saturating_mul(1 << self.tries.min(10)).min(longest);
        self.tries += 1;
        wait.mul_f64(0.2 + 0.8 * chance)
    }

    async fn open(&mut self) -> Result<Socket, Verdict> {
        if let Some(ticket) = self.ticket.take() {
            match self.connect(&format!("{PROTOCOL}, resume.{}", ticket.expose()), None).await {
                // It is used up, out of date, or of an earlier life of the daemon. The token may still do.
                Err(Failed::Refused(Refusal { status: 401 | 403, .. })) => {}
                Err(failed @ (Failed::Away(_) | Failed::Refused(_))) => {
                    self.ticket = Some(ticket);
                    return Err(self.verdict(failed));
                }
                Ok(socket) => return Ok(socket),
            }
        }
        let token = self.target.token().map_err(|problem| match self.opened {
            // While a file is being replaced, it is away for a moment.
            true => Verdict::Again { why: problem, after: None },
            false => Verdict::Final(problem),
        })?;
        self.shown = token.clone();
        let opened = self.connect(PROTOCOL, Some(&token)).await;
        opened.map_err(|failed| self.verdict(failed))
    }

    fn verdict(&self, failed: Failed) -> Verdict {
        match failed {
            Failed::Away(error) if self.opened => {
                Verdict::Again { why: format!("the daemon cannot be reached: {error}"), after: None }
            }
            Failed::Away(error) => {
                Verdict::Final(format!("the daemon cannot be reached at {}: {error}", self.target.shown()))
            }
            Failed::Refused(refusal) => match refusal.verdict() {
                Verdict::Final(_) if self.opened && self.is_renewed() => {
                    Verdict::Again { why: "the token was renewed".to_owned(), after: None }
                }
                verdict => verdict,
            },
        }
    }

    /// Whether another token is there than the one that was shown.
    fn is_renewed(&self) -> bool {
        self.target.is_renewed() && self.target.token().is_ok_and(|token| token != self.shown)
    }

    async fn connect(&self, protocols: &str, token: Option<&Secret>) -> Result<Socket, Failed> {
        let since = self.position.map(|Position { epoch, beat }| format!("{epoch}:{beat}"));
        let request = request(&self.target.stream(since), protocols, token)?;
        let config = WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST));
        let connecting = tokio_tungstenite::connect_async_with_config(request, Some(config), true);
        match tokio::time::timeout(PATIENCE, connecting).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(tungstenite::Error::Http(response))) => Err(Failed::Refused(refusal(&response))),
            Ok(Err(tungstenite::Error::Io(error))) => Err(Failed::Away(error.to_string())),
            Ok(Err(error)) => Err(Failed::Away(error.to_string())),
            Err(_) => Err(Failed::Away("no answer in time".to_owned())),
        }
    }

    /// Passes on what comes until the stream ends: why; `None` when nobody listens any more.
    async fn follow(&mut self, mut socket: Socket, news: &Sender<News>) -> Option<Verdict> {
        let mut talk = Talk { greeted: false, afresh: false, fastest: None, heard: Instant::now() };
        let mut ticks = tokio::time::interval_at(Instant::now() + PING, PING);
        loop {
            let outcome = tokio::select! {
                message = socket.next() => {
                    let outcome = self.hear(message, &mut socket, news, &mut talk).await;
                    talk.heard = Instant::now();
                    outcome
                }
                _ = ticks.tick() => self.look_after(&mut socket, &talk).await,
                () = news.closed() => Err(Over::Unwatched),
            };
            match outcome {
                Ok(()) => {}
                Err(Over::Unwatched) => {
                    let _ = tokio::time::timeout(Duration::from_secs(1), socket.close(None)).await;
                    return None;
                }
                Err(Over::Cut(Verdict::Final(_))) if self.is_renewed() => {
                    return Some(Verdict::Again { why: "the token was renewed".to_owned(), after: None });
                }
                Err(Over::Cut(verdict)) => return Some(verdict),
            }
        }
    }

    async fn hear(
        &mut self,
        message: Option<Result<Message, tungstenite::Error>>,
        socket: &mut Socket,
        news: &Sender<News>,
        talk: &mut Talk,
    ) -> Result<(), Over> {
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(close))) => {
                let (code, reason) = close.map_or((1005, String::new()), |c| (c.code.into(), c.reason.to_string()));
                return Err(Over::Cut(ending::closed(code, &reason)));
            }
            Some(Ok(_)) => return Ok(()),
            Some(Err(_)) | None => return Err(Over::Cut(ending::closed(1006, ""))),
        };
        let Some(frame) = Frame::read(&text) else { return Ok(()) };
        let mut remark = None;
        match &frame {
            Frame::Hello { max_hz, resume } => {
                (self.opened, talk.fastest) = (true, *max_hz);
                self.ticket = resume.as_deref().filter(|ticket| !ticket.is_empty()).map(Secret::new);
                if !std::mem::replace(&mut talk.greeted, true) && self.subscribes() {
                    send(socket, self.subscription(talk.fastest)).await?;
                }
            }
            Frame::State { at, .. } => {
                (self.position, talk.afresh, self.tries) = (Some(*at), false, 0);
            }
            Frame::Delta { at, base, .. } => {
                if self.position != Some(Position { epoch: at.epoch, beat: *base }) {
                    // What it applies to was not told: the whole state is asked for, once.
                    if !std::mem::replace(&mut talk.afresh, true) {
                        send(socket, self.subscription(talk.fastest)).await?;
                    }
                    return Ok(());
                }
                (self.position, self.tries) = (Some(*at), 0);
            }
            Frame::Error { code, message } => {
                remark = Some(if message.is_empty() { code.clone() } else { message.clone() });
            }
            Frame::Other => {}
        }
        let remark = remark.map(News::Remark);
        for news_item in std::iter::once(News::Frame(text, Box::new(frame))).chain(remark) {
            news.send(news_item).await.map_err(|_| Over::Unwatched)?;
        }
        Ok(())
    }

    fn subscribes(&self) -> bool {
        self.wishes.max_hz.is_some() || !self.wishes.agents.is_empty()
    }

    /// Asks for what is wished, as far as the daemon allows it.
    fn subscription(&self, fastest: Option<f64>) -> serde_json::Value {
        let Wishes { max_hz, agents } = &self.wishes;
        let mut message = json!({"type": "subscribe"});
        if let Some(hz) = max_hz {
            message["max_hz"] = json!(hz.min(fastest.unwrap_or(*hz)));
        }
        if !agents.is_empty() {
            message["agents"] = json!(agents);
        }
        message
    }

    /// Shows that this end lives, sees whether the other does, and hands on a renewed token.
    async fn look_after(&mut self, socket: &mut Socket, talk: &Talk) -> Result<(), Over> {
        if talk.heard.elapsed() > SILENCE {
            let why = format!("nothing came from the daemon for {} s", talk.heard.elapsed().as_secs());
            return Err(Over::Cut(Verdict::Again { why, after: None }));
        }
        if self.is_renewed()
            && let Ok(token) = self.target.token()
        {
            send(socket, json!({"type": "auth", "token": token.expose()})).await?;
            self.shown = token;
        }
        send_message(socket, Message::Ping(Bytes::new())).await
    }
}

/// What is known of one connection.
struct Talk {
    greeted: bool,
    /// Frames a second that the daemon allows.
    fastest: Option<f64>,
    /// Whether the whole state was asked for and has not come yet.
    afresh: bool,
    heard: Instant,
}

/// Why a connection is not followed any more.
enum Over {
    Cut(Verdict),
    Unwatched,
}

async fn send(socket: &mut Socket, message: serde_json::Value) -> Result<(), Over> {
    send_message(socket, Message::text(message.to_string())).await
}

async fn send_message(socket: &mut Socket, message: Message) -> Result<(), Over> {
    match tokio::time::timeout(SILENCE, socket.send(message)).await {
        // What was said before the connection broke is still read, the reason among it.
        Ok(_) => Ok(()),
        Err(_) => Err(Over::Cut(ending::closed(1006, ""))),
    }
}

/// Why there is no connection.
enum Failed {
    Away(String),
    Refused(Refusal),
}

fn request(url: &str, protocols: &str, token: Option<&Secret>) -> Result<Request<()>, Failed> {
    let unusable = |_| {
        Failed::Refused(Refusal {
            status: 401,
            detail: "the token holds characters that no token has".to_owned(),
            retry_after: None,
        })
    };
    let mut request = url.into_client_request().map_err(|error| Failed::Away(error.to_string()))?;
    let mut protocols = HeaderValue::from_str(protocols).map_err(unusable)?;
    protocols.set_sensitive(true);
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocols);
    if let Some(token) = token {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(unusable)?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, bearer);
    }
    Ok(request)
}

fn refusal(response: &tungstenite::http::Response<Option<Vec<u8>>>) -> Refusal {
    #[derive(serde::Deserialize)]
    struct Problem {
        detail: String,
    }
    let body = response.body().as_deref().unwrap_or_default();
    let told = serde_json::from_slice(body).map(|Problem { detail }| detail);
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Refusal { status: response.status().as_u16(), detail: told.unwrap_or_default(), retry_after }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(wishes: Wishes) -> Link {
        Link::new(Target::new("http://127.0.0.1:1", Some("t".into()), None).unwrap(), wishes)
    }

    #[test]
    fn waits_grow_and_chance_spreads_them() {
        let mut link = link(Wishes::default());
        let waits: Vec<_> = (0..8).map(|_| link.wait(1.0).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
        link.tries = 0;
        assert_eq!(link.wait(0.0).as_millis(), 100);
    }

    #[test]
    fn no_more_is_asked_for_than_the_daemon_allows() {
        let link = link(Wishes { max_hz: Some(50.0), agents: vec!["planner-*".into()] });
        assert!(link.subscribes());
        let asked = json!({"type": "subscribe", "max_hz": 20.0, "agents": ["planner-*"]});
        assert_eq!(link.subscription(Some(20.0)), asked);
    }

    #[tokio::test]
    async fn a_daemon_that_was_never_there_is_an_end() {
        let (news, mut told) = tokio::sync::mpsc::channel(4);
        let ending = link(Wishes::default()).run(news).await;
        assert!(matches!(ending, Ending::Final(why) if why.contains("127.0.0.1:1")));
        assert!(matches!(told.recv().await, Some(News::Connecting)));
    }
}
