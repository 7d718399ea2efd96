//! The replay guard: a token opens one stream, and a ticket reopens one, until it expires.
//!
//! Each pod remembers what it let in ([`local`]). With Redis beside it, a name is taken there as well (`meta:jti:*`), so
//! that of all pods one wins, and a restart forgets nothing. A name in Redis tells which pod took it: where no answer
//! came, the pod that comes again with the same name is not taken for somebody else.
//!
//! While Redis is away the configured policy holds: each pod guards alone, or no stream is opened. When it is back, it is
//! given all that the pod remembers, so that what was let in meanwhile, and what Redis lost, is refused everywhere.

mod local;
mod remote;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::{MissedTickBehavior, interval};

use self::local::LocalGuard;
use self::remote::Remote;
use super::{Config, Identity, Refusal, ReplayOnOutage};
use crate::domain::Timestamp;
use crate::link::{Fault, Shared};
use crate::telemetry::Metrics;

/// How often Redis is looked for.
const PROBE: Duration = Duration::from_millis(500);
/// Names given back to Redis in one call.
const BATCH: usize = 256;
/// Pause between two such calls: others have their turn in between.
const PAUSE: Duration = Duration::from_millis(2);

/// What a name names; a token's cannot pass for a ticket's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Token,
    Ticket,
}

/// A name in 128 bits of its SHA-256: memory is bounded whatever clients choose for a `jti`, and two names that meet
/// would refuse a good token, never admit a bad one.
type Name = u128;

/// Lets a token open one stream, and a ticket reopen one.
#[derive(Debug)]
pub struct ReplayGuard {
    local: LocalGuard,
    remote: Option<Remote>,
    on_outage: ReplayOnOutage,
    /// Whether Redis is configured and away.
    away: AtomicBool,
    /// Whether Redis may lack names that this pod remembers.
    behind: AtomicBool,
    metrics: Metrics,
}

impl ReplayGuard {
    /// A guard for this pod, and across pods where there is a way to Redis.
    pub fn new(config: &Config, link: Option<Shared>, metrics: Metrics) -> Self {
        Self {
            local: LocalGuard::new(config.replay_capacity, config.leeway),
            // A pod whose clock is behind takes a token for a while longer.
            remote: link.map(|link| Remote::new(link, config.leeway * 2 + Duration::from_secs(1))),
            on_outage: config.replay_on_outage,
            away: AtomicBool::new(false),
            behind: AtomicBool::new(false),
            metrics,
        }
    }

    /// Lets the token of an identity in, once.
    ///
    /// # Errors
    /// [`Refusal::Replayed`] the second time, [`Refusal::Expired`], [`Refusal::MissingTokenId`] when it has no `jti`;
    /// [`Refusal::GuardFull`] when too much is remembered that is still valid; [`Refusal::GuardAway`] while Redis is away
    /// and the policy is to open no stream then: in these two cases the token is not used up.
    pub async fn admit(&self, identity: &Identity, now: Timestamp) -> Result<(), Refusal> {
        let jti = identity.jti.as_deref().ok_or(Refusal::MissingTokenId)?;
        self.consume(Sort::Token, jti, identity.expires, now).await
    }

    pub(super) async fn consume(
        &self,
        sort: Sort,
        name: &str,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let name = hashed(sort, name);
        // First here, at once: of many who come to this pod at the same time one goes on to ask Redis.
        self.local.consume(name, expires, now)?;
        let Some(remote) = &self.remote else { return Ok(()) };
        match remote.claim(name, expires, now).await {
            Ok(true) => {
                self.told(None);
                Ok(())
            }
            Ok(false) => {
                self.told(None);
                Err(Refusal::Replayed)
            }
            Err(fault) => {
                self.told(Some(fault));
                match self.on_outage {
                    ReplayOnOutage::Local => Ok(()),
                    ReplayOnOutage::Deny => {
                        self.local.release(name);
                        Err(Refusal::GuardAway)
                    }
                }
            }
        }
    }

