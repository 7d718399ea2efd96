//! `demo`: the whole daemon on embedded defaults, fed through its real ingest path with recorded agent runs.

mod feed;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::feed::Round;
use super::replay::{Client, ClientError};
use super::{Failure, runtime};
use crate::app::{App, Signals};
use crate::auth::{Claims, Keys, Scope, mint};
use crate::clock;
use crate::config::Config;
use crate::telemetry::{LogFormat, Logs};

/// What can be given on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Port on 127.0.0.1; another free one when it is taken
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
}

/// How often the feed posts.
const TICK: Duration = Duration::from_millis(200);
/// How long the printed tokens are valid.
const TOKEN_LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// Runs the demo until it is told to end.
///
/// # Errors
/// When the daemon cannot be started.
pub fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let logs = Logs::install(LogFormat::Pretty, "warn").map_err(Failure::run)?;
    let mut config = Config::default();
    config.server.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let round = Round::recorded().map_err(|error| Failure::run(format!("the recordings are broken: {error}")))?;
    runtime()?.block_on(async {
        let keys = Keys::ephemeral().map_err(Failure::run)?;
        let listener = match tokio::net::TcpListener::bind(config.server.listen).await {
            Ok(listener) => listener,
            Err(_) => tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Failure::run)?,
        };
        let address = listener.local_addr().map_err(Failure::run)?;
        let token = |sub: &str, scopes: &[Scope]| {
            let words: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
            let claims = Claims::new(sub, words.join(" "), clock::now(), TOKEN_LIFETIME);
            let key = keys.signing(None).ok_or_else(|| Failure::run("there is no key to sign with"))?;
            mint(key, &claims).map_err(Failure::run)
        };
        let page = token("demo-page", &[Scope::Stream])?;
        let shell = token("demo-shell", &[Scope::Stream, Scope::Observe, Scope::MetricsRead])?;
        let client = Client::new(&format!("http://{address}"), token("demo-agents", &[Scope::Observe])?);
        let client = client.map_err(Failure::run)?;
        let reload = Box::new(|| Err("the demo has nothing to reload".to_owned()));
        let app = App::build(config, keys.clone(), listener, logs, reload).map_err(Failure::run)?;
        let ready = app.ready();
        let stop = CancellationToken::new();
        let feeding = async {
            // What is offered is there when it is offered.
            if ready.await {
                greet(out, address, &page, &shell).map_err(Failure::run)?;
            }
            play(&round, &client, &stop).await.map_err(Failure::run)
        };
        let running = async {
            let outcome = Box::pin(app.run(Signals::install()?)).await;
            stop.cancel();
            outcome
        };
        let (ran, fed) = tokio::join!(running, feeding);
        ran.map_err(Failure::run)?;
        fed
    })
}

fn greet(out: &mut impl Write, address: SocketAddr, page: &str, shell: &str) -> std::io::Result<()> {
    writeln!(out, "Dashboard  http://{address}/#token={page}\n")?;
    writeln!(
        out,
        "A token with the scopes metacog.stream, metacog.observe and metrics.read, for 12 hours, and its use:\n"
    )?;
    writeln!(out, "  TOKEN={shell}")?;
    writeln!(out, "  curl -H \"Authorization: Bearer $TOKEN\" http://{address}/v1/state\n")?;
    writeln!(
        out,
        "Watch airline-5, which loops after half a minute, and the forecaster, which is surer than it is right."
    )?;
    writeln!(out, "Ctrl-C ends the demo.")?;
    out.flush()
}

/// Posts what the agents do, round after round, until told to stop.
async fn play(round: &Round, client: &Client, stop: &CancellationToken) -> Result<(), ClientError> {
    let mut tick = tokio::time::interval(TICK);
    for number in 0.. {
        let began = clock::now();
        let mut played = Duration::ZERO;
        while played < round.length() {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => return Ok(()),
            }
            let now = clock::now().since(began);
            let due = round.between(played, now, began, number);
            played = now;
            if due.is_empty() {
                continue;
            }
            // A list of objects always has a JSON form.
            let body = serde_json::to_vec(&due).unwrap_or_default();
            tokio::select! {
                posted = client.post("/v1/observations", "application/json", body) => { posted?; }
                () = stop.cancelled() => return Ok(()),
            }
        }
    }
    Ok(())
}
