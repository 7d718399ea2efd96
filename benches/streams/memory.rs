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
        let Figures { resident_kib, us_per_connect, connects_per_second } = measure(args, streams);
        println!("{streams:>7} {resident_kib:>11.1} {us_per_connect:>15.1} {connects_per_second:>11.0}");
    }
}

/// What a stream among so many costs.
pub struct Figures {
    pub resident_kib: f64,
    us_per_connect: f64,
    connects_per_second: f64,
}

pub fn measure(args: &Args, streams: usize) -> Figures {
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
    let grown = machine::resident_kib(daemon.pid()).saturating_sub(resident);
    Figures {
        resident_kib: grown as f64 / streams as f64,
        us_per_connect: cpu as f64 / 1e3 / streams as f64,
        connects_per_second: streams as f64 / clock.as_secs_f64(),
    }
}
