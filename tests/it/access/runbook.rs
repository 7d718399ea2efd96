//! "Revoke a token" and "Scope audit" of the runbook, run to the letter.

use super::{STREAM, named, open, pod};
use crate::support::{Redis, SECRET, runbook};

#[tokio::test]
async fn revoking_and_the_scope_audit_work_to_the_letter() {
    let blocks = ["What you need", "Revoke a token", "Scope audit"].map(runbook::blocks).concat();
    assert!(blocks.len() >= 7, "{}", blocks.len());
    let redis = Redis::start().await;
    let daemon = pod(&redis, &[]).await;
    let mut stream = open(&daemon, &named("alice", "t-1", STREAM)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("DAEMON", daemon.url("")),
        ("CONSCIOUSNESS__AUTH__SECRET", SECRET.to_owned()),
        ("CONSCIOUSNESS__REDIS__URL", redis.url()),
    ];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let out = runbook::run(&blocks, folder.path(), &variables).await;
    assert_eq!(stream.closed().await.0, 4403);
    for expected in ["revoked until", "no longer revoked", "metacog.stream: held by", "auth_revocations 2"] {
        assert!(out.contains(expected), "{expected} is missing:\n{out}");
    }
    assert!(folder.path().join("scope-audit.csv").exists() && folder.path().join("audit.jsonl").exists());
}
