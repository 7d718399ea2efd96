//! `probe`: asks a running daemon whether it is well, for health checks where there is no shell and no `curl`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::{Failure, cause, runtime};
use crate::config::Config;
use crate::setting::duration;

/// What can be given on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Ask whether it takes traffic (/readyz), too; else whether it lives (/livez)
    #[arg(long)]
    pub ready: bool,
    /// The daemon's URL; else the configured `server.listen`, on this machine
    #[arg(long)]
    pub url: Option<String>,
    /// Longest time for an answer, as in 500ms
    #[arg(long, default_value = "3s", value_parser = |text: &str| duration::parse(text).ok_or(duration::EXPECTED))]
    pub timeout: Duration,
    /// Configuration file (TOML); CONSCIOUSNESS__SECTION__KEY variables win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Asks, and fails unless all is well.
///
/// # Errors
/// With exit code 2 when the configuration or the URL is wrong; with 1 when the daemon does not answer, or is not well.
pub fn run(args: &Args, env: impl IntoIterator<Item = (String, String)>) -> Result<(), Failure> {
    let (base, own) = match &args.url {
        Some(url) => (url.trim_end_matches('/').to_owned(), false),
        None => {
            let server = Config::load(args.config.as_deref(), env).map_err(Failure::usage)?.server;
            (format!("{}://{}", if server.tls() { "https" } else { "http" }, reachable(server.listen)), true)
        }
    };
    let url = format!("{base}{}", if args.ready { "/readyz" } else { "/livez" });
    let url: reqwest::Url = url.parse().map_err(|_| Failure::usage("--url: must be like http://127.0.0.1:8080"))?;
    // Never by way of a proxy that the environment names: it is this machine that is asked.
    let client = reqwest::Client::builder().no_proxy().timeout(args.timeout);
    // A certificate is for the name that clients use, which this machine's own address is not; nothing secret is sent.
    let client = client.tls_danger_accept_invalid_certs(own).build().map_err(Failure::run)?;
    runtime()?.block_on(async {
        let answer = client.get(url).send().await;
        let answer = answer.map_err(|error| Failure::run(format!("the daemon does not answer: {}", cause(&error))))?;
        if answer.status().is_success() {
            return Ok(());
        }
        let status = answer.status();
        let body: Value = answer.json().await.unwrap_or_default();
        Err(Failure::run(format!("the daemon answers {}: {}", status.as_u16(), failing(&body))))
    })
}

/// The address at which a listener of this machine can be reached from it.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The checks that fail, with their reasons.
fn failing(body: &Value) -> String {
    let checks = body["checks"].as_object().into_iter().flatten();
    let failing: Vec<String> = checks
        .filter(|(_, check)| check["ok"] == false)
        .map(|(name, check)| format!("{name}: {}", check["reason"].as_str().unwrap_or("fails")))
        .collect();
    if failing.is_empty() { "and does not say why".to_owned() } else { failing.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_all_addresses_is_asked_on_this_machine() {
        let asked = |listen: &str| reachable(listen.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(asked("[::]:8080"), "[::1]:8080");
        assert_eq!(asked("10.1.2.3:9"), "10.1.2.3:9");
    }

    #[test]
    fn what_fails_is_named() {
        let body = serde_json::json!({"checks": {"heart": {"ok": false, "reason": "stopped"}, "phase": {"ok": true}}});
        assert_eq!(failing(&body), "heart: stopped");
        assert_eq!(failing(&Value::Null), "and does not say why");
    }
}
