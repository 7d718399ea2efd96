//! The scripts in a real Redis.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis::aio::MultiplexedConnection;

use super::model::Model;
use crate::cluster::{Answer, Ask, Registrar};
use crate::link::{Config, Endpoint};
use crate::sanitize::Position;
use crate::setting::SecretUrl;

/// A lease that does not end while a test runs.
const LIFE: Duration = Duration::from_secs(600);

/// A Redis of a test's own, on a socket in its own directory.
struct Server {
    child: Child,
    directory: tempfile::TempDir,
}

impl Server {
    async fn start() -> (Self, MultiplexedConnection) {
        let directory = tempfile::tempdir().unwrap();
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket", "socket", "--dir"])
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server runs");
        let server = Self { child, directory };
        let client = redis::Client::open(server.url()).unwrap();
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        for _ in 0..1000 {
            pace.tick().await;
            if let Ok(connection) = client.get_multiplexed_async_connection().await {
                return (server, connection);
            }
        }
        panic!("redis-server does not answer");
    }

    fn url(&self) -> String {
        format!("redis+unix://{}", self.directory.path().join("socket").display())
    }

    fn registrar(&self, instance: &str, nonce: u64, life: Duration) -> Registrar {
        let config = Config { url: SecretUrl::new(self.url()), ..Config::default() };
        let link = Endpoint::new(&config).unwrap().link_within(Duration::from_secs(10));
        Registrar::new(link, instance, nonce, life)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn run<T: redis::FromRedisValue>(connection: &mut MultiplexedConnection, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(connection).await.unwrap()
}

/// The time that is left is of no account.
fn timeless(answer: Answer) -> Answer {
    match answer {
        Answer::Held { by, .. } => Answer::Held { by, left: Duration::ZERO },
        other => other,
    }
}

#[tokio::test]
async fn the_model_does_what_the_scripts_do() {
    let (server, mut connection) = Server::start().await;
    let names = [("a", 1), ("b", 2), ("a", 3)];
    let mut pods = names.map(|(instance, nonce)| server.registrar(instance, nonce, LIFE));
    let mut model = Model::default();
    let mut random = StdRng::seed_from_u64(1);
    for step in 0..3000 {
        let pod = random.random_range(0..pods.len());
        let (attempt, epoch) = (random.random_range(1..6), random.random_range(0..step / 20 + 3));
        let ask = match random.random_range(0..12) {
            0..=2 => Ask::Acquire { attempt, known: epoch },
            3..=5 => Ask::Renew { attempt, epoch: if random.random() { epoch } else { u64::MAX >> 12 } },
            6..=7 => Ask::Release { attempt },
            8..=9 => Ask::Look,
            10 => {
                let () = run(&mut connection, &["DEL", "meta:leader"]).await;
                model.expire();
                continue;
            }
            _ => {
                let beat = Position { epoch, beat: random.random_range(0..100) };
                let document = format!(r#"{{"schema":1,"epoch":{},"beat":{},"at":"…"}}"#, beat.epoch, beat.beat);
                let () = run(&mut connection, &["SET", "meta:latest", &document]).await;
                model.stored = Some(beat);
                continue;
            }
        };
        // An epoch from nowhere would end all counting.
        let ask = match ask {
            Ask::Renew { attempt, epoch } if epoch > 1 << 40 => Ask::Renew { attempt, epoch: model.counter() },
            ask => ask,
        };
        let process = format!("{} {:016x}", names[pod].0, names[pod].1);
        let told = timeless(pods[pod].ask(ask).await.unwrap());
        let expected = timeless(model.carry_out(Duration::ZERO, LIFE, &process, ask));
        assert_eq!(told, expected, "step {step}: {process} asks {ask:?}");
        let counter: Option<u64> = run(&mut connection, &["GET", "meta:epoch"]).await;
        assert_eq!(counter.unwrap_or(0), model.counter(), "step {step}");
        let exists: bool = run(&mut connection, &["EXISTS", "meta:leader"]).await;
        assert_eq!(exists, !model.is_free(), "step {step}");
    }
    assert!(model.counter() > 100, "leases were taken: {model:?}");
}

#[tokio::test]
async fn a_lease_ends_when_its_life_does_and_not_before() {
    let (server, mut connection) = Server::start().await;
    let mut first = server.registrar("first", 1, Duration::from_millis(250));
    let mut second = server.registrar("second", 2, Duration::from_millis(250));
    assert_eq!(first.ask(Ask::Acquire { attempt: 1, known: 41 }).await, Ok(Answer::Granted { epoch: 42 }));
    let lease: String = run(&mut connection, &["GET", "meta:leader"]).await;
    assert_eq!(lease, "first 0000000000000001 1");
    let mut waited = Duration::ZERO;
    loop {
        match second.ask(Ask::Acquire { attempt: 1, known: 0 }).await.unwrap() {
            Answer::Held { by, left } => {
                assert!(by == "first" && left <= Duration::from_millis(250), "{by}, {left:?}");
                waited += left;
                tokio::time::sleep(left + Duration::from_millis(2)).await;
            }
            answer => {
                assert_eq!(answer, Answer::Granted { epoch: 43 });
                break;
            }
        }
    }
    assert!(waited > Duration::from_millis(1));
    assert_eq!(first.ask(Ask::Renew { attempt: 1, epoch: 42 }).await, Ok(Answer::Gone));
    assert_eq!(first.ask(Ask::Release { attempt: 1 }).await, Ok(Answer::Released));
    assert_eq!(second.ask(Ask::Look).await, Ok(Answer::Own));
}

#[tokio::test]
async fn a_release_is_told_to_those_who_wait() {
    let (server, mut connection) = Server::start().await;
    let mut pod = server.registrar("pod", 1, LIFE);
    assert_eq!(pod.ask(Ask::Acquire { attempt: 1, known: 0 }).await, Ok(Answer::Granted { epoch: 1 }));
    assert_eq!(pod.ask(Ask::Release { attempt: 1 }).await, Ok(Answer::Released));
    assert_eq!(pod.ask(Ask::Release { attempt: 1 }).await, Ok(Answer::Released));
    let told: Vec<(String, Vec<String>)> = run(&mut connection, &["XRANGE", "meta:frames", "-", "+"]).await;
    let told: Vec<_> = told.into_iter().map(|(_, fields)| fields).collect();
    assert_eq!(told, [["released", "pod"]]);

    // Even where it cannot be told.
    let () = run(&mut connection, &["SET", "meta:frames", "not a stream"]).await;
    assert_eq!(pod.ask(Ask::Acquire { attempt: 2, known: 0 }).await, Ok(Answer::Granted { epoch: 2 }));
    assert_eq!(pod.ask(Ask::Release { attempt: 2 }).await, Ok(Answer::Released));
    assert_eq!(pod.ask(Ask::Look).await, Ok(Answer::Free { stored: None }));
}

#[tokio::test]
async fn what_is_no_lease_and_no_counter_stops_nothing() {
    let (server, mut connection) = Server::start().await;
    let mut pod = server.registrar("pod", 1, LIFE);
    let set: [&[&str]; 4] = [
        &["RPUSH", "meta:leader", "a", "list"],
        &["SET", "meta:leader", "for ever 1"],
        &["SET", "meta:epoch", "many"],
        &["RPUSH", "meta:epoch", "a list"],
    ];
    for (attempt, words) in (1..).zip(set) {
        let () = run(&mut connection, &["DEL", words[1]]).await;
        let () = run(&mut connection, words).await;
        let known = attempt * 10;
        let told = pod.ask(Ask::Acquire { attempt, known }).await;
        assert_eq!(told, Ok(Answer::Granted { epoch: known + 1 }), "{words:?}");
    }
    // A text that ends, whoever wrote it, is a lease.
    let () = run(&mut connection, &["SET", "meta:leader", "somebody", "PX", "60000"]).await;
    let told = timeless(pod.ask(Ask::Acquire { attempt: 9, known: 0 }).await.unwrap());
    assert_eq!(told, Answer::Held { by: "somebody".to_owned(), left: Duration::ZERO });
}
