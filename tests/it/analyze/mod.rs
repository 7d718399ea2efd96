//! `analyze` as its users have it: a process, files, exit codes.

mod figures;
mod html;
mod lines;
mod loops;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// Runs `analyze` on the standard input.
fn run(input: &str, arguments: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_consciousness-system"))
        .arg("analyze")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    let writer = std::thread::spawn(move || {
        // One that fails before it has read all closes its end.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// The report on a recording from the standard input.
fn report(input: &str) -> Value {
    let output = run(input, &["--json", "-"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The report on observations of agent `a`.
fn report_on(observations: impl IntoIterator<Item = Value>) -> Value {
    report(&lines("a", observations))
}

fn lines(agent: &str, observations: impl IntoIterator<Item = Value>) -> String {
    let line = |mut observation: Value| {
        observation["agent"] = agent.into();
        format!("{observation}\n")
    };
    observations.into_iter().map(line).collect()
}

fn fixture(name: &str) -> String {
    let path = fixture_path(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut text = String::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        text
    } else {
        String::from_utf8(bytes).unwrap()
    }
}

fn fixture_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Kinds of the insights of a report, with agents.
fn raised(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let insights = report["insights"].as_array().unwrap();
    insights.iter().map(|insight| (text(&insight["agent"]), text(&insight["kind"]))).collect()
}

/// A result of agent `a` that took so long.
fn took(ms: f64) -> Value {
    json!({"kind": "result", "tool": "search", "ok": true, "duration_ms": ms})
}
