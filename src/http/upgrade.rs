//! `GET /v1/stream`: from a request to a stream.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use futures_util::future::Either;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::gate::Visitor;
use super::problem::Problem;
use super::serve::Connection;
use super::services::Services;
use super::socket::Stream;
use crate::auth::Identity;
use crate::auth::credentials::PROTOCOL;
use crate::sanitize::Position;
use crate::stream::{Close, Holder, NoPlace, Place, Session, Wire};

/// How asking for a stream goes, as `ws_connections_total` counts it.
pub const OUTCOMES: [&str; 8] =
    ["accepted", "refused", "malformed", "denied", "too_many", "address_full", "full", "draining"];

/// Refuses, or switches protocols and has the stream run as a task of its own.
///
/// Whatever can be refused for is looked at before the token's one use is taken, so that a client can put right what was
/// wrong and come again with the same token.
pub(super) async fn stream(State(services): State<Arc<Services>>, mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    let speaks_ours = speaks_ours(request.headers());
    let looked_at = look_at(&services, &request);
    // What was not read of the request must not wait for what follows.
    drop(request);
    let opened = match looked_at {
        Ok(wish) => open(&services, wish).await,
        Err(refusal) => Err(refusal),
    };
    match opened {
        Ok((accept, outcome)) => {
            let response = switch(accept, speaks_ours);
            services.tasks.spawn(run(Arc::clone(&services), upgrade, outcome));
            response
        }
        Err((outcome, problem)) => {
            services.metrics.ws_connections_total.with_label_values(&[outcome]).inc();
            problem.into_response()
        }
    }
}

/// A request for a stream in which nothing is wrong.
struct Wish {
    visitor: Visitor,
    /// The value of `Sec-WebSocket-Accept`.
    accept: HeaderValue,
    since: Option<Position>,
}

/// What becomes of a WebSocket once it is open.
enum Outcome {
    Stream(Box<Session>, Place, Box<Visitor>),
    Close(Close),
}

type Refused = (&'static str, Problem);

fn look_at(services: &Services, request: &Request) -> Result<Wish, Refused> {
    let visitor = services.gate.visitor(request.into(), services.now()).map_err(|problem| ("refused", problem))?;
    let malformed = |problem| ("malformed", problem);
    let accept = handshake(request).map_err(malformed)?;
    let since = since(request.uri()).map_err(malformed)?;
    Ok(Wish { visitor, accept, since })
}

async fn open(services: &Services, wish: Wish) -> Result<(HeaderValue, Outcome), Refused> {
    let Wish { visitor, accept, since } = wish;
    let now = services.now();
    let taken = || ("refused", services.gate.replayed(&visitor, now));
    let _turn = match visitor.pass() {
        Some(name) => Some(services.opening.begin(name).ok_or_else(taken)?),
        None => None,
    };
    let Identity { subject, jti, issued, .. } = &visitor.identity;
    let holder = Holder {
        subject: Arc::clone(subject),
        token: jti.clone().unwrap_or_default(),
        issued: *issued,
        address: visitor.from,
    };
    let place = match services.streams.registry.admit(holder).await {
        Ok(place) => place,
        Err(reason) => {
            let (outcome, problem) = no_place(reason);
            services.gate.turned_away(&visitor, outcome, now);
            let Some(problem) = problem else {
                services.metrics.ws_connections_total.with_label_values(&[outcome]).inc();
                return Ok((accept, Outcome::Close(Close::TooMany)));
            };
            return Err((outcome, problem));
        }
    };
    // The list may have changed since the request came, and the streams that were open then be closed by now.
    if services.edge.denies(place.address()) {
        return Err(("denied", Problem::denied()));
    }
    services.gate.admit(&visitor, now).await.map_err(|problem| ("refused", problem))?;
    let session = Session { since, ..services.gate.session(&visitor.identity, now) };
    services.metrics.ws_connections_total.with_label_values(&["accepted"]).inc();
    Ok((accept, Outcome::Stream(Box::new(session), place, Box::new(visitor))))
}

/// How that is counted, and what the client is told: nothing where it gets a WebSocket that is closed at once, since
/// browsers show the code of a close frame to the page, and nothing of a refused upgrade.
fn no_place(reason: NoPlace) -> (&'static str, Option<Problem>) {
    match reason {
        NoPlace::Subject => ("too_many", None),
        NoPlace::Address => ("address_full", Some(Problem::too_many_of_address())),
        NoPlace::Full => ("full", Some(Problem::unavailable("too many streams are open"))),
        NoPlace::Draining => ("draining", Some(Problem::unavailable("the daemon is draining"))),
    }
}

/// RFC 6455, section 4.2.1. Returns the value of `Sec-WebSocket-Accept`.
fn handshake(request: &Request) -> Result<HeaderValue, Problem> {
    let headers = request.headers();
    let names = |name: HeaderName, wanted: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    let upgrades = request.version() >= Version::HTTP_11
        && names(CONNECTION, "upgrade")
        && names(UPGRADE, "websocket")
        && headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    if !upgrades {
        return Err(Problem::not_an_upgrade());
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    let bytes = base64::engine::general_purpose::STANDARD.decode(key).unwrap_or_default();
    if bytes.len() != 16 {
        let detail = "Sec-WebSocket-Key must be 16 bytes in base64";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "malformed", detail));
    }
    HeaderValue::try_from(derive_accept_key(key)).map_err(|_| Problem::internal())
}

