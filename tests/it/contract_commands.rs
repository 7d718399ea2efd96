//! The commands, from a shell.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::{Daemon, SECRET, token};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consciousness-system"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONSCIOUSNESS")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command line with variables and something on its standard input.
fn run(arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Output {
    let mut command = program();
    command.args(arguments).envs(variables.iter().copied());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // A command that has failed already reads nothing.
    let _ = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

fn inflated(path: &str) -> String {
    let mut text = String::new();
    let file = std::fs::File::open(fixture(path)).expect("the fixture is there");
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("it is gzipped text");
    text
}

#[tokio::test]
async fn replay_sends_a_recording() {
    let daemon = Daemon::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.ndjson");
    std::fs::write(&file, inflated("stuck/airline-stuck.ndjson.gz")).unwrap();
    let url = daemon.url("");
    let replay = |token: String| {
        let (file, url) = (file.clone(), url.clone());
        let arguments =
            move || run(&["replay", file.to_str().unwrap(), "--url", &url, "--token", &token, "--speed", "0"], &[], "");
        tokio::task::spawn_blocking(arguments)
    };
    let sent = replay(token("replay", "metacog.observe")).await.unwrap();
    assert_eq!(sent.status.code(), Some(0), "{}", String::from_utf8_lossy(&sent.stderr));
    let body = daemon.state_when("the loop", |state| state["agents"]["airline-2"]["status"] == "stuck").await;
    assert_eq!(body["state"]["agents"]["airline-2"]["observations"], 61);
    let refused = replay(token("replay", "metrics.read")).await.unwrap();
    assert_eq!(refused.status.code(), Some(1), "the daemon refuses");
}

#[test]
fn wrong_usage_and_configuration_are_told_in_a_line() {
    let secret = ("CONSCIOUSNESS__AUTH__SECRET", SECRET);
    for (variables, key, source) in [
        (vec![], "auth.secret", "CONSCIOUSNESS__AUTH__SECRET"),
        (vec![("CONSCIOUSNESS__AUTH__SECRET", "SHORT-CANARY")], "auth.secret", "CONSCIOUSNESS__AUTH__SECRET"),
        (
            vec![secret, ("CONSCIOUSNESS__HEART__INTERVAL", "CANARY")],
            "heart.interval",
            "CONSCIOUSNESS__HEART__INTERVAL",
        ),
        (vec![secret, ("CONSCIOUSNESS__HEART__INTERVL", "1s")], "heart.intervl", "CONSCIOUSNESS__HEART__INTERVL"),
        (vec![secret, ("CONSCIOUSNESS__SERVER__LISTEN", "CANARY")], "server.listen", "CONSCIOUSNESS__SERVER__LISTEN"),
    ] {
        let output = run(&["serve"], &variables, "");
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(key) && told.contains(source), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(!told.contains("CANARY"), "{told}");
    }
    for arguments in [&["serve", "--config", "/nonexistent"][..], &["analyze", "/nonexistent"], &["nonsense"], &[]] {
        assert_eq!(run(arguments, &[secret], "").status.code(), Some(2), "{arguments:?}");
    }
    let shown = run(&["check-config"], &[secret], "");
    assert_eq!(shown.status.code(), Some(0));
    assert!(!String::from_utf8(shown.stdout).unwrap().contains(SECRET));
}

#[test]
fn token_prints_a_token_alone() {
    let arguments = ["token", "--sub", "me", "--scope", "metacog.stream metrics.read", "--ttl", "1h", "--aud", "here"];
    let output = run(&arguments, &[("CONSCIOUSNESS__AUTH__SECRET", SECRET)], "");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let token = text.strip_suffix('\n').expect("a line");
    let key = jsonwebtoken::DecodingKey::from_secret(SECRET.as_bytes());
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.set_audience(&["here"]);
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).expect("it is signed with the key").claims;
    assert_eq!((&claims["sub"], &claims["scope"]), (&json!("me"), &json!("metacog.stream metrics.read")));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
    assert!(claims["jti"].is_string());
}

/// All recorded cases as sessions of one agent: the report names each one's first detection, and no other session.
#[test]
fn analyze_finds_every_recorded_loop() {
    let named = std::fs::read_to_string(fixture("stuck/named.jsonl")).unwrap();
    let cases = named + &inflated("stuck/random.jsonl.gz");
    let cases: Vec<Value> = cases.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(cases.len() > 300);
    let mut recording = String::new();
    for (number, case) in cases.iter().enumerate() {
        for observation in case["observations"].as_array().unwrap() {
            let mut observation = observation.clone();
            observation["agent"] = json!("one");
            observation["session"] = json!(number.to_string());
            recording += &format!("{observation}\n");
        }
    }
    let output = run(&["analyze", "--json", "-"], &[], &recording);
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let episodes = report["agents"]["one"]["stuck"].as_array().unwrap();
    for (number, case) in cases.iter().enumerate() {
        let session = number.to_string();
        let first = episodes.iter().filter(|episode| episode["session"] == *session);
        let first = first.min_by_key(|episode| episode["observation"].as_u64());
        let found = first.map(|episode| json!({"pattern": episode["pattern"], "observation": episode["observation"]}));
        assert_eq!(found.unwrap_or_default(), case["expected"], "{}", case["name"]);
    }
    let failing = run(&["analyze", "--fail-on", "stuck", "-"], &[], &recording);
    assert_eq!(failing.status.code(), Some(1));
    assert_eq!(run(&["analyze", "--json", "-"], &[], "not an observation\n").status.code(), Some(2));
}
