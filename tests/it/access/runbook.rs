//! "Revoke a token" and "Scope audit" of the runbook, run to the letter.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::{STREAM, named, open, pod};
use crate::support::{Redis, SECRET, project, within};

/// The shell blocks of a section.
fn blocks(section: &str) -> Vec<String> {
    let text = std::fs::read_to_string(project("RUNBOOK.md")).expect("there is a runbook");
    let section = text.split(&format!("\n## {section}\n")).nth(1).expect("it has this section");
    let section = section.split("\n## ").next().unwrap();
    section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn revoking_and_the_scope_audit_work_to_the_letter() {
    let blocks = [blocks("Revoke a token"), blocks("Scope audit")].concat();
    assert!(blocks.len() >= 6, "{}", blocks.len());
    let redis = Redis::start().await;
    let daemon = pod(&redis, &[]).await;
    let mut stream = open(&daemon, &named("alice", "t-1", STREAM)).await.unwrap();
    let tools = tempfile::tempdir().unwrap();
    let client = tools.path().join("redis-cli");
    std::fs::write(&client, format!("#!/bin/sh\nexec /usr/bin/redis-cli -p {} \"$@\"\n", redis.port)).unwrap();
    std::fs::set_permissions(&client, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut script = String::from("set -euo pipefail\n");
    for (i, block) in blocks.iter().enumerate() {
        script.push_str(&format!("echo '=== block {i}'\n{block}"));
    }
    script.push_str("echo '=== end'\n");
    let binary = Path::new(env!("CARGO_BIN_EXE_consciousness-system"));
    let path = format!("{}:{}:/usr/bin:/bin", tools.path().display(), binary.parent().unwrap().display());
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(&script).current_dir(tools.path()).stdin(Stdio::null()).kill_on_drop(true);
    shell
        .env("PATH", path)
        .env("DAEMON", daemon.url(""))
        .env("CONSCIOUSNESS__AUTH__SECRET", SECRET)
        .env("CONSCIOUSNESS__REDIS__URL", redis.url());
    let output = within("the runbook", shell.output()).await.expect("bash runs");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{error}");
    assert_eq!(stream.closed().await.0, 4403);
    for expected in ["revoked until", "no longer revoked", "metacog.stream: held by", "auth_revocations ", "=== end"] {
        assert!(out.contains(expected), "{expected} is missing:\n{out}\n{error}");
    }
    assert!(tools.path().join("scope-audit.csv").exists() && tools.path().join("audit.jsonl").exists());
}
