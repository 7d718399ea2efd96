//! What the hot paths cost in instructions: `cargo bench --bench counted [-- --save] [name...]`.
//!
//! Times tell little on a machine that is shared; counts under valgrind are nearly the same each time. A count that is
//! more than a tenth over the one on file (`counted.json`, by build profile) is a failure. `--save` puts the new ones on
//! file. Under `cargo test --all-targets` all is checked, too, unless there is no valgrind.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use consciousness_system::engine::Document;
use consciousness_system::ingest::{Limits, native, otlp};
use consciousness_system::sanitize::Everything;
use workload::{Daemon, START, Workload, pulse};

#[allow(dead_code, reason = "shared with the other benchmark of the analysis")]
mod workload;

/// More than this share of the count on file is a failure.
const MOST: f64 = 1.1;
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/counted.json");
const PROFILE: &str = if cfg!(debug_assertions) { "dev" } else { "release" };

const CASES: [(&str, fn()); 6] = [
    ("beat", beat),
    ("show", show),
    ("patch", patch),
    ("document", document),
    ("ndjson", ndjson),
    ("otlp", otlp_traces),
];

type Counts = BTreeMap<String, u64>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name] = arguments.as_slice()
        && flag == "--run"
    {
        CASES.iter().filter(|(known, _)| known == name).for_each(|(_, case)| case());
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("no valgrind, nothing is counted");
        return ExitCode::SUCCESS;
    }
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let on_file = std::fs::read_to_string(FILE).unwrap_or_default();
    let mut files: BTreeMap<String, Counts> = serde_json::from_str(&on_file).unwrap_or_default();
    let known = files.entry(PROFILE.to_owned()).or_default();
    let mut failed = false;
    println!("instructions, {PROFILE} build");
    for (name, _) in CASES.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|wish| wish == name)) {
        let Some(count) = count(name) else {
            println!("{name:>10} could not be counted");
            failed = true;
            continue;
        };
        let ratio = known.get(*name).map(|before| count as f64 / *before as f64);
        let mut line = format!("{name:>10} {count:>12}");
        if let Some(ratio) = ratio {
            let _ = write!(line, " {ratio:.3} x what is on file");
        }
        println!("{line}");
        failed |= ratio.is_some_and(|ratio| ratio > MOST);
        known.insert((*name).to_owned(), count);
    }
    if arguments.iter().any(|argument| argument == "--save") {
        let saved = serde_json::to_string_pretty(&files).map(|text| std::fs::write(FILE, text + "\n"));
        failed = !matches!(saved, Ok(Ok(())));
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs a case under valgrind; the instructions within [`measured`].
fn count(name: &str) -> Option<u64> {
    let out = tempfile::NamedTempFile::new().ok()?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*counted::measured*"]);
    valgrind.arg(format!("--callgrind-out-file={}", out.path().display()));
    valgrind.arg(std::env::current_exe().ok()?).args(["--run", name]);
    if !valgrind.stderr(Stdio::null()).status().ok()?.success() {
        return None;
    }
    let text = std::fs::read_to_string(out.path()).ok()?;
    let total = text.lines().rev().find_map(|line| line.strip_prefix("totals: "))?;
    total.trim().parse().ok().filter(|count| *count > 0)
}

#[inline(never)]
fn measured<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

/// Time is of no interest here.
fn cpu() -> Duration {
    Duration::ZERO
}

/// A daemon with 200 agents that have been at work for a while.
fn at_work() -> (Daemon, Workload) {
    let (mut daemon, mut work) = (Daemon::new(), Workload::new(200, 2));
    for _ in 0..20 {
        let batch = work.batch(400, daemon.now);
        daemon.beat(&batch);
    }
    (daemon, work)
}

/// Folding and judging.
fn beat() {
    let (mut daemon, mut work) = at_work();
    for _ in 0..10 {
        daemon.now = daemon.now.plus(workload::INTERVAL);
        let batch = work.batch(200, daemon.now);
        measured(|| daemon.engine.beat(daemon.now, &batch, &pulse()));
    }
}

/// The public view of beats.
fn show() {
    let (mut daemon, mut work) = at_work();
    for _ in 0..10 {
        daemon.now = daemon.now.plus(workload::INTERVAL);
        let batch = work.batch(200, daemon.now);
        let beat = daemon.engine.beat(daemon.now, &batch, &pulse());
        measured(|| daemon.public.apply(daemon.sanitizer.beat(&daemon.engine, &beat)));
    }
}

/// What streams are sent of them.
fn patch() {
    let (mut daemon, mut work) = at_work();
    for _ in 0..10 {
        let base = daemon.public.position().beat;
        let batch = work.batch(200, daemon.now);
        daemon.beat(&batch);
        measured(|| daemon.public.patch(base, &Everything).map(|patch| serde_json::to_vec(&patch)));
    }
}

/// The stored document, written and read back.
fn document() {
    let (daemon, _) = at_work();
    let document = Document::of(&daemon.engine);
    measured(|| Document::parse(&document.to_json()).is_ok());
}

/// Native observations.
fn ndjson() {
    let mut lines = String::new();
    for i in 0..500 {
        let what = match i % 5 {
            0 => format!(r#""kind":"thought","text":"step {i}: what was asked, and what follows from it""#),
            1 => format!(r#""kind":"action","tool":"search","arguments":{{"q":"text {i}","n":5}},"call_id":"c{i}""#),
            2 => format!(r#""kind":"result","call_id":"c{}","ok":true,"text":"found {i}","duration_ms":12.5"#, i - 1),
            3 => format!(r#""kind":"claim","claim_id":"k{i}","confidence":0.7"#),
            _ => r#""kind":"usage","input_tokens":1200,"output_tokens":80,"cost":0.01"#.to_owned(),
        };
        let _ = writeln!(lines, r#"{{"agent":"agent-{}","session":"s1","id":"id-{i}",{what}}}"#, i % 20);
    }
    measured(|| native::decode(native::Format::Ndjson, lines.as_bytes(), START, &Limits::default()).is_ok());
}

/// Spans as an SDK sends them.
fn otlp_traces() {
    let bytes = include_bytes!("../tests/fixtures/otlp/python-v1_traces.bin");
    measured(|| {
        (0..20)
            .map(|_| otlp::decode_traces(otlp::Encoding::Protobuf, bytes, START, &Limits::default()))
            .filter(|decoded| decoded.is_ok())
            .count()
    });
}
