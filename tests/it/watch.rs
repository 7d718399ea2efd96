//! `watch` as its users have it: a process, pipes, a terminal.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::{Daemon, Proxy, binary, eventually, free_port, sign, token, unix_now, within};

/// `watch --json` of a URL, and the state that its lines tell.
struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    state: Value,
    position: (u64, u64),
}

impl Watch {
    fn start(url: &str, arguments: &[&str]) -> Self {
        let mut command = binary();
        command.args(["watch", "--json", "--url", url]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, state: Value::Null, position: (0, 0) }
    }

    /// The next frame, taken into the state as anyone would who reads the lines.
    async fn next(&mut self) -> Option<Value> {
        let line = within("a line", self.lines.next_line()).await.unwrap()?;
        let frame: Value = serde_json::from_str(&line).expect("a line is a frame");
        let at = |key: &str| frame[key].as_u64().expect(key);
        match frame["type"].as_str() {
            Some("state") => self.state = frame["state"].clone(),
            Some("delta") => {
                assert_eq!((at("epoch"), at("base")), self.position, "a delta applies to what was told");
                json_patch::merge(&mut self.state, &frame["patch"]);
            }
            _ => return Some(frame),
        }
        self.position = (at("epoch"), at("beat"));
        Some(frame)
    }

    async fn frame_of_type(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await.expect("it goes on");
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    async fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) {
        within(what, async {
            while !wanted(&self.state) {
                self.next().await.expect("it goes on");
            }
        })
        .await;
    }

    /// Waits for the process to end: exit code, and what it said on standard error.
    async fn ended(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        while within("the lines to end", self.lines.next_line()).await.unwrap().is_some() {}
        within("the words to end", stderr.read_to_string(&mut said)).await.unwrap();
        (within("it to end", self.child.wait()).await.unwrap().code(), said)
    }
}

fn stream_token() -> String {
    token("watcher", "metacog.stream")
}

fn observed(daemon_state: &Value, agent: &str) -> bool {
    daemon_state["agents"][agent]["observations"].is_u64()
}

/// A token that is good for so many seconds.
fn short(seconds: u64) -> String {
    let jti = format!("{:032x}", rand::random::<u128>());
    sign(&json!({"sub": "watcher", "scope": "metacog.stream", "exp": unix_now() + seconds, "jti": jti}))
}

#[tokio::test]
async fn lines_add_up_to_the_state_across_a_restart_of_the_daemon() {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let settings = [("server__listen", listen.as_str()), ("shutdown__drain", "1s")];
    let mut daemon = Daemon::start(&settings).await;
    let mut watch = Watch::start(&daemon.url(""), &["--token", &stream_token()]);
    let hello = watch.frame_of_type("hello").await;
    assert_eq!((&hello["protocol"], &hello["resume"]), (&json!(1), &Value::Null), "the ticket stays inside");
    watch.frame_of_type("state").await;
    daemon.observe(&json!({"agent": "planner-1", "kind": "thought", "text": "hm"})).await;
    watch.until("the agent", |state| observed(state, "planner-1")).await;
    let epoch = watch.position.0;
    daemon.signal("TERM").await;
    assert_eq!(daemon.exit().await, Some(0));
    let daemon = Daemon::start(&settings).await;
    watch.frame_of_type("hello").await;
    watch.frame_of_type("state").await;
    assert!(watch.position.0 >= epoch);
    assert_eq!(watch.state["agents"], json!({}), "the memory store forgets, and so does the picture");
    daemon.observe(&json!({"agent": "planner-2", "kind": "thought", "text": "hm"})).await;
    watch.until("the new agent", |state| observed(state, "planner-2")).await;
    let answer = daemon.state().await;
    watch.until("the same as is told over HTTP", |state| state["agents"] == answer["state"]["agents"]).await;
    daemon.signal("TERM").await;
}

#[tokio::test]
async fn what_was_missed_comes_as_a_delta_when_the_line_was_cut() {
    let daemon = Daemon::start(&[]).await;
    let proxy = Proxy::before(daemon.address.port()).await;
    let url = format!("http://{}", proxy.address);
    let mut watch = Watch::start(&url, &["--token", &stream_token()]);
    watch.frame_of_type("state").await;
    // Its next ping cuts it off.
    proxy.cut_after(0);
    eventually("the cut", || async { (proxy.resets() > 0).then_some(()) }).await;
    daemon.observe(&json!({"agent": "planner-1", "kind": "thought", "text": "hm"})).await;
    daemon.settled().await;
    proxy.heal();
    watch.frame_of_type("hello").await;
    let frame = watch.next().await.unwrap();
    assert_eq!(frame["type"], "delta", "it goes on where it was");
    watch.until("what was missed", |state| observed(state, "planner-1")).await;
}

#[tokio::test]
async fn wishes_are_asked_for() {
    let daemon = Daemon::start(&[]).await;
    daemon.observe(&json!([{"agent": "planner-1", "kind": "thought"}, {"agent": "coder-1", "kind": "thought"}])).await;
    daemon.settled().await;
    let token = stream_token();
    let mut watch = Watch::start(&daemon.url(""), &["--token", &token, "--max-hz", "0.5", "--agents", "plan*,x*"]);
    watch.frame_of_type("hello").await;
    watch.until("the agents asked for", |state| observed(state, "planner-1")).await;
    // The state before the wish was heard may hold all.
    watch.until("no others", |state| state["agents"].as_object().is_some_and(|agents| agents.len() == 1)).await;
    let ten = (0..10).map(|_| json!({"agent": "planner-1", "kind": "thought"})).collect();
    daemon.observe(&Value::Array(ten)).await;
    watch.until("what was held back", |state| state["agents"]["planner-1"]["observations"] == 11).await;
}

