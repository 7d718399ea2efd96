//! The recovery part of the runbook, run to the letter.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::support::{Daemon, Redis, SECRET, free_port, project, within};

/// The shell blocks of the section "Recovery".
fn blocks() -> Vec<String> {
    let text = std::fs::read_to_string(project("RUNBOOK.md")).expect("there is a runbook");
    let section = text.split("\n## Recovery\n").nth(1).expect("it has a recovery part");
    let section = section.split("\n## ").next().unwrap();
    section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn executable(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn the_recovery_part_works_to_the_letter() {
    let blocks = blocks();
    assert!(blocks.len() >= 9, "{}", blocks.len());
    let file = project("config/redis.conf");
    let redis = Redis::start_with(&[file.to_str().unwrap()]).await;
    let tools = tempfile::tempdir().unwrap();
    // A client that reaches the test's Redis, as the runbook asks for.
    executable(
        &tools.path().join("redis-cli"),
        &format!("#!/bin/sh\nexec /usr/bin/redis-cli -p {} \"$@\"\n", redis.port),
    );
    let binary = Path::new(env!("CARGO_BIN_EXE_consciousness-system"));
    let port = free_port();
    let mut script = String::from(
        "set -euo pipefail\n\
         start_daemon() { consciousness-system serve 2>>\"$LOG\" & PID=$!; \
           until curl -fsS \"$DAEMON/readyz\" >/dev/null 2>&1; do kill -0 \"$PID\"; sleep 0.05; done; }\n\
         stop_daemon() { kill -TERM \"$PID\"; wait \"$PID\"; }\n\
         trap 'kill -9 \"$PID\" 2>/dev/null || true' EXIT\n\
         start_daemon\n\
         until redis-cli --scan --pattern 'meta:snapshot:*' | grep -q .; do sleep 0.05; done\n",
    );
    for (i, block) in blocks.iter().enumerate() {
        script.push_str(&format!("echo '=== block {i}'\n{block}"));
    }
    script.push_str("echo '=== end'\nstop_daemon\n");
    let path = format!("{}:{}:/usr/bin:/bin", tools.path().display(), binary.parent().unwrap().display());
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(&script).current_dir(tools.path()).stdin(Stdio::null()).kill_on_drop(true);
    shell
        .env("PATH", path)
        .env("LOG", tools.path().join("log"))
        .env("DAEMON", format!("http://127.0.0.1:{port}"))
        .env("SPARE", free_port().to_string())
        .env("CONSCIOUSNESS__SERVER__LISTEN", format!("127.0.0.1:{port}"))
        .env("CONSCIOUSNESS__AUTH__SECRET", SECRET)
        .env("CONSCIOUSNESS__REDIS__URL", redis.url());
    let output = within("the runbook", shell.output()).await.expect("bash runs");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let log = std::fs::read_to_string(tools.path().join("log")).unwrap_or_default();
    assert!(output.status.success(), "{out}\n{error}\n{log}");

    for expected in [
        "\"mode\":\"redis\"",
        "store_writes_total{outcome=\"ok\"}",
        "role:master",
        "maxmemory_policy:noeviction",
        "{\"schema\":1,\"epoch\":",
        "nothing was changed",
        "is now a copy of meta:snapshot:",
        "it is what a start loads",
        "=== end",
    ] {
        assert!(out.contains(expected), "{expected} is missing:\n{out}\n{error}");
    }
    assert!(out.contains("meta:quarantine:meta:latest:by-hand"), "{out}");
    assert_eq!(redis.keys("meta:quarantine:*").await, [""; 0]);
    // Three starts went on from one another, and a restore takes an epoch as well.
    let epoch: u64 = redis.command(&["GET", "meta:epoch"]).await;
    assert_eq!(epoch, 4);
    assert_eq!(log.matches("\"message\":\"state loaded\"").count(), 2, "{log}");
    let again = Daemon::start(&[("redis__url", &redis.url())]).await;
    assert_eq!(again.state().await["epoch"], 5);
}