    /// Looks for Redis for ever, and gives it what it lacks when it is back. Returns at once where none is configured.
    pub async fn keep(&self, clock: impl Fn() -> Timestamp) {
        let Some(remote) = &self.remote else { return };
        let mut ticks = interval(PROBE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let probed = if self.behind.load(Ordering::Acquire) {
                self.catch_up(remote, &clock).await
            } else {
                remote.probe().await
            };
            self.told(probed.err());
        }
    }

    /// Gives Redis all names that are remembered here.
    async fn catch_up(&self, remote: &Remote, clock: &impl Fn() -> Timestamp) -> Result<(), Fault> {
        // Where there is no name to give, nothing else would ask it.
        remote.probe().await?;
        // What fails from now on is to be given again.
        self.behind.store(false, Ordering::Release);
        let names = self.local.alive(clock());
        let mut elsewhere = 0;
        for batch in names.chunks(BATCH) {
            match remote.claim_all(batch, clock()).await {
                Ok(taken) => elsewhere += taken.iter().filter(|taken| !**taken).count(),
                Err(fault) => {
                    self.behind.store(true, Ordering::Release);
                    return Err(fault);
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        tracing::info!(names = names.len(), elsewhere, "redis was given the tokens in use");
        if elsewhere > 0 {
            self.metrics.auth_replays_in_outage_total.inc_by(elsewhere as u64);
            tracing::warn!(tokens = elsewhere, "tokens were used on more than one pod while redis was away");
        }
        Ok(())
    }

    /// Takes in how a call to Redis went.
    fn told(&self, fault: Option<Fault>) {
        if fault.is_some() {
            self.behind.store(true, Ordering::Release);
        }
        if self.away.swap(fault.is_some(), Ordering::AcqRel) == fault.is_some() {
            return;
        }
        self.metrics.auth_replay_outage.set(i64::from(fault.is_some()));
        match (fault, self.on_outage) {
            (Some(fault), ReplayOnOutage::Local) => {
                tracing::error!(fault = fault.as_str(), "redis is away: replay is guarded by this pod alone");
            }
            (Some(fault), ReplayOnOutage::Deny) => {
                tracing::error!(fault = fault.as_str(), "redis is away: no stream is opened");
            }
            (None, _) => tracing::info!("redis is back: replay is guarded across pods"),
        }
    }
}

fn hashed(sort: Sort, name: &str) -> Name {
    let label: &[u8] = match sort {
        Sort::Token => b"token\0",
        Sort::Ticket => b"ticket\0",
    };
    let digest = Sha256::new().chain_update(label).chain_update(name).finalize();
    digest.iter().take(16).fold(0, |name, byte| name << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> ReplayGuard {
        ReplayGuard::new(&Config::default(), None, Metrics::new().unwrap())
    }

    #[tokio::test]
    async fn tokens_and_tickets_have_names_of_their_own() {
        let guard = guard();
        let (end, now) = (Timestamp::from_nanos(100_000_000_000), Timestamp::EPOCH);
        assert_eq!(guard.consume(Sort::Token, "a", end, now).await, Ok(()));
        assert_eq!(guard.consume(Sort::Ticket, "a", end, now).await, Ok(()));
        assert_eq!(guard.consume(Sort::Ticket, "a", end, now).await, Err(Refusal::Replayed));
        assert_eq!(guard.consume(Sort::Token, "b", end, now).await, Ok(()));
    }

    #[test]
    fn names_are_hashed_the_same_way_everywhere() {
        // Pods of different versions meet at these names.
        assert_eq!(format!("{:032x}", hashed(Sort::Token, "a")), "a26e8e8a1e742a8b7578c5c7ccad32f9");
        assert_ne!(hashed(Sort::Token, "a"), hashed(Sort::Ticket, "a"));
    }
}
