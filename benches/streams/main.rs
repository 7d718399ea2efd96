//! Load on the real daemon, on loopback: fan-out against a floor server, memory, the heart under load, ingest, a failing
//! Redis; and how costs grow.
//!
//! `cargo bench --bench streams` runs all of it in some two minutes and prints tables; `-- --help` shows what can be set.
//! Without `--bench`, as under `cargo test --all-targets`, it runs each part for a moment with few streams, so that the
//! tools stay in order. `benches/README.md` says what the figures mean and what they were.

#![allow(missing_docs, reason = "nobody uses a load tool as a library")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a load tool that cannot go on has nothing to tell")]
#![allow(clippy::print_stdout, reason = "the figures are its output")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

mod daemon;
mod fanout;
mod feed;
mod figures;
mod floor;
mod growth;
mod heart;
mod ingest;
mod machine;
mod memory;
mod readers;
mod start;
mod store;
#[path = "../workload.rs"]
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use self::daemon::Setting;

/// Load on the real daemon, on loopback.
#[derive(Debug, Clone, Parser)]
pub struct Args {
    /// Parts to run
    #[arg(long, value_delimiter = ',', default_value = "fanout,memory,heart,ingest,store,start,growth")]
    only: Vec<String>,
    /// Streams of the fan-out, comma-separated for several runs, and of the heart's load (the first)
    #[arg(long, value_delimiter = ',', default_value = "1000")]
    streams: Vec<usize>,
    /// Agents that change at each beat of the fan-out, comma-separated; three make a frame of 1 KiB
    #[arg(long, value_delimiter = ',', default_value = "3")]
    agents: Vec<usize>,
    /// Time between beats in the fan-out, milliseconds
    #[arg(long, default_value_t = 50)]
    interval: u64,
    /// Streams that are asked for at once in the heart's load
    #[arg(long, default_value_t = 1_000)]
    connects: usize,
    /// Streams of the memory part
    #[arg(long, value_delimiter = ',', default_value = "1000,4000")]
    idle_streams: Vec<usize>,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Rounds of the fan-out: daemon and floor in turns; the best of each counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Let the kernel place daemon, floor and clients; otherwise, in the fan-out, servers get CPU 0 and clients CPU 1
    #[arg(long)]
    unpinned: bool,
    /// A daemon's configuration key, as in `limits.frames_per_second=25`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<Setting>,
    /// Agents of the growth part's largest state, a hundredth of its observations, ten times its streams
    #[arg(long, default_value_t = 100_000)]
    most: usize,
    /// Where plots go
    #[arg(long, value_name = "DIRECTORY", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/plots"))]
    plots: PathBuf,
    /// Have the daemon use no huge pages: with them its memory grows in steps of 2 MB
    #[arg(long)]
    small_pages: bool,
    /// Another build of the daemon to measure, to compare it
    #[arg(long, value_name = "PROGRAM")]
    daemon: Option<PathBuf>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    fn length(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    fn read() -> Self {
        if std::env::args().any(|arg| arg == "--bench") {
            return Self::parse();
        }
        // Cargo hands a test run's filters to every target; they mean nothing here.
        let smoke =
            "streams --streams 20 --connects 20 --idle-streams 20 --most 400 --seconds 0.15 --rounds 1 --unpinned";
        Self { plots: std::env::temp_dir().join("consciousness-system-plots"), ..Self::parse_from(smoke.split(' ')) }
    }
}

/// CPU time of the calling thread so far.
fn cpu() -> Duration {
    cpu_time::ThreadTime::now().as_duration()
}

fn main() {
    let raw: Vec<String> = std::env::args().collect();
    if raw.get(1).is_some_and(|arg| arg == floor::FLAG) {
        return floor::serve(&raw[2..]);
    }
    let args = Args::read();
    machine::raise_file_limit();
    machine::describe();
    for part in &args.only {
        match part.as_str() {
            "fanout" => fanout::run(&args),
            "memory" => memory::run(&args),
            "heart" => heart::run(&args),
            "ingest" => ingest::run(&args),
            "store" => store::run(&args),
            "start" => start::run(&args),
            "growth" => growth::run(&args),
            other => panic!("there is no part {other}: fanout, memory, heart, ingest, store, start, growth"),
        }
    }
}
