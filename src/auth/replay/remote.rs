//! Names that were used, in Redis.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;

use super::Name;
use crate::domain::Timestamp;
use crate::link::{Fault, Shared};

/// What the names of keys begin with.
const PREFIX: &str = "meta:jti:";

/// What is written, for a millisecond, to see whether Redis takes writes.
const PROBE: &str = "meta:jti:probe";

static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("claim.lua")));

/// The keys in Redis.
#[derive(Debug)]
pub(super) struct Remote {
    link: Shared,
    /// What this pod is called, for as long as it lives.
    pod: String,
    /// How long a name is remembered beyond its expiry.
    beyond: Duration,
}

impl Remote {
    pub(super) fn new(link: Shared, beyond: Duration) -> Self {
        Self { link, pod: format!("{:032x}", rand::random::<u128>()), beyond }
    }

    /// Takes a name. `false`: it was taken by another pod, or by an earlier life of this one.
    pub(super) async fn claim(&self, name: Name, expires: Timestamp, now: Timestamp) -> Result<bool, Fault> {
        let taken = self.claim_all(&[(name, expires)], now).await?;
        taken.first().copied().ok_or(Fault::Other)
    }

    /// Takes names that expire at these times, each by itself.
    pub(super) async fn claim_all(&self, names: &[(Name, Timestamp)], now: Timestamp) -> Result<Vec<bool>, Fault> {
        let mut invocation = CLAIM.arg(&self.pod);
        for (name, expires) in names {
            let lifetime = expires.plus(self.beyond).since(now).as_millis().max(1);
            invocation.key(format!("{PREFIX}{name:032x}")).arg(u64::try_from(lifetime).unwrap_or(u64::MAX));
        }
        self.link.call(async |mut connection| invocation.invoke_async(&mut connection).await).await
    }

    /// Whether Redis answers, and takes writes.
    pub(super) async fn probe(&self) -> Result<(), Fault> {
        let mut probe = redis::cmd("SET");
        probe.arg(PROBE).arg(&self.pod).arg("PX").arg(1);
        self.link.call(async |mut connection| probe.query_async(&mut connection).await).await
    }
}
