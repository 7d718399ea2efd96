//! A redis-server of a test's own, on its own port and in its own directory, ended with the test.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::wait::{LIMIT, eventually};

pub struct Redis {
    pub port: u16,
    pub directory: TempDir,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Redis {
    /// Starts a server that keeps nothing on the disk.
    pub async fn start() -> Self {
        Self::start_with(&["--save", ""]).await
    }

    /// Starts a server with these arguments and waits until it answers.
    pub async fn start_with(arguments: &[&str]) -> Self {
        let mut redis = Self::prepare(arguments);
        redis.run().await;
        redis
    }

    /// A server that is not started yet, and its port.
    pub fn prepare(arguments: &[&str]) -> Self {
        let port = free_port();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { port, directory: tempfile::tempdir().expect("a directory"), arguments, child: None }
    }

    /// Starts it, for the first time or again, and waits until it answers.
    pub async fn run(&mut self) {
        self.launch();
        self.answers().await;
    }

    /// Starts it.
    pub fn launch(&mut self) {
        let mut command = Command::new("redis-server");
        // A file of settings comes first.
        command.args(&self.arguments).arg("--port").arg(self.port.to_string()).arg("--dir").arg(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        self.child = Some(command.spawn().expect("redis-server runs"));
    }

    /// Waits until it answers.
    pub async fn answers(&self) {
        let client = self.client();
        eventually("redis to answer", || async {
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            // An answer is an answer, even that a password is needed.
            let answer: Result<String, _> = redis::cmd("PING").query_async(&mut connection).await;
            answer.is_ok_and(|pong| pong == "PONG").then_some(())
        })
        .await;
    }

    /// Ends it like `kill -9`.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.expect("redis can be killed");
        }
    }

    /// Sends a signal by name: `STOP`, `CONT`.
    pub async fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").arg(format!("-{name}")).arg(pid).status().await.expect("kill runs").success());
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).expect("redis runs")
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn client(&self) -> Client {
        Client::open(self.url()).expect("a URL")
    }

    pub async fn connection(&self) -> MultiplexedConnection {
        let patience =
            AsyncConnectionConfig::new().set_connection_timeout(Some(LIMIT)).set_response_timeout(Some(LIMIT));
        self.client().get_multiplexed_async_connection_with_config(&patience).await.expect("redis answers")
    }

    /// Runs a command given as words.
    pub async fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_command(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub async fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(*word);
        });
        command.query_async(&mut self.connection().await).await
    }

    /// `meta:latest`; null where there is none.
    pub async fn latest(&self) -> Value {
        let text: Option<String> = self.command(&["GET", "meta:latest"]).await;
        text.map_or(Value::Null, |text| serde_json::from_str(&text).expect("the stored state is JSON"))
    }

    /// Keys like this pattern, sorted.
    pub async fn keys(&self, pattern: &str) -> Vec<String> {
        let mut keys: Vec<String> = self.command(&["KEYS", pattern]).await;
        keys.sort();
        keys
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A file of the project.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
