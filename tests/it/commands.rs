//! The commands, as a shell sees them.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

use crate::support::{Daemon, SECRET, Stream, binary, connect, token, try_connect, within};

/// Runs a command with these variables to its end.
async fn run(line: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = binary();
    command.args(line.split_whitespace());
    for (key, value) in variables {
        command.env(format!("CONSCIOUSNESS__{}", key.to_uppercase()), value);
    }
    within(line, command.output()).await.expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is text")
}

/// Checks that the command failed with this code and one line on standard error, and nothing on standard output.
#[track_caller]
fn fails(output: &Output, code: i32, parts: &[&str]) {
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(code), String::new()), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    for part in parts {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("panicked"));
}

#[tokio::test]
async fn wrong_configuration_is_named_with_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let secret = ("auth__secret", SECRET);
    for command in ["serve", "check-config"] {
        let unknown = file("unknown.toml", "[heart]\nintervall = \"1s\"\n");
        let output = run(&format!("{command} --config {unknown}"), &[secret]).await;
        fails(&output, 2, &["heart.intervall", &unknown]);
        let section = file("section.toml", "[hart]\ninterval = \"1s\"\n");
        fails(&run(&format!("{command} --config {section}"), &[secret]).await, 2, &["hart", &section]);
        let broken = file("broken.toml", "[heart\ninterval = \"SECRET\"\n");
        fails(&run(&format!("{command} --config {broken}"), &[secret]).await, 2, &[&broken]);
        fails(&run(&format!("{command} --config {}", "/no/such/file"), &[secret]).await, 2, &["/no/such/file"]);
        for (key, value, name) in [
            ("heart__interval", "1ms", "heart.interval"),
            ("heart__interval", "SECRETs", "heart.interval"),
            ("heart__beat", "1s", "heart.beat"),
            ("limits__queue", "-1", "limits.queue"),
            ("limits__queue", "many", "limits.queue"),
            ("server__listen", "SECRET", "server.listen"),
            ("log__format", "xml", "log.format"),
            ("auth__secret", "SECRET-too-short", "auth.secret"),
            ("auth__keys", "[{kid=\"a\", alg=\"none\"}]", "auth.keys"),
            ("auth__secret_file", "/no/such/file", "auth.secret_file"),
        ] {
            let variables: Vec<_> =
                [secret].into_iter().filter(|(known, _)| !key.starts_with(known)).chain([(key, value)]).collect();
            let output = run(command, &variables).await;
            let variable = format!("CONSCIOUSNESS__{}", key.to_uppercase());
            let source = if key == "auth__secret_file" { value } else { &variable };
            fails(&output, 2, &[name, source]);
            assert!(!text(&output.stderr).contains("SECRET-") && !text(&output.stderr).contains("SECRETs"));
        }
    }
    fails(&run("serve", &[]).await, 2, &["auth.secret", "openssl rand -base64 48"]);
    for usage in ["", "nonsense", "serve --nonsense", "token", "token --sub a --ttl soon", "replay", "analyze"] {
        let output = run(usage, &[secret]).await;
        assert_eq!(output.status.code(), Some(2), "{usage}");
    }
    for help in [
        "--help",
        "serve --help",
        "demo --help",
        "token --help",
        "analyze --help",
        "replay --help",
        "check-config --help",
    ] {
        let output = run(help, &[]).await;
        assert!(output.status.success() && text(&output.stdout).contains("Usage: "), "{help}");
    }
    assert!(text(&run("--version", &[]).await.stdout).starts_with("consciousness-system "));
}

#[tokio::test]
async fn the_effective_configuration_is_shown_and_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("effective.toml");
    let variables =
        [("auth__secret", SECRET), ("redis__url", "redis://:hunter2@example.com/"), ("heart__interval", "250ms")];
    let shown = run("check-config", &variables).await;
    let toml = text(&shown.stdout);
    assert_eq!((shown.status.code(), text(&shown.stderr)), (Some(0), String::new()));
    assert!(toml.contains("interval = \"250ms\"") && !toml.contains(SECRET) && !toml.contains("hunter2"), "{toml}");
    let masked = toml.lines().filter(|line| !line.contains("***")).collect::<Vec<_>>().join("\n");
    std::fs::write(&path, masked).unwrap();
    let again = run(&format!("check-config --config {}", path.display()), &[]).await;
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    let defaults = run(&format!("check-config --config {}/config/default.toml", env!("CARGO_MANIFEST_DIR")), &[]).await;
    assert_eq!(
        text(&defaults.stdout),
        text(&run("check-config", &[]).await.stdout),
        "the documented defaults are the defaults"
    );
}

