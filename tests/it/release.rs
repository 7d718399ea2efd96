//! What those who package and run the daemon rely on: version, health check, completions, manual, service manager.

use std::path::Path;
use std::process::Output;

use tokio::net::UnixDatagram;
use tokio::process::Command;

use crate::support::{Daemon, SECRET, binary, connect, eventually, free_port, project, token, within};

async fn run(arguments: &[&str]) -> Output {
    within("the command", binary().args(arguments).output()).await.expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is text")
}

#[tokio::test]
async fn version_and_metrics_name_the_commit() {
    let version = text(&run(&["--version"]).await.stdout);
    let commit = version.trim().strip_prefix(concat!("consciousness-system ", env!("CARGO_PKG_VERSION"), " ("));
    let commit = commit.and_then(|rest| rest.strip_suffix(')')).unwrap_or_else(|| panic!("{version}"));
    let mut git = Command::new("git");
    git.args(["rev-parse", "--short=12", "HEAD"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if Path::new(env!("CARGO_MANIFEST_DIR")).join(".git").exists() {
        let checked_out = text(&git.output().await.expect("git runs").stdout);
        assert_eq!(commit, checked_out.trim(), "built from what is checked out");
    }
    let daemon = Daemon::start(&[]).await;
    let info = format!("build_info{{commit=\"{commit}\",version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    assert!(daemon.metrics().await.contains(&info), "{info}");
}

#[tokio::test]
async fn a_probe_tells_by_its_exit_code_how_the_daemon_is() {
    let mut daemon = Daemon::start(&[("shutdown__grace", "10s"), ("shutdown__drain", "4s")]).await;
    let listen = format!("0.0.0.0:{}", daemon.address.port());
    let probe = async |arguments: &[&str]| {
        let mut command = binary();
        command.arg("probe").args(arguments).env("CONSCIOUSNESS__SERVER__LISTEN", &listen);
        let output = within("the probe", command.output()).await.expect("the probe runs");
        assert_eq!(text(&output.stdout), "");
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(probe(&[]).await, (Some(0), String::new()));
    assert_eq!(probe(&["--ready"]).await, (Some(0), String::new()));
    assert_eq!(probe(&["--ready", "--url", &daemon.url("/")]).await, (Some(0), String::new()));

    daemon.signal("STOP").await;
    let (code, said) = probe(&["--timeout", "300ms"]).await;
    daemon.signal("CONT").await;
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("does not answer: the time is over"), "{said}");

    // Streams are closed one by one, so there is time to see it drain.
    let mut streams = Vec::new();
    for _ in 0..16 {
        streams.push(connect(&daemon, &token("dashboard", "metacog.stream")).await);
    }
    daemon.signal("TERM").await;
    eventually("not to be ready", || async {
        let (code, said) = probe(&["--ready"]).await;
        (code == Some(1)).then(|| assert!(said.contains("answers 503: phase: draining"), "{said}"))
    })
    .await;
    assert_eq!(probe(&[]).await.0, Some(0), "it lives");
    drop(streams);
    assert_eq!(daemon.exit().await, Some(0));
    let (code, said) = probe(&[]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("does not answer: Connection refused"), "{said}");

    for (arguments, named) in [(&["--url", "no url"], "--url"), (&["--timeout", "soon"], "--timeout")] {
        let (code, said) = probe(arguments).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(named), "{said}");
    }
}

#[tokio::test]
async fn a_probe_speaks_tls_where_the_daemon_does() {
    let files =
        ["crt", "key"].map(|kind| project("tests/fixtures/tls").join(format!("one.{kind}")).display().to_string());
    let settings = [("server__tls_cert_file", files[0].as_str()), ("server__tls_key_file", files[1].as_str())];
    let daemon = Daemon::launch_unready(&settings).await;
    eventually("the probe to succeed", || async {
        let mut command = binary();
        command.args(["probe", "--ready"]).env("CONSCIOUSNESS__SERVER__LISTEN", daemon.address.to_string());
        for (key, value) in &settings {
            command.env(format!("CONSCIOUSNESS__{}", key.to_uppercase()), value);
        }
        within("the probe", command.output()).await.expect("the probe runs").status.success().then_some(())
    })
    .await;
}

#[tokio::test]
async fn shells_and_man_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]).await;
        let script = text(&output.stdout);
        assert!(output.status.success());
        for word in ["check-config", "restore", "dry-run"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let mut bash = Command::new("bash");
    let script = text(&run(&["completions", "bash"]).await.stdout);
    let asked = "COMP_WORDS=(consciousness-system rest); COMP_CWORD=1; _consciousness__system consciousness-system rest; \
                 echo \"${COMPREPLY[@]}\"";
    let output = within("bash", bash.arg("-c").arg(format!("{script}\n{asked}")).output()).await.expect("bash runs");
    assert_eq!(text(&output.stdout), "restore\n", "{}", text(&output.stderr));

    let page = text(&run(&["man"]).await.stdout);
    assert!(page.contains(".TH consciousness-system 1"), "{page}");
    let folder = tempfile::tempdir().unwrap();
    let written = run(&["man", "--dir", folder.path().to_str().unwrap()]).await;
    assert!(written.status.success(), "{}", text(&written.stderr));
    for command in ["serve", "token", "restore", "probe"] {
        let page = std::fs::read_to_string(folder.path().join(format!("consciousness-system-{command}.1"))).unwrap();
        assert!(page.contains(".SH OPTIONS"), "{command}: {page}");
    }
    let nowhere = run(&["man", "--dir", "/no/such/place"]).await;
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("/no/such/place"));
}

#[tokio::test]
async fn the_service_manager_hears_how_far_the_daemon_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let hear = async |wanted: &str| {
        within(wanted, async {
            let mut buffer = [0; 4096];
            loop {
                let length = socket.recv(&mut buffer).await.unwrap();
                let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if said.lines().any(|line| line == wanted) {
                    return said;
                }
            }
        })
        .await
    };
    let mut command = binary();
    command.arg("serve").env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000");
    command.env("CONSCIOUSNESS__SERVER__LISTEN", format!("127.0.0.1:{}", free_port()));
    command.env("CONSCIOUSNESS__AUTH__SECRET", SECRET).env("CONSCIOUSNESS__LOG__FORMAT", "json");
    let mut daemon = Daemon::launch(command).await;
    hear("READY=1").await;
    for _ in 0..3 {
        hear("WATCHDOG=1").await;
    }
    daemon.signal("HUP").await;
    assert!(hear("RELOADING=1").await.contains("MONOTONIC_USEC="));
    hear("READY=1").await;
    daemon.signal("TERM").await;
    hear("STOPPING=1").await;
    assert_eq!(daemon.exit().await, Some(0));
}
