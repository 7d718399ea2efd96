//! The ways to a Redis: users, databases, sockets, TLS, sentinels.

use std::path::Path;

use tokio::process::Command;

use crate::support::{Daemon, Redis, Sentinels, Set, eventually, free_port};

/// Starts a daemon with these settings, has its state stored, and looks that no secret was told.
async fn stores(settings: &[Set<'_>], secrets: &[&str]) -> Daemon {
    let daemon = Daemon::start(settings).await;
    daemon.state_when("the store", |state| state["store"]["mode"] == "redis").await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_consciousness-system"));
    command.arg("check-config");
    for (key, value) in settings {
        command.env(format!("CONSCIOUSNESS__{}", key.to_uppercase()), value);
    }
    let output = command.output().await.expect("the command runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = String::from_utf8(output.stdout).expect("text");
    for secret in secrets {
        assert!(!shown.contains(secret), "{shown}");
        assert!(!daemon.log().iter().any(|line| line.contains(secret)));
    }
    daemon
}

async fn has_state(redis: &Redis, words: &[&str]) -> bool {
    eventually("the state", || async {
        let mut connection = redis.connection().await;
        for line in words {
            let mut parts = line.split(' ');
            let mut command = redis::cmd(parts.next().unwrap());
            parts.for_each(|part| {
                command.arg(part);
            });
            let () = command.query_async(&mut connection).await.ok()?;
        }
        let beat: Option<String> = redis::cmd("GET").arg("meta:latest").query_async(&mut connection).await.ok()?;
        beat.map(|text| text.starts_with("{\"schema\":1,"))
    })
    .await
}

#[tokio::test]
async fn a_user_with_few_rights_and_a_database() {
    let redis = Redis::start().await;
    // As config/redis.conf proposes.
    let rights = "~meta:* -@all +@read +@write +@stream +@scripting +@connection -@dangerous";
    let mut user: Vec<&str> = vec!["ACL", "SETUSER", "mind", "on", ">p%40ss:word"];
    user.extend(rights.split(' '));
    redis.command::<()>(&user).await;
    let url = format!("redis://mind:p%2540ss%3Aword@127.0.0.1:{}/3", redis.port);
    let _daemon = stores(&[("redis__url", &url)], &["p%2540ss", "p%40ss"]).await;
    assert!(has_state(&redis, &["SELECT 3"]).await);
}

#[tokio::test]
async fn a_password_in_a_file() {
    let redis = Redis::start().await;
    redis.command::<()>(&["CONFIG", "SET", "requirepass", "hunter2"]).await;
    let file = redis.directory.path().join("password");
    std::fs::write(&file, "hunter2\n").unwrap();
    let settings = [("redis__url", redis.url()), ("redis__password_file", file.to_str().unwrap().to_owned())];
    let settings = settings.each_ref().map(|(key, value)| (*key, value.as_str()));
    let _daemon = stores(&settings, &["hunter2"]).await;
    assert!(has_state(&redis, &["AUTH hunter2"]).await);
}

#[tokio::test]
async fn a_unix_socket() {
    let redis = Redis::prepare(&["--save", "", "--unixsocket", "redis.sock"]);
    let mut redis = redis;
    redis.run().await;
    let url = format!("redis+unix://{}?db=2", redis.directory.path().join("redis.sock").display());
    let _daemon = stores(&[("redis__url", &url)], &[]).await;
    assert!(has_state(&redis, &["SELECT 2"]).await);
}

async fn openssl(directory: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let output = command.args(arguments.split(' ')).current_dir(directory).output().await.expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn tls() {
    let port = free_port().to_string();
    let mut redis = Redis::prepare(&[
        "--save",
        "",
        "--tls-port",
        &port,
        "--tls-cert-file",
        "server.crt",
        "--tls-key-file",
        "server.key",
        "--tls-ca-cert-file",
        "ca.crt",
        "--tls-auth-clients",
        "no",
    ]);
    let directory = redis.directory.path().to_owned();
    std::fs::write(directory.join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for arguments in [
        format!("req -x509 {key} -days 2 -subj /CN=ca -keyout ca.key -out ca.crt"),
        format!("req {key} -subj /CN=localhost -keyout server.key -out server.csr"),
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt"
            .to_owned(),
    ] {
        openssl(&directory, &arguments).await;
    }
    redis.run().await;
    let url = format!("rediss://localhost:{port}");
    let authority = directory.join("ca.crt");
    let _daemon = stores(&[("redis__url", &url), ("redis__tls_ca_file", authority.to_str().unwrap())], &[]).await;
    assert!(has_state(&redis, &[]).await);

    // Who is signed by nobody known is not trusted.
    let wary = Daemon::start(&[("redis__url", &url), ("redis__boot_timeout", "0s")]).await;
    wary.state_when("the breaker", |state| state["store"]["breaker"] == "open").await;
}

#[tokio::test]
async fn sentinels_tell_who_leads() {
    let mut first = Redis::start().await;
    let second = replica(&first).await;
    let sentinels = Sentinels::before(&first, &second, 1).await;
    let daemon = stores(&[("redis__url", &sentinels.url()), ("redis__connect_timeout", "2s")], &[]).await;
    assert!(has_state(&first, &[]).await);
    assert!(has_state(&second, &[]).await);

    first.kill().await;
    daemon.state_when("memory", |state| state["store"]["mode"] == "memory").await;
    daemon.state_when("the new leader", |state| state["store"]["mode"] == "redis").await;
    let role: Vec<redis::Value> = second.command(&["ROLE"]).await;
    assert_eq!(role[0], redis::Value::BulkString(b"master".to_vec()));
}

#[tokio::test]
async fn a_server_that_was_replaced_is_left_although_it_takes_commands() {
    // It cannot be made a replica, so it will go on for ever.
    let first =
        Redis::start_with(&["--save", "", "--rename-command", "SLAVEOF", "", "--rename-command", "REPLICAOF", ""]);
    let first = first.await;
    let second = replica(&first).await;
    let sentinels = Sentinels::before(&first, &second, 3).await;
    // One that is cut off keeps nobody from knowing.
    sentinels.signal(2, "STOP").await;
    let daemon = stores(&[("redis__url", &sentinels.url())], &[]).await;
    assert!(has_state(&first, &[]).await);

    sentinels.switch().await;
    eventually("the sentinels to name the other", || async {
        (sentinels.leading().await == second.port).then_some(())
    })
    .await;
    let beat = |latest: serde_json::Value| latest["beat"].as_u64().unwrap_or_default();
    let before = beat(second.latest().await);
    eventually("the lease and the state to be there", || async {
        let held: bool = second.command(&["EXISTS", "meta:leader"]).await;
        (held && beat(second.latest().await) > before + 5).then_some(())
    })
    .await;
    daemon.state_when("the store", |state| state["store"]["mode"] == "redis").await;
    let role: Vec<redis::Value> = first.command(&["ROLE"]).await;
    assert_eq!(role[0], redis::Value::BulkString(b"master".to_vec()));
    let left = beat(first.latest().await);
    eventually("the other to go on", || async { (beat(second.latest().await) > before + 10).then_some(()) }).await;
    assert_eq!(beat(first.latest().await), left, "nothing is written to it any more");

    // Two of three that are cut off may know of another change: nobody can be sure to lead.
    sentinels.signal(1, "STOP").await;
    daemon.state_when("no lease", |state| state["cluster"]["status"] == "degraded").await;
    sentinels.signal(1, "CONT").await;
    daemon.state_when("the lease", |state| state["cluster"]["status"] == "led").await;
}

async fn replica(of: &Redis) -> Redis {
    let port = of.port.to_string();
    let arguments = ["--save", "", "--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"];
    Redis::start_with(&arguments).await
}