#[tokio::test]
async fn a_minted_token_opens_what_it_names() {
    let daemon = Daemon::start(&[("auth__audience", "mind")]).await;
    let variables = [("auth__secret", SECRET), ("auth__audience", "mind")];
    let minted = run("token --sub alice --scope metacog.stream --scope metrics.read --ttl 5m", &variables).await;
    let line = text(&minted.stdout);
    assert_eq!((minted.status.code(), text(&minted.stderr)), (Some(0), String::new()));
    let token = line.trim_end();
    assert_eq!((line.lines().count(), token.split('.').count()), (1, 3), "the token alone");
    for (path, status) in [("/v1/state", 200), ("/metrics", 200), ("/v1/agents/x/advice", 404)] {
        let answer = daemon.http.get(daemon.url(path)).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
    let post = daemon.http.post(daemon.url("/v1/observations")).bearer_auth(token).body("[]").send().await.unwrap();
    assert_eq!(post.status(), 403);
    connect(&daemon, token).await;
    let other = text(
        &run("token --sub alice", &[("auth__secret", "another-secret-for-tests-of-32-bytes"), variables[1]])
            .await
            .stdout,
    );
    let answer = daemon.http.get(daemon.url("/v1/state")).bearer_auth(other.trim_end()).send().await.unwrap();
    assert_eq!(answer.status(), 401);
}

fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/demo/recordings").join(name)
}

#[tokio::test]
async fn a_replayed_recording_shows_on_the_stream() {
    let daemon = Daemon::start(&[]).await;
    let mut stream = connect(&daemon, &token("dashboard", "metacog.stream")).await;
    let file = recording("airline-stuck.ndjson");
    let url = daemon.url("");
    let line = format!("replay {} --url {url} --speed 0 --token {}", file.display(), token("r", "metacog.observe"));
    let output = run(&line, &[]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("61 observations sent; 0 rejected"), "{}", text(&output.stderr));
    let stuck = |state: &serde_json::Value| {
        state["insights"]
            .as_object()
            .is_some_and(|insights| insights.values().any(|insight| insight["kind"] == "stuck"))
    };
    stream.until("the loop of the recording", stuck).await;
    let wrong = format!("replay {} --url {url} --speed 0 --token nonsense", file.display());
    fails(&run(&wrong, &[]).await, 1, &["401"]);
    let absent = format!("replay /no/such/file --url {url} --token x");
    fails(&run(&absent, &[]).await, 2, &["/no/such/file"]);
    let port = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() };
    let nobody = format!("replay {} --url http://127.0.0.1:{port} --token x --speed 0", file.display());
    assert_eq!(run(&nobody, &[]).await.status.code(), Some(1));
    daemon.assert_well().await;
}

#[tokio::test]
async fn a_port_in_use_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run("serve", &[("auth__secret", SECRET), ("server__listen", &address)]).await;
    fails(&output, 1, &["cannot listen on", &address]);
}

