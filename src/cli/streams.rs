//! `streams`: which client is it? The open streams of a running daemon, and out with one of them.

use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

use super::{Failure, cause, print, runtime};

/// What can be given on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The daemon's URL
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// A token with the scope metacog.admin
    #[arg(long, env = "CONSCIOUSNESS_TOKEN", hide_env_values = true)]
    pub token: String,
    /// Close the stream of this id (4403), in place of listing
    #[arg(long, value_name = "ID")]
    pub cut: Option<String>,
    /// Print the daemon's answer as it is
    #[arg(long, conflicts_with = "cut")]
    pub json: bool,
}

/// Lists the streams, those with the most drops first, or closes one.
///
/// # Errors
/// With exit code 2 when the URL is none, with 1 when the daemon refuses or stays away.
pub fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let wrong = || Failure::usage("--url: must be like http://127.0.0.1:8080");
    let mut url: Url = args.url.parse().map_err(|_| wrong())?;
    let (method, id) = match &args.cut {
        Some(id) => (Method::DELETE, Some(id)),
        None => (Method::GET, None),
    };
    // Segment by segment, so that an id is one whatever is in it.
    url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(["v1", "streams"]).extend(id);
    let body = runtime()?.block_on(ask(method, url, &args.token))?;
    if args.cut.is_some() {
        return print(out, "closed");
    }
    if args.json {
        return print(out, &body);
    }
    let listing: Listing =
        serde_json::from_str(&body).map_err(|_| Failure::run("the daemon's answer is no list of streams"))?;
    print(out, table(&listing.streams).trim_end())
}

async fn ask(method: Method, url: Url, token: &str) -> Result<String, Failure> {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build();
    let http = http.map_err(|error| Failure::run(format!("HTTP cannot be used: {error}")))?;
    let unreachable = |error| Failure::run(format!("the daemon cannot be reached: {}", cause(&error)));
    let answer = http.request(method, url).bearer_auth(token).send().await.map_err(unreachable)?;
    let status = answer.status();
    let body = answer.text().await.map_err(unreachable)?;
    if status.is_success() { Ok(body) } else { Err(refused(status, &body)) }
}

fn refused(status: StatusCode, body: &str) -> Failure {
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or_default();
    Failure::run(format!("the daemon answers {status}: {}", visible(detail)))
}

#[derive(Debug, Deserialize)]
struct Listing {
    streams: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    id: String,
    sub: String,
    address: String,
    opened: String,
    frames_sent: u64,
    frames_merged: u64,
    backpressure_drops: u64,
    rate_limit_drops: u64,
    waits_for: String,
}

fn table(rows: &[Row]) -> String {
    let head = ["SUB", "ADDRESS", "SLOW", "FAST", "SENT", "MERGED", "WAITS FOR", "OPENED", "ID"].map(str::to_owned);
    let cells = rows.iter().map(|row| {
        [
            visible(&row.sub),
            visible(&row.address),
            row.backpressure_drops.to_string(),
            row.rate_limit_drops.to_string(),
            row.frames_sent.to_string(),
            row.frames_merged.to_string(),
            visible(&row.waits_for),
            visible(&row.opened),
            visible(&row.id),
        ]
    });
    let lines: Vec<[String; 9]> = std::iter::once(head).chain(cells).collect();
    let width = |i: usize| lines.iter().map(|line| line[i].chars().count()).max().unwrap_or(0);
    let widths: [usize; 9] = std::array::from_fn(width);
    let mut text = String::new();
    for line in &lines {
        let padded = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

/// What a daemon says, as a terminal can show it: shortened, and without what would command the terminal.
fn visible(text: &str) -> String {
    text.chars().take(64).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_nothing_that_commands_the_terminal() {
        let row = |sub: &str, drops| Row {
            id: "1f".to_owned(),
            sub: sub.to_owned(),
            address: "2001:db8::9".to_owned(),
            opened: "2025-11-23T23:54:08.123Z".to_owned(),
            frames_sent: 12,
            frames_merged: 3,
            backpressure_drops: drops,
            rate_limit_drops: 0,
            waits_for: "client".to_owned(),
        };
        let text = table(&[row("\u{202e}\u{1b}[2J", 12_345), row(&"x".repeat(300), 0)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("SUB  ") && lines[0].ends_with("ID"), "{text}");
        assert!(lines[1].contains("\\u{202e}\\u{1b}[2J") && lines[1].contains("  12345  "), "{text}");
        assert!(lines[2].starts_with(&format!("{}  ", "x".repeat(64))), "{text}");
        assert_eq!(lines[1].find("2001"), lines[2].find("2001"));
    }
}
