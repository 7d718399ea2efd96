//! What the analysis costs: `cargo bench --bench engine [throughput|beat|sparse|document|analyzers|memory]`.
//!
//! A plain program that prints tables: the figures are of interest together, and each takes a state that is dear to
//! build. All on one core, with the public view made at every beat.

use std::hint::black_box;
use std::time::{Duration, Instant};

use consciousness_system::analyze::calibration::{self, Calibration};
use consciousness_system::analyze::drift::{Drift, Series, latency_value};
use consciousness_system::analyze::errors::{self, Errors};
use consciousness_system::analyze::load::Load;
use consciousness_system::analyze::progress::Progress;
use consciousness_system::analyze::silence::Silence;
use consciousness_system::analyze::stuck::{self, Stuck};
use consciousness_system::domain::{ClaimKey, Observation, Probability};
use consciousness_system::engine::{Config, Document, Engine};
use consciousness_system::heartbeat::SpareMemory;
use consciousness_system::sanitize::Everything;
use consciousness_system::store;
use workload::{Daemon, INTERVAL, START, Workload, pulse};

mod workload;

/// As in the daemon.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if let [name, row @ ..] = wanted.as_slice()
        && name == "memory-row"
    {
        let row: Vec<u64> = row.iter().filter_map(|number| number.parse().ok()).collect();
        if let [each, sessions, agents] = row[..] {
            memory_row(each, sessions, agents as usize);
        }
        return;
    }
    // Under `cargo test --all-targets` it is enough to see that it runs.
    let measuring = std::env::args().any(|argument| argument == "--bench");
    let wanted = if measuring { wanted } else { vec!["beat".to_owned()] };
    let all: [(&str, fn()); 6] = [
        ("throughput", throughput),
        ("beat", beat),
        ("sparse", sparse),
        ("document", document),
        ("analyzers", analyzers),
        ("memory", memory),
    ];
    for (name, bench) in all {
        if wanted.is_empty() || wanted.iter().any(|wish| wish == name) {
            bench();
            println!();
        }
    }
}

/// Observations a second at full load: 50,000 a beat, one at a time from agents in random order, or fifty in a row.
fn throughput() {
    println!("throughput, observations a second (beats of 50,000; fold, judge, sanitize)");
    println!(
        "{:>8} {:>6} {:>12} {:>10} {:>10} {:>10}  ns an observation",
        "agents", "in row", "obs/s", "fold", "judge", "sanitize"
    );
    for (agents, run, beats) in [(1, 1, 20), (1_000, 1, 40), (100_000, 1, 40), (1_000, 50, 40), (100_000, 50, 120)] {
        let (mut daemon, mut work) = (Daemon::new(), Workload::new(agents, 4));
        if run > 1 {
            // All are known from the beginning.
            for _ in 0..40 {
                daemon.beat(&work.batch(50_000, daemon.now));
            }
        }
        let mut sums = [Duration::ZERO; 3];
        for beat in 0..beats {
            let batch = work.runs(50_000, run, daemon.now);
            let times = daemon.beat(&batch);
            // The first beats find everything empty and cheap.
            if beat >= beats / 2 {
                sums.iter_mut().zip(times).for_each(|(sum, time)| *sum += time);
            }
        }
        let counted = f64::from(beats - beats / 2) * 50_000.0;
        let [fold, judge, show] = sums.map(|sum| sum.as_secs_f64() * 1e9 / counted);
        let rate = 1e9 / (fold + judge + show);
        println!("{agents:>8} {run:>6} {rate:>12.0} {fold:>10.0} {judge:>10.0} {show:>10.0}");
    }
}