/// What the demo offers works as it is printed, even when its port is taken, and Ctrl-C ends it.
#[tokio::test]
async fn the_demo_offers_what_works() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = binary();
    command.args(["demo", "--port", &taken.local_addr().unwrap().port().to_string()]);
    let mut demo = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the demo starts");
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    within("the demo to say what it offers", async {
        while let Some(line) = lines.next_line().await.unwrap() {
            let last = line.starts_with("Ctrl-C");
            said.push(line);
            if last {
                break;
            }
        }
    })
    .await;
    let said = said.join("\n");
    let word = |start: &str| said.split_whitespace().find(|word| word.starts_with(start)).expect(start).to_owned();
    let (base, fragment) =
        word("http://").split_once("/#token=").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a URL with a token");
    assert!(!base.ends_with(&taken.local_addr().unwrap().port().to_string()));
    // The example is a shell's: it is run as it stands.
    let example: Vec<&str> = said.lines().filter(|line| line.starts_with("  ")).map(str::trim).collect();
    let shell = format!("{} | head -c 2000000", example.join("\n")).replace("curl ", "curl -sf --max-time 10 ");
    let output = within("the example", Command::new("bash").arg("-c").arg(shell).output()).await.unwrap();
    let state: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the example answers with JSON");
    assert!(state["state"]["heart"]["interval_ms"].is_number());
    let http = reqwest::Client::new();
    let page = http.get(&base).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let address = base.trim_start_matches("http://");
    let mut request = tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(format!(
        "ws://{address}/v1/stream"
    ))
    .unwrap();
    request.headers_mut().insert("sec-websocket-protocol", format!("metacog.v1, bearer.{fragment}").parse().unwrap());
    request.headers_mut().insert("origin", base.parse().unwrap());
    let (socket, _) = tokio_tungstenite::connect_async(request).await.expect("the page's token opens a stream");
    let mut stream = Stream::new(socket).await.unwrap();
    stream
        .until("the recorded agents", |state| state["agents"].as_object().is_some_and(|agents| agents.len() > 3))
        .await;
    drop(stream);
    let pid = demo.id().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    assert_eq!(within("the demo to end", demo.wait()).await.unwrap().code(), Some(0));
    let mut errors = String::new();
    demo.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
    assert!(!errors.contains("panicked") && !errors.contains("ERROR"), "{errors}");
}

#[tokio::test]
async fn probes_tell_of_the_heart_and_of_draining() {
    let mut daemon = Daemon::start(&[("shutdown__grace", "10s"), ("shutdown__drain", "3s")]).await;
    let heart = json!({"ok": true, "reason": "beating"});
    let (status, body) = daemon.get("/livez").await;
    assert_eq!((status, body), (200, json!({"status": "ok", "checks": {"heart": heart}})));
    let (status, body) = daemon.get("/readyz").await;
    let phase = |ok, reason| json!({"ok": ok, "reason": reason});
    assert_eq!(
        (status, &body),
        (200, &json!({"status": "ok", "checks": {"heart": heart, "phase": phase(true, "ready")}}))
    );
    // So that the drain has somebody to wait for; of twelve streams, one is open for long enough.
    let mut streams = Vec::new();
    for _ in 0..12 {
        streams.push(connect(&daemon, &token("dashboard", "metacog.stream")).await);
    }
    daemon.signal("TERM").await;
    assert_eq!(streams[0].frame_of_type("error").await["code"], "draining");
    let (status, body) = daemon.get("/readyz").await;
    assert_eq!(
        (status, &body),
        (503, &json!({"status": "failing", "checks": {"heart": heart, "phase": phase(false, "draining")}}))
    );
    assert_eq!(daemon.get("/livez").await.0, 200, "it is alive while it drains");
    let late = format!("Bearer {}", token("late", "metacog.stream"));
    assert_eq!(try_connect(&daemon, "/v1/stream", &[("authorization", &late)]).await.err(), Some(503));
    assert_eq!(daemon.observe(&json!({"agent": "a", "kind": "thought"})).await.0, 202, "what comes is still folded");
    let codes = futures_util::future::join_all(streams.iter_mut().map(|stream| stream.closed())).await;
    assert!(codes.iter().all(|(code, _)| *code == 1012), "{codes:?}");
    assert_eq!(daemon.exit().await, Some(0));
}

#[tokio::test]
async fn the_end_comes_within_the_grace_and_at_once_when_asked_twice() {
    // A stream whose client does not hang up holds nothing up.
    let settings = [("shutdown__grace", "3s"), ("shutdown__drain", "1s")];
    let mut daemon = Daemon::start(&settings).await;
    let open = connect(&daemon, &token("dashboard", "metacog.stream")).await;
    let half = daemon.raw(b"POST /v1/observations HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{").await;
    let idle = daemon.raw(b"").await;
    daemon.signal("TERM").await;
    assert_eq!(daemon.exit().await, Some(0));
    drop((open, half, idle));

    let mut daemon = Daemon::start(&[("shutdown__grace", "10m"), ("shutdown__drain", "10m")]).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(connect(&daemon, &token("dashboard", "metacog.stream")).await);
    }
    daemon.signal("TERM").await;
    assert_eq!(streams[0].frame_of_type("error").await["code"], "draining");
    daemon.signal("TERM").await;
    // Minutes before the drain's end.
    assert_eq!(daemon.exit().await, Some(1));
}
