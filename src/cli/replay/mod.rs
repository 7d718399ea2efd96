//! `replay`: sends a recording to a running daemon, at the speed it was recorded or another.

mod client;
mod shift;

use std::fs::File;
use std::io::{self, BufReader, IsTerminal};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value};

pub use self::client::{Answer, Client, ClientError};
use super::{Failure, runtime};
use crate::clock;
use crate::domain::Timestamp;
use crate::ingest::recording::{Entry, Recording};

/// What can be given on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The recording: native observations or OTLP/JSON requests, one a line
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The daemon's URL
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// A token with the scope metacog.observe
    #[arg(long, env = "CONSCIOUSNESS_TOKEN", hide_env_values = true)]
    pub token: String,
    /// How many times faster than recorded; 0: as fast as the daemon takes it
    #[arg(long, default_value_t = 1.0)]
    pub speed: f64,
    /// Send the recorded times as they are, in place of times that begin now
    #[arg(long)]
    pub keep_times: bool,
}

/// Sends the recording and says how that went.
///
/// # Errors
/// With exit code 2 when the file or an option cannot be used, with 1 when the daemon refuses or stays away.
pub fn run(args: &Args) -> Result<(), Failure> {
    if !args.speed.is_finite() || args.speed < 0.0 {
        return Err(Failure::usage("--speed: must be 0 or more"));
    }
    let client = Client::new(&args.url, args.token.clone()).map_err(Failure::usage)?;
    let unreadable = |error: io::Error| Failure::usage(format!("{} cannot be read: {error}", args.file.display()));
    let file = File::open(&args.file).map_err(unreadable)?;
    let bar = progress(file.metadata().map_or(0, |metadata| metadata.len()));
    let recording = Recording::new(BufReader::new(bar.wrap_read(file)));
    let summary = runtime()?.block_on(send(args, &client, recording)).map_err(Failure::run)?;
    bar.finish_and_clear();
    let Summary { sent, rejected, unreadable } = summary;
    eprintln!("{sent} observations sent; {rejected} rejected by the daemon; {unreadable} lines not readable");
    if sent == 0 { Err(Failure::usage("no line can be read as an observation")) } else { Ok(()) }
}

#[derive(Debug, Default)]
struct Summary {
    sent: u64,
    rejected: usize,
    unreadable: usize,
}

/// Why sending ended early.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the recording cannot be read: {0}")]
    Read(#[from] io::Error),
}

/// Native observations in one request, at most.
const BATCH: usize = 1000;

async fn send<R: io::BufRead>(args: &Args, client: &Client, recording: Recording<R>) -> Result<Summary, SendError> {
    let mut summary = Summary::default();
    let mut batch: Vec<u8> = Vec::new();
    let mut lines = 0;
    let mut pace: Option<Pace> = None;
    for entry in recording {
        let entry = entry?;
        summary.unreadable += usize::from(!entry.rejected.is_empty());
        let Some(first) = entry.accepted.first() else { continue };
        let pace = pace.get_or_insert_with(|| Pace::new(first.at, args));
        let wait = pace.wait(first.at);
        if lines > 0 && (lines >= BATCH || !wait.is_zero()) {
            post_lines(client, std::mem::take(&mut batch), &mut summary).await?;
            lines = 0;
        }
        tokio::time::sleep(wait).await;
        summary.sent += entry.accepted.len() as u64;
        match Line::read(&entry) {
            Some(Line::Native(observation)) => {
                let observation = pace.native(observation, first.at);
                // An object read from JSON always has a JSON form.
                batch.extend(serde_json::to_vec(&observation).unwrap_or_default());
                batch.push(b'\n');
                lines += 1;
            }
            Some(Line::Request(path, mut body)) => {
                pace.request(&mut body, first.at);
                let body = serde_json::to_vec(&body).unwrap_or_default();
                client.post(path, "application/json", body).await?;
            }
            None => summary.unreadable += 1,
        }
    }
    if lines > 0 {
        post_lines(client, batch, &mut summary).await?;
    }
    Ok(summary)
}

async fn post_lines(client: &Client, body: Vec<u8>, summary: &mut Summary) -> Result<(), ClientError> {
    let answer = client.post("/v1/observations", "application/x-ndjson", body).await?;
    summary.rejected += answer.rejected.len();
    Ok(())
}

enum Line {
    Native(Map<String, Value>),
    Request(&'static str, Value),
}

impl Line {
    fn read(entry: &Entry) -> Option<Self> {
        let value: Value = serde_json::from_slice(&entry.raw.0).ok()?;
        match value {
            value if value.get("resourceSpans").is_some() => Some(Self::Request("/v1/traces", value)),
            value if value.get("resourceLogs").is_some() => Some(Self::Request("/v1/logs", value)),
            Value::Object(observation) => Some(Self::Native(observation)),
            _ => None,
        }
    }
}

/// When a line is sent, and which times it tells.
struct Pace {
    recorded: Timestamp,
    began: Instant,
    /// The time that stands for the first recorded one; `None`: times are sent as they are.
    now: Option<Timestamp>,
    speed: f64,
}

impl Pace {
    fn new(recorded: Timestamp, args: &Args) -> Self {
        let now = (!args.keep_times).then(clock::now);
        Self { recorded, began: Instant::now(), now, speed: args.speed }
    }

    /// The time since the first line, as it is replayed.
    fn elapsed(&self, at: Timestamp) -> Duration {
        let recorded = at.since(self.recorded);
        if self.speed > 0.0 {
            Duration::try_from_secs_f64(recorded.as_secs_f64() / self.speed).unwrap_or(Duration::MAX)
        } else {
            Duration::ZERO
        }
    }

    fn wait(&self, at: Timestamp) -> Duration {
        self.elapsed(at).saturating_sub(self.began.elapsed())
    }

    fn native(&self, observation: Map<String, Value>, at: Timestamp) -> Map<String, Value> {
        match self.now {
            Some(now) => shift::native(observation, now.plus(self.elapsed(at))),
            None => observation,
        }
    }

    fn request(&self, body: &mut Value, at: Timestamp) {
        if let Some(now) = self.now {
            shift::request(body, now.plus(self.elapsed(at)).as_nanos().saturating_sub(at.as_nanos()));
        }
    }
}

/// A bar on the standard error, when that is a terminal.
fn progress(size: u64) -> ProgressBar {
    let bar = ProgressBar::new(size);
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let template = "{wide_bar} {bytes}/{total_bytes} {eta}";
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
