//! A daemon process of a test's own, ended with the test.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::wait::{eventually, within};

/// The daemon's HS256 secret.
pub const SECRET: &str = "a-secret-for-tests-of-32-bytes-or-more";

/// One configuration key and its value: `("heart__interval", "50ms")`.
pub type Set<'a> = (&'a str, &'a str);

pub struct Daemon {
    pub address: SocketAddr,
    pub http: reqwest::Client,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    /// Starts `serve` on a free port and waits until it is ready.
    pub async fn start(settings: &[Set<'_>]) -> Self {
        Self::launch(serve(settings)).await
    }

    /// The same with a configuration file.
    pub async fn configured(file: &Path, settings: &[Set<'_>]) -> Self {
        let mut command = serve(settings);
        command.arg("--config").arg(file);
        Self::launch(command).await
    }

    /// Starts `serve` and waits until it listens: for one that the tests' client cannot ask whether it is ready.
    pub async fn launch_unready(settings: &[Set<'_>]) -> Self {
        Self::spawn(serve(settings)).await
    }

    /// Starts a command that logs JSON and where it listens.
    pub async fn launch(command: Command) -> Self {
        let daemon = Self::spawn(command).await;
        eventually("the daemon to be ready", || async { (daemon.get("/readyz").await.0 == 200).then_some(()) }).await;
        daemon
    }

    async fn spawn(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the daemon starts");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().unwrap().push(line);
            }
        });
        let listening = || async {
            let lines = log.lock().unwrap();
            lines.iter().find_map(|line| {
                let event: Value = serde_json::from_str(line).ok()?;
                (event["message"] == "listening").then(|| event["address"].as_str()?.parse().ok()).flatten()
            })
        };
        let address = eventually("the daemon to listen", listening).await;
        // An error means that another test did it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { address, http: reqwest::Client::new(), child, log }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("the daemon runs")
    }

    /// Sends a signal by name: `TERM`, `STOP`.
    pub async fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().await;
        assert!(status.expect("kill runs").success());
    }

    /// Waits for the process to end; its exit code.
    pub async fn exit(&mut self) -> Option<i32> {
        within("the daemon to exit", self.child.wait()).await.expect("the daemon can be waited for").code()
    }

    /// A GET without credentials: status and JSON body (null when it is none).
    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(self.url(path))).await
    }

    /// A GET with a token for this scope.
    pub async fn get_as(&self, scope: &str, path: &str) -> (u16, Value) {
        answer(self.http.get(self.url(path)).bearer_auth(token("reader", scope))).await
    }

    /// Posts observations; status and JSON body.
    pub async fn observe(&self, observations: &Value) -> (u16, Value) {
        let request = self.http.post(self.url("/v1/observations")).bearer_auth(token("agent", "metacog.observe"));
        answer(request.json(observations)).await
    }

    /// The public state now.
    pub async fn state(&self) -> Value {
        let (status, body) = self.get_as("metacog.stream", "/v1/state").await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// The public state, once it is as wanted.
    pub async fn state_when(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || async { Some(self.state().await).filter(|body| wanted(&body["state"])) }).await
    }

    /// The text of a scrape.
    pub async fn metrics(&self) -> String {
        let request = self.http.get(self.url("/metrics")).bearer_auth(token("prometheus", "metrics.read"));
        request.send().await.expect("a scrape is answered").text().await.expect("a scrape is text")
    }

    /// One metric's value, by its name and labels as the text has them; zero when it is not there.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.metrics().await;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or(0.0)
    }
}

/// The binary under test.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consciousness-system"));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn serve(settings: &[Set<'_>]) -> Command {
    let mut command = binary();
    command.arg("serve").env("CONSCIOUSNESS__SERVER__LISTEN", "127.0.0.1:0");
    command.env("CONSCIOUSNESS__AUTH__SECRET", SECRET).env("CONSCIOUSNESS__LOG__FORMAT", "json");
    for (key, value) in settings {
        command.env(format!("CONSCIOUSNESS__{}", key.to_uppercase()), value);
    }
    command
}

pub async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = within("an answer", request.send()).await.expect("the daemon answers");
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or(Value::Null))
}

pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs()
}

/// A fresh token of ten minutes.
pub fn token(subject: &str, scope: &str) -> String {
    let jti = format!("{:032x}", rand::random::<u128>());
    sign(&json!({"sub": subject, "scope": scope, "exp": unix_now() + 600, "jti": jti}))
}

/// Any claims, signed with the daemon's secret.
pub fn sign(claims: &Value) -> String {
    jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes())).expect("signs")
}
