//! `audit`: who held which scope and used it, from the audit trail.

mod csv;
mod table;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::when::{self, When};
use super::{Failure, redis, runtime};
use crate::auth::audit::{Report, Row, Span, Trail};
use crate::config::Config;
use crate::domain::Timestamp;
use crate::setting::duration;

/// What can be given on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// From when on: how long ago, as in 90d, or a moment (RFC 3339, or a date in UTC)
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = when::parse)]
    pub since: When,
    /// Before when, likewise
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = when::parse)]
    pub until: When,
    /// Point out tokens that expire within this time
    #[arg(long, value_name = "DURATION", default_value = "14d", value_parser = span)]
    pub expiring: Duration,
    /// Point out subjects that did nothing for this time
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = span)]
    pub unseen: Duration,
    /// Print the report as one CSV table: a line for each token, and for each subject that was not seen
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Print the trail itself, a JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Configuration file (TOML); CONSCIOUSNESS__SECTION__KEY variables win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

fn span(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| format!("must be {}", duration::EXPECTED))
}

/// Reads the trail and prints a report, or the trail itself.
///
/// # Errors
/// With exit code 2 when the configuration is wrong or names no Redis; with 1 when Redis cannot be asked.
pub fn run(
    args: &Args,
    env: impl IntoIterator<Item = (String, String)>,
    out: &mut impl Write,
    now: Timestamp,
) -> Result<(), Failure> {
    let config = Config::load(args.config.as_deref(), env).map_err(Failure::usage)?;
    let mut trail = Trail::new(&redis(&config, ": there is no Redis, and so there is no trail")?);
    let (since, until) = (args.since.moment(now), args.until.moment(now));
    if since >= until {
        return Err(Failure::usage("--since: must lie before --until"));
    }
    // What happens at this moment belongs to it.
    let until = if until == now { now.plus(Duration::from_secs(1)) } else { until };
    let span = Span { since, until, now, expiring: args.expiring, unseen: args.unseen };
    runtime()?.block_on(async {
        if args.json {
            let mut written = Ok(());
            let unreadable = trail.read(since, until, |row| {
                if written.is_ok() {
                    written = line(out, &row);
                }
            });
            warn(unreadable.await.map_err(failed)?);
            return written.map_err(cannot_write);
        }
        let mut report = Report::new(span);
        // All of it, since who was not seen for long was seen before that.
        let everything = now.plus(Duration::from_hours(24));
        warn(trail.read(Timestamp::EPOCH, everything, |row| report.add(&row)).await.map_err(failed)?);
        let printed = if args.csv { csv::print(&report, out) } else { table::print(&report, out) };
        printed.map_err(cannot_write)
    })
}

fn line(out: &mut impl Write, row: &Row) -> io::Result<()> {
    serde_json::to_writer(&mut *out, row)?;
    writeln!(out)
}

fn warn(unreadable: u64) {
    if unreadable > 0 {
        eprintln!("{unreadable} entries of the trail cannot be read, and were passed over");
    }
}

fn failed(fault: crate::link::Fault) -> Failure {
    Failure::run(format!("redis: {fault}"))
}

fn cannot_write(error: io::Error) -> Failure {
    Failure::run(format!("cannot write: {error}"))
}
