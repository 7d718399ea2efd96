//! `GET /v1/stream`: from a request to a stream.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::address::ClientAddress;
use super::problem::Problem;
use super::serve::Connection;
use super::services::Services;
use crate::auth::credentials::PROTOCOL;
use crate::sanitize::Position;
use crate::stream::{Close, Holder, NoPlace, Place, Session, Streams, Wire};

/// How asking for a stream goes, as `ws_connections_total` counts it.
pub const OUTCOMES: [&str; 8] =
    ["accepted", "refused", "malformed", "denied", "too_many", "address_full", "full", "draining"];

/// Refuses, or switches protocols and has the stream run as a task of its own.
///
/// Whatever can be refused for is looked at before the token's one use is taken, so that a client can put right what was
/// wrong and come again with the same token.
pub(super) async fn stream(State(services): State<Arc<Services>>, mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    match open(&services, &request) {
        Ok((accept, outcome)) => {
            let response = switch(accept, speaks_ours(request.headers()));
            let streams = Arc::clone(&services.streams);
            services.tasks.spawn(run(streams, upgrade, outcome));
            response
        }
        Err((outcome, problem)) => {
            services.metrics.ws_connections_total.with_label_values(&[outcome]).inc();
            problem.into_response()
        }
    }
}

/// What becomes of a WebSocket once it is open.
enum Outcome {
    Stream(Box<Session>, Place),
    Close(Close),
}

fn open(services: &Services, request: &Request) -> Result<(HeaderValue, Outcome), (&'static str, Problem)> {
    let now = services.now();
    let headers = request.headers();
    let refused = |problem| ("refused", problem);
    let visitor = services.gate.visitor(headers, request.uri(), now).map_err(refused)?;
    let malformed = |problem| ("malformed", problem);
    let accept = handshake(request).map_err(malformed)?;
    let since = since(request.uri()).map_err(malformed)?;
    services.streams.registry.look().map_err(no_place)?;
    let (identity, admission) = services.gate.redeem(visitor, now).map_err(refused)?;
    let holder = Holder {
        subject: Arc::clone(&identity.subject),
        token: identity.jti.clone().unwrap_or_default(),
        address: ClientAddress::of(request).0,
    };
    let count = |outcome| services.metrics.ws_connections_total.with_label_values(&[outcome]).inc();
    let place = match services.streams.registry.admit(holder) {
        Ok(place) => place,
        Err(NoPlace::Subject) => {
            // Browsers show the code of a close frame to the page, and nothing of a refused upgrade.
            count("too_many");
            return Ok((accept, Outcome::Close(Close::TooMany)));
        }
        Err(other) => return Err(no_place(other)),
    };
    services.gate.admit(&identity, admission, now).map_err(refused)?;
    // The list may have changed since the request came, and the streams that were open then be closed by now.
    if services.edge.denies(place.address()) {
        return Err(("denied", Problem::denied()));
    }
    let session = Session { since, ..services.gate.session(&identity, now) };
    count("accepted");
    Ok((accept, Outcome::Stream(Box::new(session), place)))
}

fn no_place(reason: NoPlace) -> (&'static str, Problem) {
    match reason {
        NoPlace::Subject => ("too_many", Problem::unavailable("too many streams are open for this subject")),
        NoPlace::Address => ("address_full", Problem::too_many_of_address()),
        NoPlace::Full => ("full", Problem::unavailable("too many streams are open")),
        NoPlace::Draining => ("draining", Problem::unavailable("the daemon is draining")),
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

async fn run(streams: Arc<Streams>, upgrade: OnUpgrade, outcome: Outcome) {
    // The client may leave before it has its answer.
    let Ok(upgraded) = upgrade.await else { return };
    let most = streams.settings.limits.message_bytes;
    match upgraded.downcast::<TokioIo<Connection>>() {
        Ok(parts) => {
            let socket = parts.io.into_inner().into_stream();
            serve(streams, Wire::new(socket, &parts.read_buf, most), outcome).await;
        }
        Err(upgraded) => serve(streams, Wire::new(TokioIo::<Upgraded>::new(upgraded), &[], most), outcome).await,
    }
}

async fn serve<S>(streams: Arc<Streams>, wire: Wire<S>, outcome: Outcome)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match outcome {
        Outcome::Stream(session, place) => {
            streams.catch_up(session.since).await;
            let close = streams.run(wire, *session, place).await;
            tracing::debug!(code = close.map(Close::code), "stream ended");
        }
        Outcome::Close(close) => streams.refuse(wire, close).await,
    }
}
