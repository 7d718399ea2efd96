//! The Redis that the pods share, of whichever kind.

use std::time::Duration;

use redis::FromRedisValue;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::schedule::Kind;
use crate::support::{Redis, eventually};

pub struct Servers {
    pub kind: Kind,
    /// Two of them where there are sentinels.
    redis: Vec<Redis>,
    sentinels: Vec<Redis>,
    /// Which of them is down or frozen.
    down: Option<usize>,
    frozen: Option<usize>,
    _directories: Vec<TempDir>,
}

const SERVICE: &str = "heart";

impl Servers {
    pub async fn start(kind: Kind) -> Self {
        let kept = if kind == Kind::Durable { "yes" } else { "no" };
        let arguments = ["--save", "", "--appendonly", kept, "--repl-diskless-sync-delay", "0"];
        let mut redis = vec![Redis::start_with(&arguments).await];
        let (mut sentinels, mut directories) = (Vec::new(), Vec::new());
        if kind == Kind::Sentinel {
            let master = redis[0].port.to_string();
            let replica = [&arguments[..], &["--replicaof", "127.0.0.1", &master]].concat();
            redis.push(Redis::start_with(&replica).await);
            eventually("the replica to be in step", || async {
                let info: String = redis[1].command(&["INFO", "replication"]).await;
                info.contains("master_link_status:up").then_some(())
            })
            .await;
            for _ in 0..3 {
                let directory = tempfile::tempdir().expect("a directory");
                let file = directory.path().join("sentinel.conf");
                let settings = format!(
                    "sentinel monitor {SERVICE} 127.0.0.1 {master} 2\nsentinel down-after-milliseconds {SERVICE} 1000\n\
                     sentinel failover-timeout {SERVICE} 4000\nsentinel parallel-syncs {SERVICE} 1\n"
                );
                std::fs::write(&file, settings).expect("a file");
                let path = file.to_str().expect("a path").to_owned();
                let mut sentinel = Redis::prepare(&[&path, "--sentinel"]);
                sentinel.run().await;
                sentinels.push(sentinel);
                // Redis rewrites its file.
                directories.push(directory);
            }
            eventually("the sentinels to know each other", || async {
                let mut known = true;
                for sentinel in &sentinels {
                    let info: String = sentinel.command(&["INFO", "sentinel"]).await;
                    known &= info.contains("status=ok") && info.contains("slaves=1,sentinels=3");
                }
                known.then_some(())
            })
            .await;
        }
        Self { kind, redis, sentinels, down: None, frozen: None, _directories: directories }
    }

    /// The port that a gate stands before; `None` where sentinels tell it.
    pub fn port(&self) -> Option<u16> {
        (self.kind != Kind::Sentinel).then(|| self.redis[0].port)
    }

    /// Where pods that use no gate find it.
    pub fn url(&self) -> String {
        let sentinels: Vec<_> = self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!("redis+sentinel://{}/{SERVICE}", sentinels.join(","))
    }

    /// What the server that takes writes says; `None` where it does not answer now.
    pub async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> Option<T> {
        ask(&self.redis[self.leading().await], words).await
    }

    async fn leading(&self) -> usize {
        if self.kind != Kind::Sentinel {
            return 0;
        }
        let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE];
        eventually("a sentinel to tell the master", || async {
            let (_, port): (String, u16) = ask(&self.sentinels[0], &words).await?;
            self.redis.iter().position(|redis| redis.port == port)
        })
        .await
    }

    pub async fn kill(&mut self) {
        let leading = self.leading().await;
        self.redis[leading].kill().await;
        self.down = Some(leading);
    }

    pub async fn freeze(&mut self) {
        let leading = self.leading().await;
        self.redis[leading].signal("STOP").await;
        self.frozen = Some(leading);
    }

    /// Has the sentinels change masters.
    pub async fn switch(&mut self) {
        // It may find a failover under way, and say so.
        let _: Option<String> = ask(&self.sentinels[0], &["SENTINEL", "FAILOVER", SERVICE]).await;
    }

    /// Waits until another one leads, where one is to be; and brings back what is down or frozen.
    pub async fn heal(&mut self) {
        if let Some(frozen) = self.frozen.take() {
            self.redis[frozen].signal("CONT").await;
        }
        if let Some(down) = self.down.take() {
            if self.kind == Kind::Sentinel {
                eventually("the sentinels to change masters", || async {
                    (self.leading().await != down).then_some(())
                })
                .await;
            }
            self.redis[down].run().await;
        }
    }

    /// Waits until what follows does follow.
    pub async fn in_step(&self) {
        if self.kind != Kind::Sentinel {
            return;
        }
        eventually("one replica in step", || async {
            let leading = self.leading().await;
            let info: String = ask(&self.redis[1 - leading], &["INFO", "replication"]).await?;
            let port = self.redis[leading].port;
            (info.contains("master_link_status:up") && info.contains(&format!("master_port:{port}"))).then_some(())
        })
        .await;
    }
}

/// Asks one server. Servers that change roles close their connections.
async fn ask<T: FromRedisValue>(server: &Redis, words: &[&str]) -> Option<T> {
    let client = redis::Client::open(server.url()).expect("a URL");
    let asking = async {
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.ok()
    };
    timeout(Duration::from_secs(2), asking).await.ok().flatten()
}
