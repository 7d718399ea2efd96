//! `replay`: sends a recording to a running daemon, at the speed it was recorded or another.

mod client;
mod shift;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde_json::{Map, Value};

pub use self::client::{Answer, Client, ClientError};
use super::words::{grouped, lasted};
use super::{Failure, runtime, source};
use crate::clock;
use crate::domain::Timestamp;
use crate::ingest::recording::{Entry, Recording};

/// What can be given on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The recording: native observations or OTLP/JSON requests, one a line, gzipped or not; - for the standard input
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
    let (bar, began) = (source::bar(std::slice::from_ref(&args.file), "observations"), Instant::now());
    let recording = Recording::new(source::open(&args.file, &bar, CHUNK).map_err(unreadable)?);
    let sent = runtime()?.block_on(send(args, &client, recording, &bar));
    bar.finish_and_clear();
    let summary = sent.map_err(Failure::run)?;
    eprint!("{}", summary.told(began.elapsed()));
    if summary.sent == 0 { Err(Failure::usage("no line can be read as an observation")) } else { Ok(()) }
}

#[derive(Debug, Default)]
struct Summary {
    sent: u64,
    rejected: usize,
    unreadable: usize,
    /// Why the daemon rejected observations, and how many for that.
    reasons: BTreeMap<String, usize>,
}

impl Summary {
    /// Reasons that are told one by one.
    const REASONS: usize = 5;

    /// How it went, in lines.
    fn told(&self, took: Duration) -> String {
        let Self { sent, rejected, unreadable, reasons } = self;
        let rate = grouped((*sent as f64 / took.as_secs_f64().max(1e-3)) as u64);
        let mut told = format!(
            "{sent} observations sent; {rejected} rejected by the daemon; {unreadable} lines not readable; {} in all, \
             {rate} a second\n",
            lasted(took)
        );
        for (reason, count) in reasons.iter().take(Self::REASONS) {
            told += &format!("  rejected {}: {reason}\n", grouped(*count as u64));
        }
        if let Some(more) = reasons.len().checked_sub(Self::REASONS).filter(|more| *more > 0) {
            told += &format!("  and for {more} more reasons\n");
        }
        told
    }

    fn count(&mut self, answer: Answer) {
        self.rejected += answer.rejected.len();
        for rejected in answer.rejected {
            // Each reason is the daemon's own text; they are few, unless it is a strange one.
            if self.reasons.len() < 1000 || self.reasons.contains_key(&rejected.error) {
                *self.reasons.entry(rejected.error).or_default() += 1;
            }
        }
    }
}

/// Why sending ended early.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the recording cannot be read: {0}")]
    Read(#[from] io::Error),
}

/// Bytes that are read at a time: few, since reading waits for the recorded times, and the bar shows how far it has come.
const CHUNK: usize = 1 << 12;
/// Native observations in one request, at most.
const BATCH: usize = 1000;

async fn send<R: io::BufRead>(
    args: &Args,
    client: &Client,
    recording: Recording<R>,
    bar: &ProgressBar,
) -> Result<Summary, SendError> {
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
        bar.set_message(grouped(summary.sent));
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
    summary.count(answer);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_tells_what_was_rejected_and_why() {
        let mut summary = Summary { sent: 1200, unreadable: 1, ..Summary::default() };
        let rejected = |error: &str| client::Rejected { error: error.to_owned() };
        summary.count(Answer {
            accepted: 1,
            rejected: vec![rejected("too old"), rejected("too old"), rejected("no kind")],
        });
        let told = summary.told(Duration::from_secs(3));
        let first = "1200 observations sent; 3 rejected by the daemon; 1 lines not readable; 3 s in all, 400 a second";
        assert_eq!(told.lines().collect::<Vec<_>>(), [first, "  rejected 1: no kind", "  rejected 2: too old"]);
    }
}