/// How long a beat's analysis takes at 10,000 agents and 20,000 observations a second.
fn beat() {
    // As in the daemon: the heart does not wait for the kernel to find memory.
    let _spare = SpareMemory::keep();
    let (mut daemon, mut work) = (Daemon::new(), Workload::new(10_000, 4));
    for _ in 0..40 {
        let batch = work.batch(50_000, daemon.now);
        daemon.beat(&batch);
    }
    let mut times: Vec<[Duration; 3]> = Vec::new();
    for _ in 0..1_000 {
        let batch = work.batch(2_000, daemon.now);
        times.push(daemon.beat(&batch));
    }
    println!("one beat at 10,000 agents and 20,000 observations a second, microseconds");
    println!("{:>10} {:>8} {:>8} {:>8} {:>8}", "", "p50", "p95", "p99", "max");
    // What `metacog_analysis_latency_ms` tells, and that with the public view.
    for (name, parts) in [("analysis", 2), ("and shown", 3)] {
        let sum = |times: &[Duration; 3]| times.iter().take(parts).sum::<Duration>().as_secs_f64() * 1e6;
        let mut sums: Vec<f64> = times.iter().map(sum).collect();
        sums.sort_by(f64::total_cmp);
        let [p50, p95, p99, max] = [0.5, 0.95, 0.99, 1.0].map(|q| sums[((sums.len() - 1) as f64 * q) as usize]);
        println!("{name:>10} {p50:>8.0} {p95:>8.0} {p99:>8.0} {max:>8.0}");
    }
    let part = |i: usize| times.iter().map(|parts| parts[i]).sum::<Duration>().as_secs_f64() * 1e6 / times.len() as f64;
    println!(
        "mean: fold {:.0}, judge {:.0}, sanitize {:.0}; {} insights open",
        part(0),
        part(1),
        part(2),
        daemon.engine.insights().count()
    );
}

/// A beat and its patch cost what changed, not what there is.
fn sparse() {
    println!("a beat in which 100 agents change, and its patch as JSON: microseconds, median of 100");
    println!("{:>8} {:>8} {:>8} {:>8}", "agents", "analysis", "shown", "patch");
    for agents in [1_000, 10_000, 100_000] {
        let (mut daemon, mut work) = (Daemon::new(), Workload::new(agents, 1));
        for part in 0..agents.div_ceil(1_000) {
            let batch: Vec<_> =
                (part * 1_000..(part + 1) * 1_000).map(|agent| work.observe(agent, daemon.now)).collect();
            daemon.beat(&batch);
        }
        let mut times = Vec::new();
        for beat in 0..100 {
            let batch: Vec<_> = (0..100).map(|i| work.observe((beat * 7_919 + i * 31) % agents, daemon.now)).collect();
            let base = daemon.public.position().beat;
            let [fold, judge, show] = daemon.beat(&batch);
            let start = cpu();
            let patch = daemon.public.patch(base, &Everything).map(|patch| serde_json::to_vec(&patch));
            black_box(patch.is_some());
            times.push([fold + judge, show, cpu() - start]);
        }
        let median = |i: usize| {
            let mut parts: Vec<f64> = times.iter().map(|parts| parts[i].as_secs_f64() * 1e6).collect();
            parts.sort_by(f64::total_cmp);
            parts[parts.len() / 2]
        };
        println!("{agents:>8} {:>8.0} {:>8.0} {:>8.0}", median(0), median(1), median(2));
    }
}

/// What storing and restoring cost.
fn document() {
    println!("the stored document: MB, milliseconds (read: on all cores, by the clock)");
    println!("{:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}", "agents", "each", "MB", "write", "parse", "read", "restore");
    for (agents, each) in [(10_000, 10), (10_000, 100), (100_000, 10)] {
        let (mut daemon, mut work) = (Daemon::new(), Workload::new(agents, 1));
        for _ in 0..each {
            let batch: Vec<_> = (0..agents).map(|agent| work.observe(agent, daemon.now)).collect();
            daemon.engine.beat(daemon.now, &batch, &pulse());
            daemon.now = daemon.now.plus(INTERVAL);
        }
        let start = cpu();
        let json = Document::of(&daemon.engine).to_json();
        let written = cpu();
        let Ok(document) = Document::parse(&json) else { continue };
        let parsed = cpu();
        drop(document);
        let began = Instant::now();
        let Ok(document) = store::read(&json) else { continue };
        let (read, again) = (began.elapsed(), cpu());
        let engine = Engine::restore(Config::default(), document, 2);
        let restored = cpu();
        assert_eq!(engine.agents(), agents);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "{agents:>8} {each:>8} {:>8.1} {:>8.0} {:>8.0} {:>8.0} {:>8.0}",
            json.len() as f64 / 1e6,
            ms(written - start),
            ms(parsed - written),
            ms(read),
            ms(restored - again)
        );
    }
}

/// Times `observe` at several lengths of history: each figure is a mean over the last 1,000 or more.
fn flat(name: &str, mut observe: impl FnMut(u64)) {
    print!("{name:>12}");
    let mut done = 0u64;
    for history in [1_000u64, 10_000, 100_000, 1_000_000, 10_000_000] {
        let timed = history / 2;
        while done < history - timed {
            observe(done);
            done += 1;
        }
        let start = cpu();
        while done < history {
            observe(done);
            done += 1;
        }
        print!(" {:>8.1}", (cpu() - start).as_secs_f64() * 1e9 / timed as f64);
    }
    println!();
}

