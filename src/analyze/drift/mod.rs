//! Drift: a series of an agent's figures changed its level.
//!
//! Four series are followed: how sure the agent says it is, whether it was right, how long its calls take and whether
//! they fail. [`Adwin`] finds the changes; rises of the error rate, which must be noticed within a few errors, are found
//! by [`Hddm`] too.
//!
//! | series | values | before and after are | for the worse when | look at |
//! | --- | --- | --- | --- | --- |
//! | `confidence` | confidence of each claim | means | either way | what it is asked now; whether accuracy went along |
//! | `accuracy` | each verdict, 0 or 1 | shares | it falls | its task, model and prompt at that time |
//! | `latency` | ln(1 + ms) of each result | geometric means, ms | it rises | the tool or service that got slow |
//! | `errors` | each result, 1 failed | shares | it rises | the errors' texts; `blocked` where they are the infrastructure's |
//!
//! Window: ADWIN's own, as long as nothing changed. A change is looked for at every 32nd value, so a large one is told
//! some 32 to 64 values after it began, a small one later; with delta = 0.002 a steady series is told to have changed
//! hardly ever. Sources: Bifet & Gavaldà (2007) and Frías-Blanco et al. (2015), see the two files.

mod adwin;
mod hddm;

use std::mem::offset_of;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use adwin::{Adwin, Split};
pub use hddm::{Hddm, Rise};

use super::ahead::{fetch, fetch_whole};
use crate::domain::{Assessment, Evidence, EvidenceKey, InsightKind, Kind, Observation, Severity, Timestamp, Word};

/// The series that are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Series {
    /// Confidences of claims, 0 to 1.
    Confidence,
    /// Verdicts: 1 correct, 0 wrong.
    Accuracy,
    /// Durations of results: ln(1 + milliseconds), see [`latency_value`].
    Latency,
    /// Results: 1 failed, 0 succeeded.
    Errors,
}

impl Series {
    /// All series, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Confidence, Self::Accuracy, Self::Latency, Self::Errors];

    /// The word that stands for it in evidence.
    pub const fn word(self) -> Word {
        match self {
            Self::Confidence => Word::Confidence,
            Self::Accuracy => Word::Accuracy,
            Self::Latency => Word::Latency,
            Self::Errors => Word::Errors,
        }
    }

    /// A level of the series as it is shown: latency in milliseconds, the others as they are.
    fn shown(self, level: f64) -> f64 {
        if self == Self::Latency { level.exp_m1().clamp(0.0, f64::MAX) } else { level }
    }
}

/// The value that [`Series::Latency`] follows: durations spread over magnitudes, so their logarithms are compared.
pub fn latency_value(milliseconds: f64) -> f64 {
    milliseconds.max(0.0).ln_1p()
}

/// A change of level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The series that changed.
    pub series: Series,
    /// Index of the value that showed it, 0-based in its series over the agent's life.
    pub index: u64,
    /// Level before: a mean; for latency in milliseconds.
    pub before: f64,
    /// Level after, likewise.
    pub after: f64,
    /// Distance of the two, never negative.
    pub size: f64,
    /// How sure it is that this is no accident, 0 to 1.
    pub confidence: f64,
}

impl Change {
    fn new(series: Series, index: u64, before: f64, after: f64, confidence: f64) -> Self {
        let (before, after) = (series.shown(before), series.shown(after));
        Self { series, index, before, after, size: (after - before).abs(), confidence }
    }

    fn severity(&self, config: &Config) -> Severity {
        let rose = self.after > self.before;
        let worse = match self.series {
            Series::Accuracy => !rose,
            Series::Latency | Series::Errors => rose,
            // Neither direction is better by itself; calibration says which.
            Series::Confidence => true,
        };
        let (large, huge) = if self.series == Series::Latency {
            let factor = (self.after + 1.0) / (self.before + 1.0);
            (factor >= config.warning_factor, factor >= config.critical_factor)
        } else {
            (self.size >= config.warning_size, self.size >= config.critical_size)
        };
        match (worse, large, huge) {
            (true, _, true) if self.series != Series::Confidence => Severity::Critical,
            (true, true, _) => Severity::Warning,
            _ => Severity::Info,
        }
    }
}

