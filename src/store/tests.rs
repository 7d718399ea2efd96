//! The same suite for Redis and for memory.

mod backends;
mod handing;
mod loading;
mod split;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::*;
use crate::analyze::vitals::{ClientFacts, Pulse, StoreFacts};
use crate::domain::{AgentId, Kind, Observation, SessionKey, Source as Origin, Text};
use crate::engine::{self, Document, Engine, Reading, Split};
use crate::link::Config;
use crate::setting::SecretUrl;

const INTERVAL: Duration = Duration::from_millis(100);

/// A Redis of a test's own, on a socket in its own directory.
struct Server {
    child: Child,
    directory: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket", "socket", "--dir"])
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server runs");
        Self { child, directory }
    }

    fn config(&self) -> Config {
        let socket = self.directory.path().join("socket");
        Config { url: SecretUrl::new(format!("redis+unix://{}", socket.display())), ..Config::default() }
    }

    async fn backend(&self) -> Backend {
        let config = self.config();
        let link = Endpoint::new(&config).unwrap().link_within(Duration::from_secs(5));
        let mut backend = Backend::Redis(Box::new(Remote::new(link)));
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        for _ in 0..1000 {
            pace.tick().await;
            if backend.counter().await.is_ok() {
                return backend;
            }
        }
        panic!("redis-server does not answer");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn store_on(backend: Backend) -> Store {
    let metrics = Metrics::new().unwrap();
    let mut store = Store::new(None, &SnapshotConfig::default(), metrics.clone(), || at(60_000), 1);
    store.facts = Facts::new(true, metrics);
    store.backend = backend;
    store
}

/// Runs a check on either place.
async fn both(check: impl AsyncFn(Backend)) {
    check(Backend::Memory(Shelf::default())).await;
    let server = Server::start();
    check(server.backend().await).await;
}

fn sorted(mut document: Document) -> Document {
    document.agents.sort_by(|(a, _), (b, _)| a.cmp(b));
    document
}

pub(super) fn at(ms: i64) -> Timestamp {
    Timestamp::from_nanos((1_763_942_048_000 + ms) * 1_000_000)
}

fn pulse() -> Pulse {
    Pulse {
        interval: INTERVAL,
        lateness: Duration::ZERO,
        missed: 0,
        analysis: None,
        backlog: 0,
        store: StoreFacts::MEMORY_ONLY,
        clients: ClientFacts::default(),
    }
}

pub(super) fn thought(agent: u8, text: &str) -> Observation {
    Observation {
        agent: AgentId::fitted(&format!("agent-{agent}")),
        session: SessionKey::default(),
        id: None,
        at: at(0),
        source: Origin::Native,
        kind: Kind::Thought { text: Some(Text::new(text)) },
    }
}

/// The state of so many beats, as a process of this epoch leaves it.
fn document(epoch: u64, beats: u64) -> Document {
    let mut engine = Engine::new(engine::Config::default(), epoch);
    for beat in 0..beats {
        engine.beat(at(beat as i64 * 100), &[thought((beat % 3) as u8, "one")], &pulse());
    }
    Document::of(&engine)
}
