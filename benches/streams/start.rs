//! From exec to ready, and how big the program is.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::Args;
use super::daemon::{self, Daemon};
use super::figures::Sorted;
use super::store::Redis;

/// The default.
const INTERVAL: Duration = Duration::from_millis(100);

pub fn run(args: &Args) {
    println!("\nStart: from exec until /readyz says 200, which takes a first beat");
    println!("store      starts  p50 ms     max");
    phase("memory", args, || None);
    // One that is empty each time: where a pod was killed, the next one waits for its lease to run out.
    phase("Redis", args, || Some(Redis::start()));
    let (whole, stripped) = sizes(args);
    println!("program: {:.1} MB; without symbols {:.1} MB", whole as f64 / 1e6, stripped as f64 / 1e6);
}

fn phase(name: &str, args: &Args, store: impl Fn() -> Option<Redis>) {
    let starts = 2 * args.rounds.max(1) + 1;
    let times = Sorted::new((0..starts).map(|_| {
        let redis = store();
        let args = redis.as_ref().map_or_else(|| args.clone(), |redis| redis.stored(args));
        let clock = Instant::now();
        let daemon = Daemon::start(INTERVAL, &args, None);
        let took = clock.elapsed().as_secs_f64() * 1e3;
        drop(daemon);
        took
    }));
    println!("{name:<10} {starts:>6} {:>7.0} {:>7.0}", times.at(0.5), times.max());
}

/// Bytes of the program as it is, and stripped.
fn sizes(args: &Args) -> (u64, u64) {
    let program = daemon::program(args);
    let directory = tempfile::tempdir().unwrap();
    let stripped = directory.path().join("stripped");
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(program).status();
    assert!(strip.expect("strip runs (Debian: binutils)").success());
    (fs::metadata(program).unwrap().len(), fs::metadata(stripped).unwrap().len())
}
