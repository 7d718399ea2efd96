//! The Redis that the pods share, of whichever kind.

use redis::FromRedisValue;

use crate::schedule::Kind;
use crate::support::{Redis, Sentinels, eventually};

pub struct Servers {
    /// Two of them where there are sentinels.
    redis: Vec<Redis>,
    sentinels: Option<Sentinels>,
    /// Which of them is down or frozen.
    down: Option<usize>,
    frozen: Option<usize>,
}

impl Servers {
    pub async fn start(kind: Kind) -> Self {
        let kept = if kind == Kind::Durable { "yes" } else { "no" };
        let arguments = ["--save", "", "--appendonly", kept, "--repl-diskless-sync-delay", "0"];
        let mut redis = vec![Redis::start_with(&arguments).await];
        let mut sentinels = None;
        if kind == Kind::Sentinel {
            let master = redis[0].port.to_string();
            redis.push(Redis::start_with(&[&arguments[..], &["--replicaof", "127.0.0.1", &master]].concat()).await);
            sentinels = Some(Sentinels::before(&redis[0], &redis[1], 3).await);
        }
        Self { redis, sentinels, down: None, frozen: None }
    }

    /// The port that a gate stands before; `None` where sentinels tell it.
    pub fn port(&self) -> Option<u16> {
        self.sentinels.is_none().then(|| self.redis[0].port)
    }

    /// Where pods that use no gate find it.
    pub fn url(&self) -> String {
        self.sentinels.as_ref().map_or_else(|| self.redis[0].url(), Sentinels::url)
    }

    /// What the server that takes writes says; `None` where it does not answer now.
    pub async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> Option<T> {
        self.redis[self.leading().await].ask(words).await
    }

    async fn leading(&self) -> usize {
        let Some(sentinels) = &self.sentinels else { return 0 };
        let port = sentinels.leading().await;
        self.redis.iter().position(|redis| redis.port == port).expect("one of them")
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
        if let Some(sentinels) = &self.sentinels {
            sentinels.switch().await;
        }
    }

    /// Waits until another one leads, where one is to be; and brings back what is down or frozen.
    pub async fn heal(&mut self) {
        if let Some(frozen) = self.frozen.take() {
            self.redis[frozen].signal("CONT").await;
        }
        if let Some(down) = self.down.take() {
            if self.sentinels.is_some() {
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
        if self.sentinels.is_none() {
            return;
        }
        eventually("one replica in step", || async {
            let leading = self.leading().await;
            let info: String = self.redis[1 - leading].ask(&["INFO", "replication"]).await?;
            let port = self.redis[leading].port;
            (info.contains("master_link_status:up") && info.contains(&format!("master_port:{port}"))).then_some(())
        })
        .await;
    }
}
