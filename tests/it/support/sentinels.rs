//! Sentinels of a test's own, which watch over servers of its own.

use std::time::Duration;

use redis::FromRedisValue;
use tempfile::TempDir;
use tokio::time::timeout;

use super::redis::Redis;
use super::wait::eventually;

pub struct Sentinels {
    all: Vec<Redis>,
    _directories: Vec<TempDir>,
}

impl Sentinels {
    const SERVICE: &str = "heart";

    /// Starts so many, most of which have to agree, before a server that leads and its replica.
    pub async fn before(leading: &Redis, replica: &Redis, many: usize) -> Self {
        eventually("the replica to be in step", || async {
            let info: String = replica.command(&["INFO", "replication"]).await;
            info.contains("master_link_status:up").then_some(())
        })
        .await;
        let (mut all, mut directories) = (Vec::new(), Vec::new());
        for _ in 0..many {
            let directory = tempfile::tempdir().expect("a directory");
            let file = directory.path().join("sentinel.conf");
            let (service, port, most) = (Self::SERVICE, leading.port, many / 2 + 1);
            let settings = format!(
                "sentinel monitor {service} 127.0.0.1 {port} {most}\nsentinel down-after-milliseconds {service} 1000\n\
                 sentinel failover-timeout {service} 4000\nsentinel parallel-syncs {service} 1\n"
            );
            std::fs::write(&file, settings).expect("a file");
            let mut sentinel = Redis::prepare(&[file.to_str().expect("a path"), "--sentinel"]);
            sentinel.run().await;
            all.push(sentinel);
            // Redis rewrites its file.
            directories.push(directory);
        }
        let known = format!("slaves=1,sentinels={many}");
        eventually("the sentinels to know each other", || async {
            for sentinel in &all {
                let info: String = sentinel.command(&["INFO", "sentinel"]).await;
                if !info.contains("status=ok") || !info.contains(&known) {
                    return None;
                }
            }
            Some(())
        })
        .await;
        Self { all, _directories: directories }
    }

    /// What a daemon is told.
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.all.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!("redis+sentinel://{}/{}", addresses.join(","), Self::SERVICE)
    }

    /// The port of the server that leads, as the first of them has it.
    pub async fn leading(&self) -> u16 {
        let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::SERVICE];
        let told = eventually("a sentinel to tell who leads", || self.all[0].ask::<(String, u16)>(&words)).await;
        told.1
    }

    /// Has them make the replica lead.
    pub async fn switch(&self) {
        // They may be about it already, and say so.
        let _: Option<String> = self.all[0].ask(&["SENTINEL", "FAILOVER", Self::SERVICE]).await;
    }

    /// Signals the one of this number.
    pub async fn signal(&self, number: usize, name: &str) {
        self.all[number].signal(name).await;
    }
}

impl Redis {
    /// Asks a server that may be away, or close its connections because its role changes.
    pub async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> Option<T> {
        let client = redis::Client::open(self.url()).expect("a URL");
        let asking = async {
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            let mut command = redis::cmd(words[0]);
            command.arg(&words[1..]);
            command.query_async(&mut connection).await.ok()
        };
        timeout(Duration::from_secs(2), asking).await.ok().flatten()
    }
}