/// Cost of each analyzer by the length of the history.
fn analyzers() {
    println!("one analyzer, nanoseconds an observation, by observations of one agent before");
    println!("{:>12} {:>8} {:>8} {:>8} {:>8} {:>8}", "", "1e3", "1e4", "1e5", "1e6", "1e7");
    let at = |i: u64| START.plus(Duration::from_millis(50 * i));
    // Many agents' worth of different observations, made beforehand and dealt out again and again.
    let mut work = Workload::new(1, 1);
    let recorded: Vec<Observation> = (0..65_536).map(|i| work.observe(0, at(i))).collect();
    let deal = |i: u64| Observation { at: at(i), ..recorded[(i % 65_536) as usize].clone() };
    flat("(dealing)", |i| {
        black_box(deal(i));
    });
    let mut stuck = Stuck::new();
    let config = stuck::Config::default();
    flat("stuck", |i| {
        black_box(stuck.observe(&deal(i), &config));
    });
    let mut errors = Errors::new();
    let config = errors::Config::default();
    flat("errors", |i| {
        black_box(errors.observe(&deal(i), &config));
    });
    let mut load = Load::default();
    flat("load", |i| load.observe(&deal(i)));
    let mut progress = Progress::default();
    flat("progress", |i| progress.observe(&deal(i)));
    let mut silence = Silence::default();
    flat("silence", |i| silence.observe(&deal(i), at(i)));
    let mut drift = Drift::default();
    let values: Vec<f64> = (0..65_536).map(|_| latency_value(work.uniform() * 1e3)).collect();
    flat("drift value", |i| {
        black_box(drift.observe(Series::Latency, values[(i % 65_536) as usize], at(i)));
    });
    let (mut claims, config) = (Calibration::default(), calibration::Config::default());
    let said: Vec<(Probability, bool)> = (0..65_536)
        .map(|_| (Probability::new(work.uniform()).unwrap_or_else(|| unreachable!()), work.uniform() < 0.6))
        .collect();
    flat("claim+verdict", |i| {
        let (confidence, correct) = said[(i % 65_536) as usize];
        black_box(claims.claim(at(i), ClaimKey::from_u64(i), confidence, None, None, &config));
        black_box(claims.verdict(at(i), ClaimKey::from_u64(i), correct, &config));
    });
    let start = cpu();
    for _ in 0..100_000 {
        black_box(claims.figures(&config));
    }
    println!("calibration's figures: {:.0} ns", (cpu() - start).as_secs_f64() * 1e4);
    let start = cpu();
    for i in 0..200 {
        claims.claim(
            at(1_000_000 + i),
            ClaimKey::from_u64(2_000_000 + i),
            said[i as usize].0,
            Some(i % 2 == 0),
            None,
            &config,
        );
        claims.fit(&config);
    }
    println!("a fit of meta-d′: {:.0} µs", (cpu() - start).as_secs_f64() * 1e6 / 200.0);
}

/// Time that this thread has had on a core: what other processes take is left out.
fn cpu() -> Duration {
    cpu_time::ThreadTime::now().as_duration()
}

fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// Resident bytes an agent, after so many observations each. Every row in a process of its own, whose memory is fresh.
fn memory() {
    println!("resident bytes an agent (private state and public view)");
    println!("{:>14} {:>10} {:>10} {:>10}", "observations", "sessions", "agents", "bytes");
    let rows = [(1, 1, 100_000), (10, 1, 50_000), (100, 1, 20_000), (1_000, 4, 4_000), (20_000, 8, 400)];
    for row in rows {
        let arguments = [row.0, row.1, row.2].map(|number: u64| number.to_string());
        let child = std::env::current_exe().map(std::process::Command::new);
        let status = child.and_then(|mut child| child.arg("memory-row").args(arguments).status());
        assert!(status.is_ok_and(|status| status.success()));
    }
}

fn memory_row(each: u64, sessions: u64, agents: usize) {
    let (mut daemon, mut work) = (Daemon::new(), Workload::new(agents, sessions));
    let before = resident();
    for _ in 0..each {
        for part in 0..agents.div_ceil(1_000) {
            let whom = part * 1_000..agents.min((part + 1) * 1_000);
            let batch: Vec<Observation> = whom.map(|agent| work.observe(agent, daemon.now)).collect();
            daemon.beat(&batch);
        }
    }
    let bytes = resident().saturating_sub(before) / agents;
    println!("{each:>14} {sessions:>10} {agents:>10} {bytes:>10}");
}