/// When drift is worth telling, and how bad it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long an insight stays open after the change that opened it.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub hold: Duration,
    /// Smallest rise of the error rate that the quick detector alone may tell.
    pub quick_rise: f64,
    /// Change for the worse of confidence, accuracy or error rate that is a warning.
    pub warning_size: f64,
    /// Change for the worse of accuracy or error rate that is critical.
    pub critical_size: f64,
    /// Factor by which latency must have grown for a warning.
    pub warning_factor: f64,
    /// Factor by which latency must have grown to be critical.
    pub critical_factor: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(600),
            quick_rise: 0.1,
            warning_size: 0.1,
            critical_size: 0.5,
            warning_factor: 1.5,
            critical_factor: 10.0,
        }
    }
}

/// One agent's series. A series that never came costs a pointer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "Saved")]
pub struct Drift {
    tracks: [Option<Box<Track>>; 4],
    /// The quick detector of failures, and what it found last.
    quick: Option<Box<Quick>>,
    /// The latest moment of a change.
    #[serde(skip)]
    latest: Timestamp,
}

#[derive(Deserialize)]
struct Saved {
    tracks: [Option<Box<Track>>; 4],
    quick: Option<Box<Quick>>,
}

impl From<Saved> for Drift {
    fn from(Saved { tracks, quick }: Saved) -> Self {
        let latest = latest(&tracks, quick.as_deref());
        Self { tracks, quick, latest }
    }
}

