use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::{fixture_path, lines, report, report_on, run};

#[test]
fn bad_lines_are_reported_and_skipped() {
    let good = r#"{"agent":"a","kind":"thought","text":"x"}"#;
    let bad = [
        "not json at all",
        r#"{"agent":"a","kind":"dance"}"#,
        r#"{"kind":"thought"}"#,
        r#"{"agent":"two words","kind":"thought"}"#,
        r#"{"agent":"a","kind":"claim","claim_id":"c","confidence":1.5}"#,
        r#"{"agent":"a","kind":"claim","claim_id":"c","confidence":NaN}"#,
        r#"{"agent":"a","kind":"thought","at":"yesterday"}"#,
        "[1, 2",
        "\u{0}\u{1}",
        "42",
    ];
    let recording = format!("{good}\n{}\n\n{good}\n", bad.join("\n"));
    let report = report(&recording);
    assert_eq!(report["observations"], 2);
    let rejected = report["rejected"].as_array().unwrap();
    let at: Vec<u64> = rejected.iter().map(|rejected| rejected["line"].as_u64().unwrap()).collect();
    assert_eq!(at, (2..12).collect::<Vec<u64>>());
    for rejected in rejected {
        let error = rejected["error"].as_str().unwrap();
        assert!(!error.is_empty() && !error.contains("dance") && !error.contains("yesterday"), "{error}");
    }
}

#[test]
fn nothing_readable_is_wrong_usage() {
    for input in ["", "\n\n", "nonsense\n", "{\"agent\":\"a\"}\n"] {
        let output = run(input, &["--json", "-"]);
        assert_eq!(output.status.code(), Some(2), "{input:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    let missing = run("", &["/nonexistent/recording.ndjson"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nonexistent/recording.ndjson"));
    assert_eq!(run("", &[]).status.code(), Some(2), "a file is required");
}

#[test]
fn without_a_time_each_is_a_millisecond_after_the_one_before() {
    let start = "2025-11-23T23:54:08.000Z";
    let first = json!({"kind": "result", "tool": "t", "ok": false, "error": "503", "at": start});
    let rest = (0..350).map(|_| json!({"kind": "result", "tool": "t", "ok": false, "error": "503"}));
    let report = report_on(std::iter::once(first).chain(rest));
    let blocked = &report["insights"][0];
    assert_eq!((&blocked["kind"], &blocked["since"]), (&json!("blocked"), &json!("2025-11-23T23:54:08.100Z")));
    assert_eq!(report["agents"]["a"]["cadence"]["quiet_s"], 0.0);
}

#[test]
fn several_files_are_merged_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let step = |i: u64, kind: Value| {
        let mut line = kind;
        line["at"] = ((1_750_000_000 + i) * 1_000_000_000).into();
        line
    };
    // The actions in one file, their results in another.
    let actions = (0..4).map(|i| step(2 * i, json!({"kind": "action", "tool": "ls", "arguments": {}, "call_id": i})));
    let results = (0..4).map(|i| step(2 * i + 1, json!({"kind": "result", "call_id": i, "ok": true, "text": "x"})));
    let (one, two) = (folder.path().join("one.ndjson"), folder.path().join("two.ndjson"));
    fs::write(&one, lines("a", actions)).unwrap();
    fs::write(&two, format!("broken\n{}", lines("a", results))).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_consciousness-system"))
        .args(["analyze", "--json"])
        .args([&two, &one])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["observations"], 8);
    assert_eq!(report["agents"]["a"]["stuck"][0]["observation"], 8);
    assert_eq!(report["rejected"][0]["line"], 1);
    assert_eq!(report["rejected"][0]["file"], two.display().to_string());
}

#[test]
fn requests_of_opentelemetry_exporters_are_read_too() {
    let request = fs::read_to_string(fixture_path("otlp/node-v1_traces.json")).unwrap();
    let line = serde_json::from_str::<Value>(&request).unwrap().to_string();
    let native = r#"{"agent":"native","kind":"thought","at":"2020-01-01T00:00:00Z"}"#;
    let report = report(&format!("{native}\n{line}\n"));
    assert_eq!(report["rejected"], json!([]));
    let agents = report["agents"].as_object().unwrap();
    assert!(agents.len() == 2 && agents.contains_key("native"), "{agents:?}");
    assert!(report["observations"].as_u64().unwrap() > 2);
    assert!(!report.to_string().contains("SECRET-CANARY"));
}

#[test]
fn the_same_id_counts_once_and_texts_stay_private() {
    let line = |i: u64| json!({"kind": "thought", "text": "SECRET-CANARY", "id": i});
    let report = report_on((0..10).chain(0..10).map(line));
    assert_eq!((&report["observations"], &report["duplicates"]), (&json!(10), &json!(10)));
    assert_eq!(report["agents"]["a"]["observations"], 10);
    let table = run(&lines("a", (0..10).map(line)), &["-"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("10 observations of 1 agents") && !table.contains("SECRET-CANARY"), "{table}");
}

#[test]
fn settings_come_from_the_environment_and_a_file() {
    let claims: Vec<Value> =
        (0..300).map(|i| json!({"kind": "claim", "claim_id": i, "confidence": 0.5, "correct": i % 2 == 0})).collect();
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    fs::write(file.path(), "[analysis.calibration]\nwindow = 100\n").unwrap();
    let output = run(&lines("a", claims), &["--json", "--config", file.path().to_str().unwrap(), "-"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["agents"]["a"]["calibration"]["n"], 100);
}
