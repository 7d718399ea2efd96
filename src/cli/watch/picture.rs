//! What is known of the daemon: its public state as frames tell it, and how it moved lately.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde_json::{Map, Value};

use super::frame::Frame;
use crate::domain::Timestamp;
use crate::sanitize::Position;

/// The public state, and what came of it over time.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    state: Value,
    /// Which beat it is of.
    pub position: Position,
    /// When that was, by the daemon's clock.
    pub at: Timestamp,
    activity: HashMap<String, Activity>,
    skews: VecDeque<f64>,
}

/// How many observations an agent made, in buckets of time.
#[derive(Debug, Clone, Default)]
struct Activity {
    seen: u64,
    /// Number of the newest bucket.
    newest: u64,
    counts: [u32; Picture::BUCKETS],
}

impl Picture {
    /// Buckets of time that are kept.
    pub const BUCKETS: usize = 24;
    /// How long one is, in seconds.
    pub const BUCKET_S: u64 = 5;
    /// Skews that are kept.
    const SKEWS: usize = 60;

    /// Takes in a frame that applies.
    pub fn take(&mut self, frame: &Frame) {
        match frame {
            Frame::State { at, ts_ns, state } => {
                (self.state, self.position, self.at) = (state.clone(), *at, *ts_ns);
                let known = Self::object(&self.state, "agents");
                self.activity.retain(|agent, _| known.is_some_and(|agents| agents.contains_key(agent)));
                self.note(&state["agents"], &state["heart"]);
            }
            Frame::Delta { at, ts_ns, patch, .. } => {
                json_patch::merge(&mut self.state, patch);
                (self.position, self.at) = (*at, *ts_ns);
                self.note(&patch["agents"], &patch["heart"]);
            }
            Frame::Hello { .. } | Frame::Error { .. } | Frame::Other => {}
        }
    }

    fn note(&mut self, agents: &Value, heart: &Value) {
        let bucket = self.at.as_millis() / 1000 / Self::BUCKET_S;
        for (agent, told) in agents.as_object().into_iter().flatten() {
            if told.is_null() {
                self.activity.remove(agent);
            } else if let Some(observations) = told["observations"].as_u64() {
                match self.activity.get_mut(agent) {
                    Some(activity) => activity.note(bucket, observations),
                    None => {
                        let activity = Activity { seen: observations, newest: bucket, ..Activity::default() };
                        self.activity.insert(agent.clone(), activity);
                    }
                }
            }
        }
        if let Some(skew) = heart["skew_ms"].as_f64() {
            if self.skews.len() >= Self::SKEWS {
                self.skews.pop_front();
            }
            self.skews.push_back(skew);
        }
    }

    /// Whether a state was told.
    pub fn is_known(&self) -> bool {
        !self.state.is_null()
    }

    fn object<'a>(value: &'a Value, name: &str) -> Option<&'a Map<String, Value>> {
        value.get(name)?.as_object()
    }

    /// A figure of the daemon, by its path.
    pub fn figure(&self, path: &str) -> Option<f64> {
        self.state.pointer(path)?.as_f64()
    }

    /// A word of the daemon, by its path.
    pub fn word(&self, path: &str) -> Option<&str> {
        self.state.pointer(path)?.as_str()
    }

    /// The agents by name.
    pub fn agents(&self) -> impl Iterator<Item = (&str, &Value)> {
        Self::object(&self.state, "agents").into_iter().flatten().map(|(name, agent)| (name.as_str(), agent))
    }

    /// One agent.
    pub fn agent(&self, name: &str) -> Option<&Value> {
        Self::object(&self.state, "agents")?.get(name)
    }

    /// The open insights by id, the oldest first.
    pub fn insights(&self) -> impl Iterator<Item = (&str, &Value)> {
        Self::object(&self.state, "insights").into_iter().flatten().map(|(id, insight)| (id.as_str(), insight))
    }

    /// How long ago something was, by the daemon's clock; `None` where it is no time.
    pub fn age(&self, since: &str) -> Option<Duration> {
        let since: jiff::Timestamp = since.parse().ok()?;
        let since = Timestamp::from_nanos(i64::try_from(since.as_nanosecond()).ok()?);
        Some(self.at.since(since))
    }

    /// Observations of an agent in the last buckets of time, the oldest first.
    pub fn activity(&self, agent: &str, buckets: usize) -> Vec<u32> {
        let now = self.at.as_millis() / 1000 / Self::BUCKET_S;
        let counts = self.activity.get(agent).map_or([0; Self::BUCKETS], |activity| activity.until(now));
        counts[Self::BUCKETS - buckets.min(Self::BUCKETS)..].to_vec()
    }

    /// Observations of an agent a second, over all buckets.
    pub fn rate(&self, agent: &str) -> f64 {
        let sum: u64 = self.activity(agent, Self::BUCKETS).iter().map(|count| u64::from(*count)).sum();
        sum as f64 / (Self::BUCKETS as u64 * Self::BUCKET_S) as f64
    }

    /// The latest skews of the heart, milliseconds, the oldest first.
    pub fn skews(&self) -> impl ExactSizeIterator<Item = f64> + Clone {
        self.skews.iter().copied()
    }
}

