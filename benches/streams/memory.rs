//! Resident memory of a stream.

use std::time::{Duration, Instant};

use super::Args;
use super::daemon::Daemon;
use super::machine;
use super::readers::Readers;

/// The default.
const INTERVAL: Duration = Duration::from_millis(100);

pub fn run(args: &Args) {
    println!(
        "\nMemory: idle streams, a beat each {} ms; connects asked for at once, tokens checked",
        INTERVAL.as_millis()
    );
    println!("streams  KiB/stream  us CPU/connect  connects/s");
    for &streams in &args.idle_streams {
        let daemon = Daemon::start(INTERVAL, args, None);
        let mut readers = Readers::new();
        // What a first stream needs beyond itself is not a stream's.
        readers.open(daemon.address, 1);
        readers.read_for(args.length().min(Duration::from_millis(500)));
        let (resident, cpu) = (machine::resident_kib(daemon.pid()), machine::cpu_ns(daemon.pid(), None));
        let clock = Instant::now();
        readers.open(daemon.address, streams);
        let (cpu, clock) = (machine::cpu_ns(daemon.pid(), None) - cpu, clock.elapsed());
        readers.read_for(args.length());
        let grown = machine::resident_kib(daemon.pid()) - resident;
        println!(
            "{streams:>7} {:>11.1} {:>15.1} {:>11.0}",
            grown as f64 / streams as f64,
            cpu as f64 / 1e3 / streams as f64,
            streams as f64 / clock.as_secs_f64(),
        );
    }
}
