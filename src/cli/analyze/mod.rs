//! `analyze`: the daemon's engine on recordings, offline and at full speed.

mod curves;
mod density;
mod extended;
mod html;
mod names;
mod report;
mod simulation;
mod table;

use std::io::{self, BufReader, IsTerminal, Read, Write};
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::ProgressBar;

use self::names::Names;
use self::report::{Rejected, Report};
use self::simulation::Simulation;
use super::words::{grouped, lasted};
use super::{Failure, source};
use crate::analyze::calibration;
use crate::config::Config;
use crate::domain::InsightKind;
use crate::engine;
use crate::ingest::recording::{Entry, Recording};

/// What can be given on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Recordings: native observations or OTLP/JSON requests, one a line, gzipped or not; - for the standard input.
    /// Several are merged by time
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print one JSON document instead of a table
    #[arg(long)]
    pub json: bool,
    /// Write the report as a page for a browser as well: one file, with charts, to attach to a ticket
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Exit with 1 when an insight of one of these kinds was opened (comma-separated)
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = kind)]
    pub fail_on: Vec<InsightKind>,
    /// Configuration file (TOML), for the settings of the analysis; CONSCIOUSNESS__SECTION__KEY variables win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

fn kind(text: &str) -> Result<InsightKind, String> {
    text.trim().parse().map_err(|()| {
        let known: Vec<_> = InsightKind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("known kinds are {}", known.join(", "))
    })
}

/// Analyses recordings and prints the report.
///
/// # Errors
/// With exit code 2 when the configuration or a file cannot be used or no line can be read; with 1 when an insight of
/// `--fail-on` was opened.
pub fn run(args: &Args, env: impl IntoIterator<Item = (String, String)>, out: &mut impl Write) -> Result<(), Failure> {
    let config = Config::load(args.config.as_deref(), env).map_err(Failure::usage)?;
    let mut simulation = Simulation::new(unbounded(config.engine()), config.heart.interval);
    let (mut names, mut rejected, mut read) = (Names::default(), Vec::new(), 0usize);
    let several = args.files.len() > 1;
    let (progress, began) = (source::bar(&args.files, "observations"), Instant::now());
    let mut merged = Merged::open(&args.files, &progress)?;
    while let Some((file, entry)) = merged.next()? {
        names.learn(&entry);
        let file = several.then(|| file.display().to_string());
        let bad = entry.rejected.into_iter();
        rejected.extend(bad.map(|refusal| Rejected { file: file.clone(), line: entry.line, error: refusal.error }));
        read += entry.accepted.len();
        if read / SHOW_EVERY != (read - entry.accepted.len()) / SHOW_EVERY {
            progress.set_message(grouped(read as u64));
        }
        entry.accepted.into_iter().for_each(|observation| simulation.observe(observation));
    }
    progress.finish_and_clear();
    if read == 0 {
        let first = rejected.first().map(|r| format!("; line {}: {}", r.line, r.error)).unwrap_or_default();
        return Err(Failure::usage(format!("no line can be read as an observation{first}")));
    }
    if io::stderr().is_terminal() {
        let took = began.elapsed();
        let rate = grouped((read as f64 / took.as_secs_f64().max(1e-3)) as u64);
        eprintln!("read {} observations in {}, {rate} a second", grouped(read as u64), lasted(took));
    }
    let (engine, found) = simulation.finish();
    let report = Report::new(&engine, found, &names, rejected);
    if let Some(path) = &args.html {
        let names: Vec<_> = args.files.iter().map(|file| shown(file)).collect();
        let written = std::fs::write(path, html::page(&report, &names));
        written.map_err(|error| Failure::run(format!("{} cannot be written: {error}", path.display())))?;
    }
    let printed = if args.json { report.write_json(out) } else { table::write(&report, out) };
    printed.map_err(|error| Failure::run(format!("the report cannot be written: {error}")))?;
    let hit: Vec<_> = args.fail_on.iter().filter(|kind| report.opened(**kind)).map(|kind| kind.as_str()).collect();
    if hit.is_empty() { Ok(()) } else { Err(Failure::run(format!("insights were opened: {}", hit.join(", ")))) }
}

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 18;
/// Observations between two messages of the bar.
const SHOW_EVERY: usize = 1000;

/// A recording's name for people: without its folder.
fn shown(file: &Path) -> String {
    match file.file_name() {
        Some(name) if file.as_os_str() != "-" => name.to_string_lossy().into_owned(),
        _ => "standard input".to_owned(),
    }
}

/// The settings, without the bounds that a daemon needs since it never ends: a recording does.
fn unbounded(mut config: engine::Config) -> engine::Config {
    config.agents = usize::MAX;
    config.sessions_per_agent = usize::MAX;
    config.ids_per_agent = engine::IdWindow::MAX;
    config.calibration.pending = calibration::Config::MOST_PENDING;
    config
}

type Lines = Peekable<Recording<BufReader<Box<dyn Read>>>>;

/// Several recordings merged by time; within each, the order of lines is kept.
struct Merged<'a>(Vec<(&'a Path, Lines)>);

impl<'a> Merged<'a> {
    fn open(files: &'a [PathBuf], progress: &ProgressBar) -> Result<Self, Failure> {
        let open = |path: &'a PathBuf| {
            let source = source::open(path, progress, CHUNK).map_err(|error| unreadable(path, &error))?;
            Ok((path.as_path(), Recording::new(source).peekable()))
        };
        files.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    fn next(&mut self) -> Result<Option<(&'a Path, Entry)>, Failure> {
        let earliest = |(_, lines): &mut (&Path, Lines)| match lines.peek() {
            // What has no time is reported where it is met.
            Some(Ok(entry)) => Some(entry.accepted.first().map(|observation| observation.at)),
            Some(Err(_)) => Some(None),
            None => None,
        };
        let heads = self.0.iter_mut().enumerate().filter_map(|(i, source)| Some((earliest(source)?, i)));
        let Some((_, first)) = heads.min() else { return Ok(None) };
        let Some((path, lines)) = self.0.get_mut(first) else { return Ok(None) };
        match lines.next() {
            Some(Ok(entry)) => Ok(Some((*path, entry))),
            Some(Err(error)) => Err(unreadable(path, &error)),
            None => Ok(None),
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("{} cannot be read: {error}", path.display()))
}
