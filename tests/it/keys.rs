//! Keys come and go while clients do.

use std::os::unix::fs::symlink;
use std::path::Path;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use crate::support::{Daemon, connect, eventually, runbook, unix_now};

/// A token of a random name, signed by the secret in a file.
fn signed(file: &Path, kid: &str) -> String {
    let secret = std::fs::read_to_string(file).unwrap();
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
    let jti = format!("{:032x}", rand::random::<u128>());
    let claims = json!({"sub": "a", "scope": "metacog.stream metrics.read", "exp": unix_now() + 600, "jti": jti});
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret.trim_end().as_bytes())).unwrap()
}

fn write(folder: &Path, name: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join(name), format!("{name}-secret-for-tests-of-32-bytes-or-more\n")).unwrap();
}

async fn status(daemon: &Daemon, token: &str) -> u16 {
    daemon.http.get(daemon.url("/v1/state")).bearer_auth(token).send().await.unwrap().status().as_u16()
}

async fn scrape(daemon: &Daemon, token: &str) -> String {
    daemon.http.get(daemon.url("/metrics")).bearer_auth(token).send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn a_mounted_secret_is_followed_with_nobody_refused() {
    let mount = tempfile::tempdir().unwrap();
    let at = |name: &str| mount.path().join(name);
    // As kubelet does it: the files are links through `..data`, which is moved to another folder in one step.
    let swap = |version: &str, names: &[&str]| {
        for name in names {
            write(&at(version), name);
            let _ = symlink(format!("..data/{name}"), at(name));
        }
        symlink(version, at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
        for entry in std::fs::read_dir(mount.path()).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if !name.starts_with("..") && !names.contains(&&*name) {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
    };
    swap("..1", &["2025-01.hs256"]);
    let keys = mount.path().to_str().unwrap().to_owned();
    let daemon = Daemon::start(&[("auth__secret", ""), ("auth__keys_dir", &keys)]).await;
    let of_old = || signed(&at("..1").join("2025-01.hs256"), "2025-01");
    let mut stream = connect(&daemon, &of_old()).await;
    stream.until("the state", |_| true).await;

    swap("..2", &["2025-01.hs256", "2025-02.hs256"]);
    let of_new = || signed(&at("..2").join("2025-02.hs256"), "2025-02");
    eventually("the new key", || async {
        // Whoever comes with the old key in the meantime is let in.
        assert_eq!(status(&daemon, &of_old()).await, 200);
        (status(&daemon, &of_new()).await == 200).then_some(())
    })
    .await;
    let text = scrape(&daemon, &of_new()).await;
    let age = |kid: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("auth_key_age_seconds{{kid=\"{kid}\"}} ")));
        line.expect("each key has an age").parse().unwrap()
    };
    assert_eq!(age("2025-01") - age("2025-02"), 31.0 * 86_400.0, "they are as old as they are called");

    // What is broken changes nothing, and is told and counted.
    swap("..3", &["2025-02.hs256", "2025-03.rs256"]);
    eventually("the failure", || async {
        let failed = "reloads_total{outcome=\"failed\",part=\"keys\"} 1";
        scrape(&daemon, &of_new()).await.contains(failed).then_some(())
    })
    .await;
    assert_eq!((status(&daemon, &of_old()).await, status(&daemon, &of_new()).await), (200, 200));
    let told = daemon.log().into_iter().find(|line| line.contains("keys not taken over")).expect("it is told");
    assert!(told.contains("2025-03.rs256 holds no public key in PEM form"), "{told}");

    swap("..4", &["2025-02.hs256"]);
    eventually("the old key to be gone", || async {
        assert_eq!(status(&daemon, &of_new()).await, 200);
        (status(&daemon, &of_old()).await == 401).then_some(())
    })
    .await;
    eventually("its age to be gone", || async {
        (!scrape(&daemon, &of_new()).await.contains("kid=\"2025-01\"")).then_some(())
    })
    .await;
    // The stream that the old key opened lives on, and goes over to the new one.
    stream.send(json!({"type": "auth", "token": of_new()})).await;
    stream.frame_of_type("hello").await;
    assert!(!daemon.log().concat().contains("secret-for-tests"));
}

#[tokio::test]
async fn the_rotation_drill_works_to_the_letter_under_live_streams() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    write(&keys, "2025-01-01.hs256");
    let keys = keys.to_str().unwrap();
    let daemon = Daemon::start(&[("auth__secret", ""), ("auth__keys_dir", keys)]).await;
    let of_old = signed(&Path::new(keys).join("2025-01-01.hs256"), "2025-01-01");
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(connect(&daemon, &signed(&Path::new(keys).join("2025-01-01.hs256"), "2025-01-01")).await);
    }
    let blocks = runbook::blocks("Key rotation");
    assert!(blocks.len() >= 5, "{}", blocks.len());
    let variables = [("DAEMON", daemon.url("")), ("KEYS", keys.to_owned()), ("OLD_TOKEN", of_old)];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let variables = [&variables[..], &[("CONSCIOUSNESS__AUTH__KEYS_DIR", keys)]].concat();
    let drill = runbook::run(&blocks, folder.path(), &variables);
    let watching = async {
        // Frames go on coming on every stream, gapless, while keys come and go.
        for _ in 0..5 {
            for stream in &mut streams {
                stream.next().await.expect("no stream ends");
            }
        }
        streams
    };
    let (out, mut streams) = tokio::join!(drill, watching);
    assert_eq!(out.matches("auth_key_age_seconds{kid=").count(), 1, "{out}");
    assert!(out.contains("\"kid\":\"") && !out.contains("\"kid\":\"2025-01-01\""), "the new key signs: {out}");
    assert!(out.contains("with the new key: 200") && out.contains("with the old key: 401"), "{out}");
    for stream in &mut streams {
        stream.next().await.expect("no stream ends");
    }
    assert_eq!(std::fs::read_dir(keys).unwrap().count(), 1);
    daemon.log().iter().for_each(|line| assert!(!line.contains("\"level\":\"ERROR\""), "{line}"));
}
