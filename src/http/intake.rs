//! Observations, from decoded to queued and counted.

use crate::cluster::{Pack, Refused, Safe, Spool};
use crate::domain::{KindName, Observation, Source, Timestamp};
use crate::ingest::queue::{OfferError, RETRY_AFTER, Sender};
use crate::ingest::{self, Batch, RejectReason, native};
use crate::telemetry::Metrics;

/// The way to the heart.
#[derive(Debug, Clone)]
pub enum Way {
    /// To the heart of this process.
    Direct(Sender),
    /// Through Redis to the heart that leads.
    Shared(Spool),
}

impl Way {
    /// Observations on the way to be folded.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Direct(queue) => queue.len(),
            Self::Shared(spool) => spool.unread(),
        }
    }

    /// Whether observations are written down on the way, which takes a while where they are many.
    pub(super) fn writes(&self) -> bool {
        matches!(self, Self::Shared(_))
    }

    /// Takes in observations, all or none. What is returned is ready once they are safe.
    fn offer(&self, observations: Vec<Observation>) -> Result<Option<Safe>, OfferError> {
        let spool = match self {
            Self::Direct(queue) => return queue.offer(observations).map(|()| None),
            Self::Shared(spool) => spool,
        };
        spool.offer(Pack::write(&observations)).map(Some).map_err(|refused| match refused {
            Refused::Full => OfferError::Full { retry_after: RETRY_AFTER },
            Refused::TooLarge { capacity } => OfferError::TooLarge { capacity },
            Refused::Closed => OfferError::Closed,
        })
    }
}

/// What takes observations in.
#[derive(Debug)]
pub(super) struct Intake {
    pub way: Way,
    pub limits: ingest::Limits,
    pub metrics: Metrics,
}

impl Intake {
    /// Takes in what was accepted of a batch, all of it or nothing, and counts. Returns how many were accepted, and what
    /// is ready once they are safe.
    pub(super) fn offer(&self, batch: &mut Batch, source: Source) -> Result<(usize, Option<Safe>), OfferError> {
        let accepted = std::mem::take(&mut batch.accepted);
        let count = accepted.len();
        for rejection in &batch.rejected {
            self.rejected(rejection.reason, 1);
        }
        let kinds = kinds(&accepted);
        let safe = self.way.offer(accepted).inspect_err(|error| self.rejected(error.reason(), count))?;
        for (kind, count) in KindName::ALL.iter().zip(kinds) {
            if count > 0 {
                self.metrics.observations_total.with_label_values(&[source.as_str(), kind.as_str()]).inc_by(count);
            }
        }
        Ok((count, safe))
    }

    /// Takes in one observation of a stream.
    pub(super) fn observe(&self, json: &str, now: Timestamp) -> Result<(), String> {
        let decoded = native::decode_one(json.as_bytes(), Source::Stream, now, &self.limits);
        let observation = decoded.map_err(|refusal| {
            self.rejected(refusal.reason, 1);
            refusal.error
        })?;
        let mut batch = Batch { accepted: vec![observation], rejected: Vec::new() };
        self.offer(&mut batch, Source::Stream).map(|_| ()).map_err(|error| error.to_string())
    }

    /// Counts what was rejected.
    pub(super) fn rejected(&self, reason: RejectReason, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.metrics.observations_rejected_total.with_label_values(&[reason.as_str()]).inc_by(count);
    }
}

fn kinds(observations: &[Observation]) -> [u64; KindName::ALL.len()] {
    let mut counts = [0; KindName::ALL.len()];
    for observation in observations {
        if let Some(count) = counts.get_mut(observation.kind.name() as usize) {
            *count += 1;
        }
    }
    counts
}
