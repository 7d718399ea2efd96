//! Who may do what, over several pods and a real Redis: replay, revocation, and the trail of it.

mod audit;
mod quota;
mod replay;
mod revoke;
mod runbook;

use std::process::Output;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{Daemon, Redis, SECRET, Set, Stream, binary, sign, try_connect, unix_now, within};

const STREAM: &str = "metacog.stream";
const ALL: &str = "metacog.stream metacog.observe metrics.read";

/// A pod on this Redis.
async fn pod(redis: &Redis, settings: &[Set<'_>]) -> Daemon {
    let url = redis.url();
    let mut all = vec![("redis__url", url.as_str()), ("redis__boot_timeout", "200ms"), ("audit__interval", "1s")];
    all.extend_from_slice(settings);
    Daemon::start(&all).await
}

/// A token with these names, issued now and good for ten minutes.
fn named(sub: &str, jti: &str, scope: &str) -> String {
    sign(&claims(sub, jti, scope))
}

fn claims(sub: &str, jti: &str, scope: &str) -> Value {
    json!({"sub": sub, "jti": jti, "scope": scope, "iat": unix_now(), "exp": unix_now() + 600})
}

async fn open(daemon: &Daemon, token: &str) -> Result<Stream, u16> {
    try_connect(daemon, "/v1/stream", &[("authorization", &format!("Bearer {token}"))]).await
}

/// Reopens a stream with the ticket of this hello.
async fn resume(daemon: &Daemon, hello: &Value) -> Result<Stream, u16> {
    let ticket = hello["resume"].as_str().expect("hello has a ticket");
    let mut request = format!("ws://{}/v1/stream", daemon.address).into_client_request().unwrap();
    let offered = format!("metacog.v1, resume.{ticket}").parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", offered);
    match within("the handshake", tokio_tungstenite::connect_async(request)).await {
        Ok((socket, _)) => Stream::new(socket).await,
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("the handshake failed: {error}"),
    }
}

/// The status of a GET with this token.
async fn get(daemon: &Daemon, path: &str, token: &str) -> u16 {
    let request = daemon.http.get(daemon.url(path)).bearer_auth(token);
    within("an answer", request.send()).await.expect("the daemon answers").status().as_u16()
}

async fn ingest(daemon: &Daemon, token: &str) -> u16 {
    let body = json!([{"agent": "a", "kind": "thought", "text": "a text that is nobody's business"}]);
    let request = daemon.http.post(daemon.url("/v1/observations")).bearer_auth(token).json(&body);
    within("an answer", request.send()).await.expect("the daemon answers").status().as_u16()
}

/// Runs a command on this Redis.
async fn run(redis: &Redis, arguments: &[&str]) -> Output {
    let mut command = binary();
    command.args(arguments).env("CONSCIOUSNESS__REDIS__URL", redis.url()).env("CONSCIOUSNESS__AUTH__SECRET", SECRET);
    within("the command", command.output()).await.expect("the binary runs")
}

/// What a command prints that goes well.
async fn told(redis: &Redis, arguments: &[&str]) -> String {
    let output = run(redis, arguments).await;
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{error}");
    assert!(error.is_empty(), "{arguments:?}: {error}");
    out.into_owned()
}

/// How often a line of the log holds a text.
fn logged(daemon: &Daemon, text: &str) -> usize {
    daemon.log().iter().filter(|line| line.contains(text)).count()
}
