//! The form in which an agent's calibration is kept: its claims; the rest follows from them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::pending::{self, Half, Waiting};
use super::window::{self, Resolved};
use super::{Calibration, Sensitivity, State};
use crate::domain::{Probability, TaskKey, Timestamp};

/// Confidences are kept as their bits: a decimal that reads back a hair off would break a tie.
#[derive(Serialize, Deserialize)]
struct Saved {
    /// Key, bits of the confidence, whether right, class of tasks.
    resolved: Vec<(u64, u64, bool, Class)>,
    waiting: Vec<(u64, Timestamp, SavedHalf)>,
    expired: u64,
    duplicates: u64,
    sensitivity: Option<Sensitivity>,
    stale: bool,
}

#[derive(Serialize, Deserialize)]
enum SavedHalf {
    #[serde(rename = "claim")]
    Claim(u64, Class),
    #[serde(rename = "verdict")]
    Verdict(bool),
}

/// Class of tasks; the outer `None` is of claims whose class found no room.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq)]
enum Class {
    #[serde(rename = "m")]
    Mixed,
    #[serde(rename = "n")]
    None,
    #[serde(rename = "t")]
    Task(TaskKey),
}

impl From<Option<Option<TaskKey>>> for Class {
    fn from(task: Option<Option<TaskKey>>) -> Self {
        match task {
            None => Self::Mixed,
            Some(None) => Self::None,
            Some(Some(task)) => Self::Task(task),
        }
    }
}

impl Serialize for Calibration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_deref().map(Saved::of).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Calibration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let state = Option::<Saved>::deserialize(deserializer)?.map(Saved::restore).transpose();
        Ok(Self(state.map_err(serde::de::Error::custom)?.map(Box::new)))
    }
}

impl PartialEq for Calibration {
    /// Equal when the same claims, halves and counts are in it, in the same order.
    fn eq(&self, other: &Self) -> bool {
        let (Some(a), Some(b)) = (&self.0, &other.0) else { return self.0.is_none() == other.0.is_none() };
        let resolved = |state: &State| -> Vec<_> {
            state.window.iter().map(|r| (r.claim, r.confidence, r.correct, state.strata.task(r.stratum))).collect()
        };
        let waiting = |state: &State| -> Vec<_> {
            let class = |half| match half {
                Half::Claim(confidence, stratum) => (Some((confidence, state.strata.task(stratum))), false),
                Half::Verdict(correct) => (None, correct),
            };
            state.pending.iter().map(|w| (w.claim, w.at, class(w.half))).collect()
        };
        let rest = |state: &State| (state.expired, state.duplicates, state.sensitivity, state.stale);
        rest(a) == rest(b) && resolved(a) == resolved(b) && waiting(a) == waiting(b)
    }
}

impl Saved {
    fn of(state: &State) -> Self {
        let class = |stratum: u8| Class::from(state.strata.task(stratum));
        let resolved = |r: Resolved| (r.claim, r.confidence.to_bits(), r.correct, class(r.stratum));
        let waiting = |w: Waiting| {
            let half = match w.half {
                Half::Claim(confidence, stratum) => SavedHalf::Claim(confidence.to_bits(), class(stratum)),
                Half::Verdict(correct) => SavedHalf::Verdict(correct),
            };
            (w.claim, w.at, half)
        };
        Self {
            resolved: state.window.iter().map(resolved).collect(),
            waiting: state.pending.iter().map(waiting).collect(),
            expired: state.expired,
            duplicates: state.duplicates,
            sensitivity: state.sensitivity,
            stale: state.stale,
        }
    }

    /// Builds everything anew from the claims, trusting none of it.
    fn restore(self) -> Result<State, &'static str> {
        let confidence = |bits: u64| {
            Probability::new(f64::from_bits(bits)).map(Probability::get).ok_or("a confidence must be from 0 to 1")
        };
        let mut state = State::default();
        if self.resolved.len() > window::MAX || self.waiting.len() > pending::MAX {
            return Err("too many claims");
        }
        for (claim, bits, correct, class) in self.resolved {
            if state.window.contains(claim) {
                return Err("a claim is resolved twice");
            }
            let stratum = state.restore_class(class);
            state.add(Resolved { claim, confidence: confidence(bits)?, correct, stratum });
        }
        for (claim, at, half) in self.waiting {
            if state.window.contains(claim) || state.pending.get(claim).is_some() {
                return Err("a claim that waits is known already");
            }
            let half = match half {
                SavedHalf::Claim(bits, class) => Half::Claim(confidence(bits)?, state.restore_class(class)),
                SavedHalf::Verdict(correct) => Half::Verdict(correct),
            };
            state.pending.push(Waiting { claim, at, half });
        }
        let finite = |s: &Sensitivity| {
            let rest = [s.meta_d, s.meta_d_regularised, s.d_regularised];
            [s.d, s.c].into_iter().chain(rest.into_iter().flatten()).all(f64::is_finite)
        };
        if !self.sensitivity.as_ref().is_none_or(finite) {
            return Err("a fit must be finite");
        }
        let Self { expired, duplicates, sensitivity, stale, .. } = self;
        Ok(State { expired, duplicates, sensitivity, stale, ..state })
    }
}

impl State {
    fn restore_class(&mut self, class: Class) -> u8 {
        match class {
            Class::Mixed => self.strata.enter_mixed(),
            Class::None => self.strata.enter(None),
            Class::Task(task) => self.strata.enter(Some(task)),
        }
    }
}

/// Floats as bits.
pub(super) mod bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(x: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        x.to_bits().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

/// Optional floats as bits.
pub(super) mod maybe_bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(x: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        x.map(f64::to_bits).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(f64::from_bits))
    }
}
