//! The heart beside a Redis that fails: well, a black hole (SIGSTOP: it accepts and does not answer), back, gone. One
//! daemon, the same load all the while, one phase after the other.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Args;
use super::daemon::{Daemon, Setting};
use super::feed::{Feed, ndjson};
use super::heart::{self, INTERVAL};
use super::readers::Readers;

/// Observations offered: so many in each request, of as many agents, so often.
const BATCH: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(100);

pub fn run(args: &Args) {
    println!(
        "\nHeart beside a failing Redis: a beat each {} ms, 10,000 observations/s of 1,000 agents",
        INTERVAL.as_millis()
    );
    heart::head();
    let mut redis = Redis::start();
    let daemon = Daemon::start(INTERVAL, &redis.stored(args), None);
    let mut readers = Readers::new();
    readers.open(daemon.address, 1);
    let feed = Feed::start(daemon.address, ndjson(BATCH, BATCH), BATCH as u64, PAUSE);
    readers.read_for(Duration::from_millis(500));
    heart::phase("Redis is well", args, &daemon, &mut readers, Readers::read_for);
    redis.signal("STOP");
    heart::phase("it accepts and never answers", args, &daemon, &mut readers, Readers::read_for);
    redis.signal("CONT");
    heart::phase("it is back", args, &daemon, &mut readers, Readers::read_for);
    redis.stop();
    heart::phase("it is gone", args, &daemon, &mut readers, Readers::read_for);
    let metrics = daemon.metrics();
    println!(
        "    writes to the store: {}; times its breaker opened: {}",
        metrics.value("store_writes_total"),
        metrics.value("circuit_breaker_open_total")
    );
    drop(feed);
}

/// A `redis-server` of this program's own, on a free port and in a directory of its own.
pub struct Redis {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Redis {
    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(directory.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().expect("redis-server starts (Debian: redis-server)");
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, port, _directory: directory }
    }

    /// The same, with this as the daemon's store.
    pub fn stored(&self, args: &Args) -> Args {
        let mut args = args.clone();
        args.settings.push(Setting { key: "redis.url".into(), value: format!("redis://127.0.0.1:{}/0", self.port) });
        args
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(kill.expect("kill runs").success());
    }

    fn stop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}
