//! The daemon under load.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::Args;
use super::feed::Http;
use super::machine;

const SECRET: &str = "a-secret-for-load-of-32-bytes-or-more";

/// One configuration key and its value.
#[derive(Debug, Clone)]
pub struct Setting {
    pub key: String,
    pub value: String,
}

impl FromStr for Setting {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, value) = text.split_once('=').ok_or("KEY=VALUE is wanted")?;
        Ok(Self { key: key.into(), value: value.into() })
    }
}

/// A daemon process, ended when dropped.
pub struct Daemon {
    pub address: SocketAddr,
    child: Child,
}

impl Daemon {
    /// Starts `serve` with the defaults, but for what the arguments set, and waits until it is ready.
    pub fn start(interval: Duration, args: &Args, cpu: Option<&str>) -> Self {
        let mut command = machine::command(program(args), cpu);
        command.arg("serve").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut set = |key: &str, value: &str| {
            command.env(format!("CONSCIOUSNESS__{}", key.replace('.', "__").to_uppercase()), value);
        };
        set("server.listen", "127.0.0.1:0");
        set("auth.secret", SECRET);
        set("log.format", "json");
        set("heart.interval", &format!("{}ms", interval.as_millis()));
        args.settings.iter().for_each(|setting| set(&setting.key, &setting.value));
        if args.small_pages {
            command.env("MIMALLOC_ALLOW_THP", "0");
        }
        let mut child = command.spawn().expect("the daemon starts");
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the daemon ended at its start");
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["message"] == "listening" {
                break event["address"].as_str().unwrap().parse().unwrap();
            }
        };
        // What else it logs is read on, so that the pipe is never full.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let daemon = Self { address, child };
        let deadline = Instant::now() + Duration::from_secs(10);
        while Http::connect(address).get("/readyz", "").0 != 200 {
            assert!(Instant::now() < deadline, "the daemon is not ready");
            std::thread::sleep(Duration::from_millis(1));
        }
        daemon
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A scrape.
    pub fn metrics(&self) -> Metrics {
        let (status, text) = Http::connect(self.address).get("/metrics", &token("prometheus", "metrics.read"));
        assert_eq!(status, 200, "{text}");
        Metrics(text)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is measured.
pub fn program(args: &Args) -> &Path {
    args.daemon.as_deref().unwrap_or(Path::new(env!("CARGO_BIN_EXE_consciousness-system")))
}

/// A fresh token of an hour.
pub fn token(subject: &str, scope: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let jti = format!("{:032x}", rand::random::<u128>());
    let claims = json!({"sub": subject, "scope": scope, "exp": now + 3_600, "jti": jti});
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// A scrape's text.
pub struct Metrics(String);

impl Metrics {
    /// A metric's value, all its labels together.
    pub fn value(&self, name: &str) -> f64 {
        let lines = self.0.lines().filter_map(|line| line.strip_prefix(name));
        let of_it = lines.filter(|rest| rest.starts_with([' ', '{']));
        of_it.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// A histogram's upper bounds and how many were at or below each.
    pub fn buckets(&self, name: &str) -> Vec<(f64, f64)> {
        let prefix = format!("{name}_bucket{{le=\"");
        let lines = self.0.lines().filter_map(|line| line.strip_prefix(&prefix)?.split_once("\"} "));
        lines.map(|(bound, count)| (bound.parse().unwrap_or(f64::INFINITY), count.parse().unwrap())).collect()
    }
}