/// Whether the client offered our subprotocol, which is the only one ever selected.
fn speaks_ours(headers: &HeaderMap) -> bool {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|offered| offered.trim() == PROTOCOL)
}

/// The beat that the client knows the state of: `?since=EPOCH:BEAT`.
fn since(uri: &Uri) -> Result<Option<Position>, Problem> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let Some(value) = pairs.filter_map(|pair| pair.strip_prefix("since=")).next() else { return Ok(None) };
    let value = value.replace("%3A", ":").replace("%3a", ":");
    let position = value
        .split_once(':')
        .and_then(|(epoch, beat)| Some(Position { epoch: epoch.parse().ok()?, beat: beat.parse().ok()? }));
    let detail = "since must be an epoch and a beat with a colon between";
    position.map(Some).ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "malformed", detail))
}

fn switch(accept: HeaderValue, speaks_ours: bool) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if speaks_ours {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    response
}

async fn run(services: Arc<Services>, upgrade: OnUpgrade, outcome: Outcome) {
    // The client may leave before it has its answer.
    let Ok(upgraded) = upgrade.await else {
        if let Outcome::Stream(_, _, visitor) = outcome {
            services.gate.left(&visitor, None, services.now());
        }
        return;
    };
    match outcome {
        Outcome::Stream(session, place, visitor) => {
            services.streams.catch_up(session.since).await;
            let close = stream_on(&services, upgraded, *session, place).await;
            services.gate.left(&visitor, close, services.now());
            tracing::debug!(code = close.map(Close::code), "stream ended");
        }
        // Boxed, as it is rare, so that no stream's task has room for it.
        Outcome::Close(close) => match wire(&services, upgraded) {
            Either::Left(wire) => Box::pin(services.streams.refuse(wire, close)).await,
            Either::Right(wire) => Box::pin(services.streams.refuse(wire, close)).await,
        },
    }
}

/// The stream, on what was a connection. Nothing of the request is kept, nor the buffer that it was read into.
fn stream_on(
    services: &Services,
    upgraded: Upgraded,
    session: Session,
    place: Place,
) -> impl Future<Output = Option<Close>> + use<> {
    let streams = Arc::clone(&services.streams);
    match wire(services, upgraded) {
        Either::Left(wire) => Either::Left(streams.run(wire, session, place)),
        Either::Right(wire) => Either::Right(streams.run(wire, session, place)),
    }
}

fn wire(services: &Services, upgraded: Upgraded) -> Either<Wire<Stream>, Wire<TokioIo<Upgraded>>> {
    let most = services.streams.settings.limits.message_bytes;
    match upgraded.downcast::<TokioIo<Connection>>() {
        Ok(parts) => Either::Left(Wire::new(parts.io.into_inner().into_stream(), &parts.read_buf, most)),
        Err(upgraded) => Either::Right(Wire::new(TokioIo::new(upgraded), &[], most)),
    }
}
