//! CPU and delay of a frame to each of many streams, against the floor.

use std::time::{Duration, Instant};

use super::Args;
use super::daemon::Daemon;
use super::feed::{Feed, ndjson};
use super::figures::Schedule;
use super::floor::Floor;
use super::machine;
use super::readers::{Readers, Received};

/// One measurement of a server.
struct Figures {
    us_per_frame: f64,
    /// The same without what the server does where it has no streams: the heart, and ingest.
    alone: f64,
    frames_per_second: f64,
    bytes: f64,
    p50: f64,
    p99: f64,
    max: f64,
    resident_kib: f64,
    notes: String,
}

pub fn run(args: &Args) {
    let cpu = pin(args);
    let place = if cpu.is_some() { "server on CPU 0, clients on CPU 1" } else { "not pinned" };
    for &streams in &args.streams {
        for &agents in &args.agents {
            println!(
                "\nFan-out: {streams} streams, a beat each {} ms, {agents} agents change at each; {place}",
                args.interval
            );
            println!("         us CPU/frame  frames/s  bytes  delay p50 ms     p99     max  KiB/stream");
            let (mut best, mut floor): (Option<Figures>, Option<Figures>) = (None, None);
            let (mut ratios, mut alone, mut delays) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..args.rounds.max(1) {
                let ours = daemon(args, streams, agents, cpu);
                ours.print("daemon");
                let least = bare(args, streams, ours.bytes.round() as usize, cpu);
                least.print("floor");
                ratios.push(ours.us_per_frame / least.us_per_frame);
                alone.push(ours.alone / least.us_per_frame);
                delays.push(ours.p99 / least.p99);
                best = Some(ours.better(best));
                floor = Some(least.better(floor));
            }
            let (Some(best), Some(floor)) = (best, floor) else { continue };
            println!(
                "best of {}: {:.2} us against {:.2}: {:.2} x the floor, by round {}; the fan-out alone {}; p99 delay {}",
                args.rounds,
                best.us_per_frame,
                floor.us_per_frame,
                best.us_per_frame / floor.us_per_frame,
                in_order(ratios),
                in_order(alone),
                in_order(delays),
            );
        }
    }
    if cpu.is_some() {
        machine::pin_this_thread(&machine::all_cpus());
    }
}

/// Microseconds of CPU that a frame takes of the daemon and of the floor, measured once.
pub fn once(args: &Args, streams: usize, agents: usize) -> (f64, f64) {
    let cpu = pin(args);
    let ours = daemon(args, streams, agents, cpu);
    let least = bare(args, streams, ours.bytes.round() as usize, cpu);
    if cpu.is_some() {
        machine::pin_this_thread(&machine::all_cpus());
    }
    (ours.us_per_frame, least.us_per_frame)
}

/// Where servers are to run; clients are on the other CPU then.
fn pin(args: &Args) -> Option<&'static str> {
    let pinned = !args.unpinned && std::thread::available_parallelism().is_ok_and(|cores| cores.get() >= 2);
    if pinned {
        machine::pin_this_thread("1");
    }
    pinned.then_some("0")
}

fn in_order(mut ratios: Vec<f64>) -> String {
    ratios.sort_by(f64::total_cmp);
    ratios.iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(" ")
}

fn daemon(args: &Args, streams: usize, agents: usize, cpu: Option<&str>) -> Figures {
    let interval = Duration::from_millis(args.interval);
    let daemon = Daemon::start(interval, args, cpu);
    // Twice a beat, so that no beat goes without.
    let each = 3 * agents;
    let _feed = Feed::start(daemon.address, ndjson(each, agents), each as u64, interval / 2);
    std::thread::sleep(interval * 10);
    let (cpu, clock) = (machine::cpu_ns(daemon.pid(), None), Instant::now());
    std::thread::sleep(args.length() / 3);
    let besides = (machine::cpu_ns(daemon.pid(), None) - cpu) as f64 / clock.elapsed().as_secs_f64();
    let resident = machine::resident_kib(daemon.pid());
    let mut readers = Readers::new();
    readers.open(daemon.address, streams);
    readers.read_for(settling(args));
    let before = daemon.metrics();
    let mut figures = measure(&mut readers, daemon.pid(), args);
    let after = daemon.metrics();
    let more = |name| after.value(name) - before.value(name);
    figures.resident_kib = machine::resident_kib(daemon.pid()).saturating_sub(resident) as f64 / streams as f64;
    figures.alone -= besides / 1e3 / figures.frames_per_second;
    figures.notes += &format!(
        "  without streams {:.0} ms CPU/s  merged {} dropped {} missed beats {}",
        besides / 1e6,
        more("ws_frames_merged_total"),
        more("ws_backpressure_drops_total"),
        more("heartbeat_missed_total")
    );
    figures
}

fn bare(args: &Args, streams: usize, bytes: usize, cpu: Option<&str>) -> Figures {
    let floor = Floor::start(streams, bytes, Duration::from_millis(args.interval), cpu);
    let mut readers = Readers::new();
    readers.open_plain(floor.address, streams);
    readers.read_for(settling(args));
    measure(&mut readers, floor.pid(), args)
}

/// Streams begin with two frames beside the beat, and in their first second merge a beat or two for it.
fn settling(args: &Args) -> Duration {
    (args.length() / 3).max(Duration::from_millis(1_200).min(args.length()))
}

fn measure(readers: &mut Readers, pid: u32, args: &Args) -> Figures {
    readers.received = Received::default();
    let (cpu, clock) = (machine::cpu_ns(pid, None), Instant::now());
    readers.read_for(args.length());
    let (cpu, clock) = (machine::cpu_ns(pid, None) - cpu, clock.elapsed());
    let received = std::mem::take(&mut readers.received);
    let frames = received.deltas.len() as f64;
    let delays = Schedule::of(&received.deltas, Duration::from_millis(args.interval)).delays(&received.deltas);
    let mut notes = String::new();
    if received.states + received.closed > 0 {
        notes = format!("  states {} closed {}", received.states, received.closed);
    }
    Figures {
        us_per_frame: cpu as f64 / 1e3 / frames,
        alone: cpu as f64 / 1e3 / frames,
        frames_per_second: frames / clock.as_secs_f64(),
        bytes: received.bytes as f64 / frames,
        p50: delays.at(0.5),
        p99: delays.at(0.99),
        max: delays.max(),
        resident_kib: 0.0,
        notes,
    }
}

impl Figures {
    fn better(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.us_per_frame <= self.us_per_frame => other,
            _ => self,
        }
    }

    fn print(&self, name: &str) {
        let Self { us_per_frame, frames_per_second, bytes, p50, p99, max, resident_kib, notes, .. } = self;
        println!(
            "{name:<8} {us_per_frame:>12.2} {frames_per_second:>9.0} {bytes:>6.0} {p50:>13.2} {p99:>7.2} {max:>7.2} {resident_kib:>11.1}{notes}"
        );
    }
}