fn latest(tracks: &[Option<Box<Track>>; 4], quick: Option<&Quick>) -> Timestamp {
    let found = tracks.iter().flatten().filter_map(|track| track.last.as_ref());
    let found = found.chain(quick.and_then(|quick| quick.last.as_ref()));
    found.map(|dated| dated.at).max().unwrap_or_default()
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Track {
    adwin: Adwin,
    seen: u64,
    changes: u64,
    last: Option<Dated>,
}

impl Track {
    /// Counts a value: its index.
    fn count(&mut self) -> u64 {
        self.seen += 1;
        self.seen - 1
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Quick {
    hddm: Hddm,
    last: Option<Dated>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Dated {
    change: Change,
    at: Timestamp,
}

/// Where the series stand; `None` for one that has no value yet.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// Confidence of claims.
    pub confidence: Option<Level>,
    /// Share of claims that were right.
    pub accuracy: Option<Level>,
    /// Duration of results; the mean is that of ln(1 + ms), shown in milliseconds.
    pub latency: Option<Level>,
    /// Share of results that failed.
    pub errors: Option<Level>,
}

/// Where a series stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Mean over the adaptive window.
    pub mean: f64,
    /// Values in the adaptive window.
    pub window: u64,
    /// Changes detected so far.
    pub changes: u64,
}

impl Drift {
    /// Takes the next value of a series, at the time it belongs to; the change that it showed, if it did. What the quick
    /// detector finds is kept for the insight and not returned.
    pub fn observe(&mut self, series: Series, value: f64, at: Timestamp) -> Option<Change> {
        self.follow(series, value, at, series == Series::Errors)
    }

    /// Takes the next result of [`Series::Errors`]. Failures of the infrastructure are no concern of the quick detector:
    /// they say nothing of the agent, and when they come in a row, the agent is said to be blocked.
    pub fn observe_result(&mut self, failed: bool, infrastructure: bool, at: Timestamp) -> Option<Change> {
        self.follow(Series::Errors, if failed { 1.0 } else { 0.0 }, at, !infrastructure)
    }

    fn follow(&mut self, series: Series, value: f64, at: Timestamp, quick: bool) -> Option<Change> {
        if !value.is_finite() {
            return None;
        }
        let index = self.tracks[series as usize].get_or_insert_default().count();
        if quick {
            let quick = self.quick.get_or_insert_default();
            if let Some(rise) = quick.hddm.update(value > 0.5) {
                let change = Change::new(series, index, rise.before, rise.after, rise.confidence);
                quick.last = Some(Dated { change, at });
                self.latest = latest(&self.tracks, self.quick.as_deref());
            }
        }
        let track = self.tracks[series as usize].as_mut()?;
        let split = track.adwin.update(value)?;
        let change = Change::new(series, index, split.before, split.after, split.confidence);
        track.changes += 1;
        track.last = Some(Dated { change, at });
        self.latest = latest(&self.tracks, self.quick.as_deref());
        Some(change)
    }

    /// See [`super::ahead`].
    pub(crate) fn ahead(&self, observation: &Observation) {
        for track in self.followed(observation) {
            fetch_whole::<Track, _>(&track.seen, offset_of!(Track, seen));
        }
        if let Kind::Result { .. } = observation.kind {
            fetch(self.quick.as_deref());
        }
    }

    /// The same for what that points to.
    pub(crate) fn ahead_further(&self, observation: &Observation) {
        self.followed(observation).for_each(|track| track.adwin.ahead());
    }

    /// The series that an observation goes on with.
    fn followed(&self, observation: &Observation) -> impl Iterator<Item = &Track> {
        let series: &[Series] = match &observation.kind {
            Kind::Result { .. } => &[Series::Latency, Series::Errors],
            Kind::Claim { .. } => &[Series::Confidence],
            Kind::Verdict { .. } => &[Series::Accuracy],
            _ => &[],
        };
        series.iter().filter_map(|series| self.tracks[*series as usize].as_deref())
    }

    /// The same for what is looked at when it is judged.
    pub(crate) fn ahead_of_judging(&self) {
        if self.latest > Timestamp::EPOCH {
            for track in self.tracks.iter().flatten() {
                fetch(Some(&track.changes));
                fetch(Some(&track.last));
            }
            fetch(self.quick.as_ref().map(|quick| &quick.last));
        }
    }

    /// The same for what is looked at when it is shown.
    pub(crate) fn ahead_of_showing(&self) {
        for track in self.tracks.iter().flatten() {
            track.adwin.ahead_of_mean();
            fetch(Some(&track.changes));
        }
    }

    /// The levels now.
    pub fn figures(&self) -> Figures {
        let level = |series: Series| {
            let track = self.tracks[series as usize].as_ref()?;
            let mean = series.shown(track.adwin.mean()?);
            Some(Level { mean, window: track.adwin.width(), changes: track.changes })
        };
        Figures {
            confidence: level(Series::Confidence),
            accuracy: level(Series::Accuracy),
            latency: level(Series::Latency),
            errors: level(Series::Errors),
        }
    }

    /// Judges [`InsightKind::Drift`]: open from a change until [`Config::hold`] after the last one. Of several changes
    /// the worst is shown, of equally bad ones the last.
    pub fn assess(&self, kind: InsightKind, _open: bool, now: Timestamp, config: &Config) -> Assessment {
        if kind != InsightKind::Drift {
            return Assessment::Hold;
        }
        let worst = self.held(now, config).max_by_key(|dated| (dated.change.severity(config), dated.at));
        let Some(Dated { change, .. }) = worst else { return Assessment::Clear };
        let evidence = Evidence::new()
            .word(EvidenceKey::Series, change.series.word())
            .number(EvidenceKey::Before, change.before)
            .number(EvidenceKey::After, change.after)
            .number(EvidenceKey::Size, change.size)
            .number(EvidenceKey::Confidence, change.confidence);
        Assessment::Raise(change.severity(config), evidence)
    }

    /// When the assessment next changes by time alone: a change grows old.
    pub fn next_due(&self, now: Timestamp, config: &Config) -> Option<Timestamp> {
        self.held(now, config).map(|dated| dated.at.plus(config.hold)).min()
    }

    /// The changes that still hold the insight open.
    fn held(&self, now: Timestamp, config: &Config) -> impl Iterator<Item = &Dated> {
        // Most agents have not changed lately, which is seen here without a look at each series.
        let lately = now.since(self.latest) < config.hold;
        let quick = self.quick.iter().filter(move |_| lately).filter_map(|quick| quick.last.as_ref());
        let quick = quick.filter(|dated| dated.change.after - dated.change.before >= config.quick_rise);
        let tracks = self.tracks.iter().filter(move |_| lately).flatten();
        let all = tracks.filter_map(|track| track.last.as_ref()).chain(quick);
        all.filter(move |dated| now.since(dated.at) < config.hold)
    }
}

#[cfg(test)]
mod tests;
