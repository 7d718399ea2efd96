//! The lease in Redis: each request is one script.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{FromRedisValue, Script, ScriptInvocation, Value};

use super::lease::{Answer, Ask};
use crate::link::{Fault, Link};
use crate::sanitize::Position;

const LEADER: &str = "meta:leader";
const EPOCH: &str = "meta:epoch";
const LATEST: &str = "meta:latest";
const FRAMES: &str = "meta:frames";

static LOOK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("look.lua")));
static ACQUIRE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("acquire.lua")));
static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("renew.lua")));
static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("release.lua")));

/// Carries out what [`super::Lease`] asks.
#[derive(Debug)]
pub struct Registrar {
    link: Link,
    /// The instance's name and the process's nonce: what stands in the lease before the number of the try.
    process: String,
    life: Duration,
}

impl Registrar {
    /// For the process of this instance, whose name has no white space; the nonce is new for each process. Leases live so
    /// long, to the millisecond. The link is for nothing else, and should wait for an answer no longer than a third of
    /// that.
    pub fn new(link: Link, instance: &str, nonce: u64, life: Duration) -> Self {
        Self { link, process: format!("{instance} {nonce:016x}"), life }
    }

    /// Asks Redis. Where sentinels tell which server that is, they are asked first, each time: a server that was replaced may
    /// go on to take commands for many seconds, and would give the lease a second time.
    ///
    /// # Errors
    /// Why there is no answer: to the lease that is [`Answer::Unknown`].
    pub async fn ask(&mut self, ask: Ask) -> Result<Answer, Fault> {
        let life = u64::try_from(self.life.as_millis()).unwrap_or(u64::MAX);
        let process = &self.process;
        self.link.confirm().await?;
        match ask {
            Ask::Look => call(&mut self.link, LOOK.key(LEADER).key(LATEST).arg(process)).await,
            Ask::Acquire { attempt, known } => {
                let mut script = ACQUIRE.key(LEADER);
                let script = script.key(EPOCH).key(LATEST).arg(process).arg(attempt).arg(life).arg(known);
                call(&mut self.link, script).await
            }
            Ask::Renew { attempt, epoch } => {
                let mut script = RENEW.key(LEADER);
                call(&mut self.link, script.key(EPOCH).arg(process).arg(attempt).arg(life).arg(epoch)).await
            }
            Ask::Release { attempt } => {
                call(&mut self.link, RELEASE.key(LEADER).key(FRAMES).arg(process).arg(attempt)).await
            }
        }
    }
}

async fn call(link: &mut Link, script: &ScriptInvocation<'_>) -> Result<Answer, Fault> {
    let told: Vec<Value> = link.call(0, async |connection| script.invoke_async(connection).await).await?;
    read(told).ok_or(Fault::Other)
}

fn read(told: Vec<Value>) -> Option<Answer> {
    let mut told = told.into_iter();
    let word: String = take(&mut told)?;
    Some(match word.as_str() {
        "granted" => Answer::Granted { epoch: take(&mut told)? },
        "held" => Answer::Held { by: take(&mut told)?, left: Duration::from_millis(take(&mut told)?) },
        "own" => Answer::Own,
        "free" => {
            let stored = take(&mut told).zip(take(&mut told));
            Answer::Free { stored: stored.map(|(epoch, beat)| Position { epoch, beat }) }
        }
        "renewed" => Answer::Renewed,
        "gone" => Answer::Gone,
        "fenced" => Answer::Fenced,
        "released" => Answer::Released,
        _ => return None,
    })
}

fn take<T: FromRedisValue>(told: &mut impl Iterator<Item = Value>) -> Option<T> {
    T::from_redis_value(told.next()?).ok()
}
