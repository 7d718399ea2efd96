//! What people look at in a browser: the page, the client library, and the curves of an agent's calibration.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::support::{Daemon, Stream, connect, token, within};

async fn curve(daemon: &Daemon, agent: &str) -> (u16, Value) {
    daemon.get_as("metacog.stream", &format!("/v1/agents/{agent}/calibration")).await
}

#[tokio::test]
async fn an_agents_claims_are_told_by_bins_of_confidence() {
    let daemon = Daemon::start(&[("analysis__calibration__window", "8")]).await;
    assert_eq!(
        curve(&daemon, "team/forecaster").await.1["type"].as_str().map(|t| t.contains("unknown-agent")),
        Some(true)
    );
    let claim = |id: u32, confidence: f64, correct: bool| json!({"agent": "team/forecaster", "kind": "claim", "claim_id": id.to_string(), "confidence": confidence, "correct": correct});
    // The first two slide out of the window of eight.
    let mut claims = vec![claim(1, 0.05, true), claim(2, 0.05, true)];
    claims.extend((3..7).map(|id| claim(id, 0.95, id != 3)));
    claims.extend((7..11).map(|id| claim(id, 0.3, id == 7)));
    claims.push(json!({"agent": "other", "kind": "thought", "text": "no claim at all"}));
    assert_eq!(daemon.observe(&Value::Array(claims)).await.0, 202);
    let mut stream: Stream = connect(&daemon, &token("dashboard", "metacog.stream")).await;
    stream.until("the claims", |state| state["agents"]["team/forecaster"]["calibration"]["n"] == 8).await;
    let (status, told) = curve(&daemon, "team/forecaster").await;
    assert_eq!((status, &told["n"], told["bins"].as_array().map(Vec::len)), (200, &json!(8), Some(10)), "{told}");
    assert!(told["beat"].as_u64() >= Some(stream.beat.min(1)) && told["epoch"] == stream.epoch);
    assert_eq!(
        told["bins"][3],
        json!({"low": 0.3, "high": 0.4, "n": 4, "right": 1, "confidence": 0.3, "accuracy": 0.25})
    );
    assert_eq!(
        told["bins"][9],
        json!({"low": 0.9, "high": 1.0, "n": 4, "right": 3, "confidence": 0.95, "accuracy": 0.75})
    );
    assert_eq!(told["bins"][0], json!({"low": 0.0, "high": 0.1, "n": 0, "right": 0}));
    assert_eq!(told["roc"][0], json!({"threshold": 0.9, "false_alarm_rate": 0.25, "hit_rate": 0.75}));
    assert_eq!(told["roc"][9], json!({"threshold": 0.0, "false_alarm_rate": 1.0, "hit_rate": 1.0}));
    // The encoded slash is the same agent; who made no claim has an empty curve.
    assert_eq!(curve(&daemon, "team%2Fforecaster").await.1["n"], 8);
    let (status, none) = curve(&daemon, "other").await;
    assert_eq!((status, &none["n"], &none["roc"]), (200, &json!(0), &json!([])));
    // Not in the streams, and for dashboards only.
    assert!(!stream.state.to_string().contains("bins"));
    assert_eq!(daemon.get("/v1/agents/other/calibration").await.0, 401);
    assert_eq!(daemon.get_as("metacog.observe", "/v1/agents/other/calibration").await.0, 403);
}

/// Node with what `tests/web` needs. `tests/run` installs it before; without that, the packages are installed here.
async fn node(arguments: &[&str]) -> String {
    static PACKAGES: OnceCell<()> = OnceCell::const_new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/web");
    let install = || async {
        if !folder.join("node_modules/playwright-core").exists() {
            let mut npm = Command::new("npm");
            npm.args(["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&folder);
            let done = npm.status().await.is_ok_and(|status| status.success());
            assert!(done, "node, npm and their packages are needed: use tests/run, which installs them");
        }
    };
    PACKAGES.get_or_init(install).await;
    let mut node = Command::new("node");
    node.args(arguments).current_dir(&folder).env("CONSCIOUSNESS_BINARY", env!("CARGO_BIN_EXE_consciousness-system"));
    let output = node.kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(900), output).await.expect("it ends").expect("node runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}\n{told}\n{}", String::from_utf8_lossy(&output.stderr));
    told
}

#[tokio::test]
async fn the_page_works_in_a_browser() {
    println!("{}", node(&["browser.mjs"]).await);
}

#[tokio::test]
async fn the_modules_do_what_they_say() {
    node(&["--test", "unit"]).await;
    node(&["node_modules/typescript/bin/tsc", "--noEmit", "-p", "."]).await;
    // What is made by a command is what that command makes.
    node(&["vendor.mjs", "--check"]).await;
    node(&["node_modules/typescript/bin/tsc", "-p", "types.json"]).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = std::fs::read(root.join("target/web/types/client.d.ts")).unwrap();
    assert!(
        made == std::fs::read(root.join("src/http/page/client.d.ts")).unwrap(),
        "client.d.ts is not what client.js says: npm --prefix tests/web run types"
    );
}

#[tokio::test]
async fn the_readmes_client_in_python_follows_the_stream() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let mut blocks = readme.split("```python\n").skip(1).filter_map(|block| block.split("\n```").next());
    let example = blocks.find(|block| block.contains("websockets")).expect("there is one");
    assert!(example.lines().count() <= 26, "it is a short one");
    let daemon = Daemon::start(&[]).await;
    let mut python = Command::new(crate::otel::python().await);
    python.arg("-c").arg(example.replace("127.0.0.1:8080", &daemon.address.to_string()));
    python.env("TOKEN", token("python", "metacog.stream")).stdout(Stdio::piped()).kill_on_drop(true);
    let mut python = python.spawn().unwrap();
    let mut lines = BufReader::new(python.stdout.take().unwrap()).lines();
    let mut line = async || within("a line", lines.next_line()).await.unwrap().expect("the client goes on");
    assert_eq!(line().await, "{}", "before the first frame of the state");
    let observation = |agent: &str| json!({"agent": agent, "kind": "thought", "text": "hm"});
    for (agent, told) in [("a", "{'a': 'progressing'}"), ("b", "{'a': 'progressing', 'b': 'progressing'}")] {
        daemon.observe(&json!([observation(agent)])).await;
        while line().await != told {}
    }
}
