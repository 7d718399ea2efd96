//! Runs a section's blocks in one shell, with a daemon and a Redis of the drill's own.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use super::text::{Block, Runbook, SHARED};
use crate::support::{Redis, SECRET, free_port};

/// What the runbook takes for granted: how the daemon is started and stopped. It logs to `$LOG`.
const SHELL: &str = r#"
set -euo pipefail
start_daemon() {
    consciousness-system serve 2>>"$LOG" & PID=$!
    until curl -fsS "$DAEMON/readyz" >/dev/null 2>&1; do kill -0 "$PID"; sleep 0.05; done
}
stop_daemon() { kill -TERM "$PID"; wait "$PID"; }
reload_daemon() { kill -HUP "$PID"; }
trap 'kill -9 "$PID" $(jobs -p) $(cat "${WORK:-.}/pid" 2>/dev/null) 2>/dev/null || true' EXIT
"#;

/// Has a state that is in parts, and a snapshot of it.
const LARGE: &str = r#"
seq 200 | sed 's/.*/{"agent": "drill-&", "kind": "thought", "text": "&"}/' |
    curl -fsS -o /dev/null -H "Authorization: Bearer $(consciousness-system token --sub drill --scope metacog.observe)" \
        -H "Content-Type: application/x-ndjson" "$DAEMON/v1/observations" --data-binary @-
until redis-cli GETRANGE meta:latest 0 150 | grep -q '"parts":{"'; do sleep 0.05; done
stop_daemon
start_daemon
"#;

/// Longest time for a section.
const LIMIT: Duration = Duration::from_secs(60);

pub struct Drill {
    section: &'static str,
    /// Lines of shell before the first block under a heading.
    before: Vec<(&'static str, String)>,
    variables: Vec<(String, String)>,
    large: bool,
    /// The drill's working directory, with what stands before `$PATH`.
    pub folder: TempDir,
}

/// What a drill left.
pub struct Outcome {
    /// What the blocks printed.
    pub out: String,
    /// What they printed on the standard error.
    pub error: String,
    /// The daemon's log.
    pub log: String,
    /// The drill's directory.
    pub folder: TempDir,
}

impl Drill {
    /// A drill of this section, whose daemon and `redis-cli` use this Redis.
    pub fn new(section: &'static str, redis: &Redis) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let drill = Self { section, before: Vec::new(), variables: Vec::new(), large: false, folder };
        drill.tool("redis-cli", &format!("exec /usr/bin/redis-cli -e -p {} \"$@\"", redis.port));
        let backup = crate::support::project("deploy/redis/backup");
        drill.tool("consciousness-redis-backup", &format!("exec '{}' \"$@\"", backup.display()));
        let port = redis.port.to_string();
        drill
            .set("REDIS_PORT", &port)
            .set("CONSCIOUSNESS__REDIS__URL", &redis.url())
            .set("SPARE", &free_port().to_string())
    }

    /// A command of this name, in place of what `$PATH` has.
    pub fn tool(&self, name: &str, lines: &str) {
        let path = self.folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).expect("the drill's directory can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("and its files made commands");
    }

    /// A variable of the shell and of all that it starts.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has a state that is in parts.
    pub fn large(mut self) -> Self {
        self.large = true;
        self.set("CONSCIOUSNESS__REDIS__VALUE_BYTES", "65536")
    }

    /// Runs these lines before the first block under this `### ` heading: what provokes the case that it is about.
    pub fn before(mut self, heading: &'static str, lines: &str) -> Self {
        self.before.push((heading, lines.to_owned()));
        self
    }

    /// Starts the daemon, runs the blocks in order in one shell, and stops the daemon.
    pub async fn run(self) -> Outcome {
        let script = self.script(&Runbook::read());
        let port = free_port();
        let binary = Path::new(env!("CARGO_BIN_EXE_consciousness-system")).parent().expect("it is in a directory");
        let log = self.folder.path().join("log");
        let mut shell = Command::new("bash");
        shell.arg("-c").arg(&script).current_dir(self.folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        shell
            .env("PATH", format!("{}:{}:/usr/bin:/bin", self.folder.path().display(), binary.display()))
            .env("LOG", &log)
            .env("DAEMON", format!("http://127.0.0.1:{port}"))
            .env("CONSCIOUSNESS__SERVER__LISTEN", format!("127.0.0.1:{port}"))
            .env("CONSCIOUSNESS__AUTH__SECRET", SECRET)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = tokio::time::timeout(LIMIT, shell.output()).await;
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        let output = output.unwrap_or_else(|_| panic!("\"{}\" takes longer than {LIMIT:?}:\n{log}", self.section));
        let output = output.expect("bash runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let outcome = Outcome { out: text(&output.stdout), error: text(&output.stderr), log, folder: self.folder };
        assert!(output.status.success(), "{outcome}");
        outcome
    }

    fn script(&self, runbook: &Runbook) -> String {
        let mut script = SHELL.to_owned();
        let blocks = |title: &str| runbook.section(title).blocks.iter().filter(|block| block.not_run.is_none());
        let shared: String = blocks(SHARED).map(|block| block.text.as_str()).collect();
        script.push_str(&shared);
        script.push_str(
            "start_daemon\nuntil redis-cli --scan --pattern 'meta:snapshot:*' | grep -q .; do sleep 0.05; done\n",
        );
        if self.large {
            script.push_str(LARGE);
        }
        let mut waiting = self.before.clone();
        for Block { heading, text, .. } in blocks(self.section) {
            waiting.retain(|(at, lines)| {
                if at == heading {
                    script.push_str(&format!("{lines}\n"));
                }
                at != heading
            });
            script.push_str(&format!("echo '=== {}'\n{text}", heading.replace('\'', "")));
        }
        let missing: Vec<_> = waiting.iter().map(|(heading, _)| heading).collect();
        assert!(missing.is_empty(), "no block stands under {missing:?}");
        script.push_str("echo '=== end'\nstop_daemon\n");
        script
    }
}

impl Outcome {
    /// Checks that the blocks printed all of these.
    #[track_caller]
    pub fn says(&self, expected: &[&str]) {
        for part in expected {
            assert!(self.out.contains(part), "{part} is missing:\n{self}");
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n--- standard error\n{}\n--- log\n{}", self.out, self.error, self.log)
    }
}
