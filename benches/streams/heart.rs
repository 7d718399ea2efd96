//! The heart on time: alone, among many streams and observations, among neighbours that want all of the CPUs, and while
//! many connect at once. One daemon, one phase after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Args;
use super::daemon::Daemon;
use super::feed::{Feed, ndjson};
use super::figures::{Schedule, bucket_at};
use super::machine;
use super::readers::{Readers, Received};

pub const INTERVAL: Duration = Duration::from_millis(50);
const SKEW: &str = "heartbeat_skew_seconds";
/// Observations offered: so many in each request, so often.
const BATCH: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(20);

pub fn run(args: &Args) {
    let streams = args.streams.first().copied().unwrap_or(1_000);
    println!(
        "\nHeart: a beat each {} ms; lateness in ms, from inside (upper bounds of buckets) and from the frames' times",
        INTERVAL.as_millis()
    );
    head();
    let daemon = Daemon::start(INTERVAL, args, None);
    let mut readers = Readers::new();
    readers.open(daemon.address, 1);
    readers.read_for(Duration::from_millis(200));
    // Beats with news, so that the one stream hears of each.
    let sign = Feed::start(daemon.address, ndjson(1, 1), 1, INTERVAL / 2);
    phase("idle", args, &daemon, &mut readers, Readers::read_for);

    readers.open(daemon.address, streams - 1);
    let feed = Feed::start(daemon.address, ndjson(BATCH, BATCH), BATCH as u64, PAUSE);
    readers.read_for(args.length().min(Duration::from_millis(500)));
    let before = feed.counts();
    phase(&format!("{streams} streams, 50,000 obs/s"), args, &daemon, &mut readers, Readers::read_for);
    {
        let _neighbours = Neighbours::start();
        phase("the same, and busy neighbours", args, &daemon, &mut readers, Readers::read_for);
    }
    let after = feed.counts();
    drop(feed);
    println!("    accepted {} of {} observations", after.0 - before.0, after.0 - before.0 + after.1 - before.1);
    readers.read_for(args.length().min(Duration::from_millis(500)));

    // They stay open until the phase is over: to end them is another load.
    let mut more = Vec::new();
    let connects = args.connects;
    phase(&format!("{connects} connects at once"), args, &daemon, &mut readers, |readers, length| {
        let mut crowd = Readers::new();
        crowd.open(daemon.address, connects);
        more.push(crowd);
        readers.read_for(length);
    });
    drop(sign);
}

/// The columns' heads.
pub fn head() {
    println!(
        "                                inside p50   p99 p99.9   outside p50   p99   max  missed  daemon's CPU  heart's CPU  delay p99"
    );
}

pub fn phase(
    name: &str,
    args: &Args,
    daemon: &Daemon,
    readers: &mut Readers,
    mut load: impl FnMut(&mut Readers, Duration),
) {
    readers.received = Received::default();
    let before = daemon.metrics();
    let (all, heart) = (machine::cpu_ns(daemon.pid(), None), machine::cpu_ns(daemon.pid(), Some("heart")));
    let clock = std::time::Instant::now();
    load(readers, args.length());
    let share = |cpu: u64| cpu as f64 / clock.elapsed().as_nanos() as f64 * 100.0;
    let all = share(machine::cpu_ns(daemon.pid(), None) - all);
    let heart = share(machine::cpu_ns(daemon.pid(), Some("heart")) - heart);
    let after = daemon.metrics();
    let deltas = std::mem::take(&mut readers.received).deltas;
    let schedule = Schedule::of(&deltas, INTERVAL);
    let lateness = schedule.lateness(&deltas);
    let (old, new) = (before.buckets(SKEW), after.buckets(SKEW));
    let inside = |share| bucket_at(&old, &new, share) * 1e3;
    let missed = after.value("heartbeat_missed_total") - before.value("heartbeat_missed_total");
    println!(
        "{name:<30} {:>11.2} {:>5.2} {:>5.2} {:>13.3} {:>5.2} {:>5.2} {missed:>7} {all:>11.0} % {heart:>10.1} % {:>10.2}",
        inside(0.5),
        inside(0.99),
        inside(0.999),
        lateness.at(0.5),
        lateness.at(0.99),
        lateness.max(),
        schedule.delays(&deltas).at(0.99),
    );
}

/// Threads that never rest, as many as there are CPUs.
struct Neighbours(Arc<AtomicBool>);

impl Neighbours {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(stop)
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