impl Activity {
    fn note(&mut self, bucket: u64, observations: u64) {
        self.counts = self.until(bucket);
        self.newest = self.newest.max(bucket);
        // Fewer than before: the daemon went back to an earlier state.
        let fresh = observations.saturating_sub(self.seen);
        self.seen = observations;
        if let Some(last) = self.counts.last_mut() {
            *last = last.saturating_add(u32::try_from(fresh).unwrap_or(u32::MAX));
        }
    }

    /// The counts, moved on to a bucket.
    fn until(&self, bucket: u64) -> [u32; Picture::BUCKETS] {
        let by = usize::try_from(bucket.saturating_sub(self.newest)).unwrap_or(usize::MAX).min(Picture::BUCKETS);
        let mut counts = [0; Picture::BUCKETS];
        counts[..Picture::BUCKETS - by].copy_from_slice(&self.counts[by..]);
        counts
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn frame(value: Value) -> Frame {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn frames_add_up_to_the_state_and_to_how_it_moved() {
        let mut picture = Picture::default();
        let second = |s: u64| s * 1_000_000_000;
        let state = json!({"heart": {"skew_ms": 0.5}, "agents": {"a": {"observations": 10}, "b": {"observations": 1}}});
        picture.take(&frame(json!({"type": "state", "epoch": 3, "beat": 7, "ts_ns": second(1000), "state": state})));
        for (at, patch) in [
            (1001, json!({"agents": {"a": {"observations": 14}}})),
            (
                1006,
                json!({"agents": {"a": {"observations": 15, "status": "stuck"}, "b": null}, "heart": {"skew_ms": 2.0}}),
            ),
        ] {
            let delta =
                json!({"type": "delta", "epoch": 3, "beat": at, "base": 7, "ts_ns": second(at), "patch": patch});
            picture.take(&frame(delta));
        }
        assert_eq!(picture.position, Position { epoch: 3, beat: 1006 });
        assert_eq!(picture.agents().map(|(name, _)| name).collect::<Vec<_>>(), ["a"]);
        assert_eq!(picture.agent("a").unwrap()["status"], "stuck");
        assert_eq!(picture.activity("a", 3), [0, 4, 1]);
        assert_eq!(picture.activity("nobody", 2), [0, 0]);
        assert_eq!(picture.skews().collect::<Vec<_>>(), [0.5, 2.0]);
        assert_eq!(picture.age("1970-01-01T00:16:00.000Z"), Some(Duration::from_secs(46)));
        assert_eq!(picture.age("nonsense"), None);
        // Everything is forgotten in time.
        let later = json!({"type": "delta", "epoch": 3, "beat": 9, "base": 8, "ts_ns": second(9000), "patch": {}});
        picture.take(&frame(later));
        assert_eq!(picture.rate("a"), 0.0);
    }
}
