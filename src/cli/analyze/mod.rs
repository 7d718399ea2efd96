//! `analyze`: the daemon's engine on recordings, offline and at full speed.

mod extended;
mod names;
mod report;
mod simulation;
mod table;

use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Read, Write};
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use self::names::Names;
use self::report::{Rejected, Report};
use self::simulation::Simulation;
use super::Failure;
use crate::analyze::calibration;
use crate::config::Config;
use crate::domain::InsightKind;
use crate::engine;
use crate::ingest::recording::{Entry, Recording};

/// What can be given on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Recordings: native observations or OTLP/JSON requests, one a line; - for the standard input. Several are merged
    /// by time
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print one JSON document instead of a table
    #[arg(long)]
    pub json: bool,
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
    let progress = progress(&args.files);
    let mut merged = Merged::open(&args.files, &progress)?;
    while let Some((file, entry)) = merged.next()? {
        names.learn(&entry);
        let file = several.then(|| file.display().to_string());
        let bad = entry.rejected.into_iter();
        rejected.extend(bad.map(|refusal| Rejected { file: file.clone(), line: entry.line, error: refusal.error }));
        read += entry.accepted.len();
        entry.accepted.into_iter().for_each(|observation| simulation.observe(observation));
    }
    progress.finish_and_clear();
    if read == 0 {
        let first = rejected.first().map(|r| format!("; line {}: {}", r.line, r.error)).unwrap_or_default();
        return Err(Failure::usage(format!("no line can be read as an observation{first}")));
    }
    let (engine, found) = simulation.finish();
    let report = Report::new(&engine, found, &names, rejected);
    let printed = if args.json { report.write_json(out) } else { table::write(&report, out) };
    printed.map_err(|error| Failure::run(format!("the report cannot be written: {error}")))?;
    let hit: Vec<_> = args.fail_on.iter().filter(|kind| report.opened(**kind)).map(|kind| kind.as_str()).collect();
    if hit.is_empty() { Ok(()) } else { Err(Failure::run(format!("insights were opened: {}", hit.join(", ")))) }
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
            let source: Box<dyn Read> = if path.as_os_str() == "-" {
                Box::new(io::stdin())
            } else {
                let file = File::open(path).map_err(|error| unreadable(path, &error))?;
                Box::new(progress.wrap_read(file))
            };
            Ok((path.as_path(), Recording::new(BufReader::with_capacity(1 << 18, source)).peekable()))
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

/// A bar on the standard error, when that is a terminal.
fn progress(files: &[PathBuf]) -> ProgressBar {
    let sizes: Option<u64> = files.iter().map(|file| file.metadata().ok().map(|metadata| metadata.len())).sum();
    let bar = match sizes {
        Some(size) => ProgressBar::new(size),
        None => ProgressBar::new_spinner(),
    };
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let template = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