#[tokio::test]
async fn a_closed_pipe_is_a_quiet_end() {
    let daemon = Daemon::start(&[]).await;
    let mut watch = Watch::start(&daemon.url(""), &["--token", &stream_token()]);
    watch.frame_of_type("state").await;
    let Watch { mut child, lines, .. } = watch;
    drop(lines);
    assert_eq!(within("it to end", child.wait()).await.unwrap().code(), Some(0));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "");
}

#[tokio::test]
async fn the_end_of_a_token_is_final_unless_it_was_renewed() {
    let daemon = Daemon::start(&[("auth__leeway", "0s")]).await;
    let mut given = Watch::start(&daemon.url(""), &["--token", &short(3)]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, short(3)).unwrap();
    let mut renewed = Watch::start(&daemon.url(""), &["--token-file", file.to_str().unwrap()]);
    given.frame_of_type("state").await;
    renewed.frame_of_type("state").await;
    std::fs::write(&file, stream_token()).unwrap();
    let (code, said) = given.ended().await;
    assert_eq!(code, Some(1));
    assert!(said.lines().count() == 1 && said.contains("4401") && said.contains("mint a new one"), "{said}");
    renewed.frame_of_type("hello").await;
    daemon.observe(&json!({"agent": "planner-1", "kind": "thought"})).await;
    renewed.until("what came after", |state| observed(state, "planner-1")).await;
}

#[tokio::test]
async fn too_many_streams_are_told_apart() {
    let daemon = Daemon::start(&[("limits__streams_per_sub", "1")]).await;
    let mut first = Watch::start(&daemon.url(""), &["--token", &stream_token()]);
    first.frame_of_type("state").await;
    let (code, said) = Watch::start(&daemon.url(""), &["--token", &stream_token()]).ended().await;
    assert_eq!(code, Some(1));
    assert!(said.contains("4429") && said.contains("close another one"), "{said}");
}

#[tokio::test]
async fn what_cannot_work_is_said_in_a_line() {
    let daemon = Daemon::start(&[]).await;
    let (url, used) = (daemon.url(""), stream_token());
    Watch::start(&url, &["--token", &used]).frame_of_type("hello").await;
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let scrape = token("watcher", "metrics.read");
    for (url, token, code, part) in [
        (&url, used.as_str(), 1, "mint another one"),
        (&url, "nonsense", 1, "401"),
        (&url, &scrape, 1, "403"),
        (&nobody, "x", 1, "cannot be reached"),
        (&format!("{url}/elsewhere"), "x", 1, "no stream at this URL"),
        (&"nonsense".to_owned(), "x", 2, "--url"),
        (&url, "", 2, "a token with the scope metacog.stream is needed"),
    ] {
        let (found, said) = Watch::start(url, &["--token", token]).ended().await;
        assert_eq!((found, said.lines().count()), (Some(code), 1), "{part}: {said}");
        assert!(said.contains(part) && !said.contains("panicked"), "{part}: {said}");
    }
    let mut command = binary();
    command.args(["watch", "--url", &url, "--token", "x"]);
    let output = within("it to end", command.output()).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("no terminal"), "{said}");
}

/// On a pseudo-terminal: it shows the agent, does what keys say, and leaves the terminal as it found it.
#[tokio::test]
async fn the_dashboard_runs_on_a_terminal() {
    let daemon = Daemon::start(&[]).await;
    let step = |n: usize| {
        let action = json!({"agent": "planner-1", "kind": "action", "tool": "ls", "arguments": {}, "call_id": n});
        [action, json!({"agent": "planner-1", "kind": "result", "call_id": n, "ok": true, "text": "same"})]
    };
    daemon.observe(&(0..4).flat_map(step).collect()).await;
    let program = env!("CARGO_BIN_EXE_consciousness-system");
    let line = format!("stty rows 24 cols 80; {program} watch --url {}; echo left with $?", daemon.url(""));
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env("CONSCIOUSNESS_TOKEN", stream_token()).env("TERM", "xterm");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("script runs");
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut seen = String::new();
    // Words without spaces: what stands there already is not drawn again.
    for (wanted, key) in [("planner-1", "?"), ("picture", "\x1b"), ("urgency", "q")] {
        let from = seen.len();
        within(wanted, async {
            let mut bytes = [0; 4096];
            while !seen[from..].contains(wanted) {
                let read = screen.read(&mut bytes).await.unwrap();
                assert!(read > 0, "{wanted}: {seen}");
                seen += &String::from_utf8_lossy(&bytes[..read]);
            }
        })
        .await;
        keys.write_all(key.as_bytes()).await.unwrap();
    }
    let mut rest = Vec::new();
    within("it to end", screen.read_to_end(&mut rest)).await.unwrap();
    seen += &String::from_utf8_lossy(&rest);
    assert!(seen.contains("planner-1") && seen.contains("left with 0"), "{seen}");
    // Another screen, and back.
    let (away, back) = (seen.find("\x1b[?1049h").unwrap(), seen.rfind("\x1b[?1049l").unwrap());
    assert!(away < back && seen[back..].contains("\x1b[?25h"), "the cursor is shown again");
}
