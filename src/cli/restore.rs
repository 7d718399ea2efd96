//! `restore`: looks through the stored states and puts one back in the place that a start loads from.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::{Failure, redis, runtime};
use crate::config::Config;
use crate::domain::Timestamp;
use crate::link::Fault;
use crate::setting::duration;
use crate::store::{Archive, Entry, Summary};

/// What can be given on the command line.
#[derive(Debug, Clone, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct Args {
    /// Configuration file (TOML); CONSCIOUSNESS__SECTION__KEY variables win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// List meta:latest, the snapshots, and what was kept aside
    #[arg(long, group = "what")]
    pub list: bool,
    /// Restore this key, or "latest": meta:latest where it is valid (nothing to do), else the newest valid snapshot
    #[arg(long, value_name = "latest|KEY", group = "what")]
    pub from: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long, conflicts_with = "list")]
    pub dry_run: bool,
    /// Replace meta:latest even where it is valid and newer; it is kept aside
    #[arg(long, conflicts_with = "list")]
    pub force: bool,
}

/// A state whose last beat is younger was written by a daemon that still runs.
const ALIVE: Duration = Duration::from_secs(3);

/// Lists or restores. What is restored is validated first, and what it replaces is kept.
///
/// # Errors
/// With exit code 2 when the configuration is wrong or names no Redis; with 1 when Redis cannot be asked, when there is
/// nothing valid to restore, or when a newer state would be replaced.
pub fn run(
    args: &Args,
    env: impl IntoIterator<Item = (String, String)>,
    out: &mut impl Write,
    now: Timestamp,
) -> Result<(), Failure> {
    let config = Config::load(args.config.as_deref(), env).map_err(Failure::usage)?;
    let mut archive = Archive::new(&redis(&config, ", so there is nothing stored")?);
    runtime()?.block_on(async {
        match &args.from {
            None => list(&mut archive, out, now).await,
            Some(from) => restore(&mut archive, args, from, out, now).await,
        }
    })
}

async fn list(archive: &mut Archive, out: &mut impl Write, now: Timestamp) -> Result<(), Failure> {
    let keys = archive.keys().await.map_err(failed)?;
    if keys.is_empty() {
        return line(out, "no state is stored");
    }
    let width = keys.iter().map(String::len).max().unwrap_or_default();
    line(
        out,
        &format!("{:width$}  {:>10}  {:>8}  {:>12}  {:>8}  {:>12}", "KEY", "AGE", "EPOCH", "BEAT", "AGENTS", "BYTES"),
    )?;
    for key in keys {
        // It may have gone meanwhile.
        let Some(Entry { key, bytes, state }) = archive.examine(&key).await.map_err(failed)? else { continue };
        let bytes = bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
        match state {
            Ok(state) => {
                let Summary { epoch, beat, agents, .. } = state;
                let age = age(&state, now);
                line(out, &format!("{key:width$}  {age:>10}  {epoch:>8}  {beat:>12}  {agents:>8}  {bytes:>12}"))?;
            }
            Err(problem) => line(out, &format!("{key:width$}  not valid: {problem} ({bytes} bytes)"))?,
        }
    }
    Ok(())
}

async fn restore(
    archive: &mut Archive,
    args: &Args,
    from: &str,
    out: &mut impl Write,
    now: Timestamp,
) -> Result<(), Failure> {
    let entry = match from {
        "latest" => archive.newest().await.map_err(failed)?.ok_or_else(|| Failure::run("no valid state is stored"))?,
        key => {
            let entry = archive.examine(key).await.map_err(failed)?;
            entry.ok_or_else(|| Failure::run(format!("{key}: does not exist")))?
        }
    };
    let Entry { key, state, .. } = &entry;
    let state = state.as_ref().map_err(|problem| Failure::run(format!("{key}: not valid: {problem}")))?;
    line(out, &told(key, state, now))?;
    if key == Archive::LATEST {
        return line(out, "it is what a start loads: there is nothing to restore");
    }
    let latest = archive.examine(Archive::LATEST).await.map_err(failed)?;
    let mut epoch = state.epoch;
    if let Some(Entry { key: latest, state: Ok(there), .. }) = &latest {
        line(out, &told(latest, there, now))?;
        epoch = epoch.max(there.epoch);
        if there.age(now) < ALIVE {
            line(
                out,
                "a daemon seems to be running: better stop it first; after this it keeps its state in memory alone",
            )?;
        }
        if (there.epoch, there.beat) > (state.epoch, state.beat) && !args.force {
            return Err(Failure::run(format!("{latest} is valid and newer: --force replaces it, and keeps it aside")));
        }
    }
    if args.dry_run {
        return line(out, "valid; nothing was changed (--dry-run)");
    }
    let kept = archive.restore(key, epoch, now).await.map_err(failed)?;
    if let Some(kept) = kept {
        line(out, &format!("what stood there is kept as {kept}"))?;
    }
    line(out, &format!("{} is now a copy of {key}: start the daemon", Archive::LATEST))
}

fn told(key: &str, state: &Summary, now: Timestamp) -> String {
    let Summary { epoch, beat, agents, .. } = state;
    format!("{key}: {} old, epoch {epoch}, beat {beat}, {agents} agents", age(state, now))
}

/// In whole seconds, or milliseconds below that.
fn age(state: &Summary, now: Timestamp) -> String {
    let age = state.age(now);
    let unit = if age < Duration::from_secs(1) { 1_000_000 } else { 1_000_000_000 };
    duration::format(Duration::from_nanos(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX) / unit * unit))
}

fn failed(fault: Fault) -> Failure {
    Failure::run(format!("redis: {fault}"))
}

fn line(out: &mut impl Write, text: &str) -> Result<(), Failure> {
    super::print(out, text)
}
