//! What the demo's agents do: recorded runs, over and over, at a pace one can watch.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::domain::Timestamp;

const AIRLINE: &str = include_str!("recordings/airline.ndjson");
const STUCK: &str = include_str!("recordings/airline-stuck.ndjson");
const CLAIMS: &str = include_str!("recordings/verbal5.csv");

/// Agents that share the runs in which nobody loops.
const AGENTS: usize = 4;
/// How many times faster than recorded.
const SPEED: u32 = 3;
/// Pause between two runs of an agent.
const PAUSE: Duration = Duration::from_secs(4);
/// Time from claim to claim, and from a claim to its verdict.
const CLAIM_EVERY: Duration = Duration::from_millis(300);

/// One round of all recordings, by the time from its beginning.
#[derive(Debug)]
pub struct Round {
    steps: Vec<(Duration, Map<String, Value>)>,
}

impl Round {
    /// Reads the recordings that are built in.
    ///
    /// # Errors
    /// When one is broken.
    pub fn recorded() -> Result<Self, serde_json::Error> {
        let mut steps = Vec::new();
        let mut ends = [Duration::ZERO; AGENTS];
        for (number, run) in runs(AIRLINE)?.into_iter().enumerate() {
            let agent = number % AGENTS;
            ends[agent] = play(run, &format!("airline-{}", agent + 1), ends[agent], &mut steps) + PAUSE;
        }
        for run in runs(STUCK)? {
            play(run, "airline-5", Duration::ZERO, &mut steps);
        }
        claims(&mut steps);
        steps.sort_by_key(|(after, _)| *after);
        Ok(Self { steps })
    }

    /// How long a round lasts.
    pub fn length(&self) -> Duration {
        self.steps.last().map_or(Duration::ZERO, |(after, _)| *after) + PAUSE
    }

    /// What happens from `from` until before `to` in a round that began at `began`. Each round has sessions and
    /// idempotency keys of its own.
    pub fn between(&self, from: Duration, to: Duration, began: Timestamp, round: u64) -> Vec<Value> {
        let first = self.steps.partition_point(|(after, _)| *after < from);
        let due = self.steps.iter().skip(first).take_while(|(after, _)| *after < to);
        due.map(|(after, observation)| {
            let mut observation = observation.clone();
            observation.insert("at".into(), began.plus(*after).as_nanos().into());
            for key in ["session", "id", "claim_id"] {
                if let Some(Value::String(name)) = observation.get_mut(key) {
                    name.push_str(&format!("/{round}"));
                }
            }
            Value::Object(observation)
        })
        .collect()
    }
}

/// The runs of a recording, by session, in order.
fn runs(recording: &str) -> Result<Vec<Vec<Map<String, Value>>>, serde_json::Error> {
    let mut runs: Vec<Vec<Map<String, Value>>> = Vec::new();
    for line in recording.lines() {
        let observation: Map<String, Value> = serde_json::from_str(line)?;
        match runs.last_mut() {
            Some(run) if run.last().and_then(|last| last.get("session")) == observation.get("session") => {
                run.push(observation);
            }
            _ => runs.push(vec![observation]),
        }
    }
    Ok(runs)
}

/// Schedules a run of an agent; the time of its last step.
fn play(
    run: Vec<Map<String, Value>>,
    agent: &str,
    begin: Duration,
    steps: &mut Vec<(Duration, Map<String, Value>)>,
) -> Duration {
    let at = |observation: &Map<String, Value>| observation.get("at").and_then(Value::as_u64).unwrap_or(0);
    let first = run.first().map_or(0, at);
    let mut end = begin;
    for mut observation in run {
        end = begin + Duration::from_nanos(at(&observation).saturating_sub(first)) / SPEED;
        observation.insert("agent".into(), agent.into());
        steps.push((end, observation));
    }
    end
}

/// One agent that states how sure it is, and learns a moment later whether it was right.
fn claims(steps: &mut Vec<(Duration, Map<String, Value>)>) {
    let rows = CLAIMS.lines().skip(1).filter_map(|row| row.split_once(','));
    for (number, (confidence, correct)) in (0u32..).zip(rows) {
        let (Ok(confidence), correct) = (confidence.parse::<f64>(), correct.trim() == "1") else { continue };
        let claim = format!("claim-{number}");
        let said = CLAIM_EVERY * number;
        let claimed = json!({"agent": "forecaster", "kind": "claim", "claim_id": claim, "confidence": confidence});
        let judged = json!({"agent": "forecaster", "kind": "verdict", "claim_id": claim, "correct": correct});
        for (after, observation) in [(said, claimed), (said + CLAIM_EVERY, judged)] {
            if let Value::Object(observation) = observation {
                steps.push((after, observation));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_plays_every_recorded_step_once() {
        let round = Round::recorded().unwrap();
        let all = round.between(Duration::ZERO, round.length(), Timestamp::EPOCH, 0);
        assert_eq!(all.len(), AIRLINE.lines().count() + STUCK.lines().count() + 2 * (CLAIMS.lines().count() - 1));
        let half = round.length() / 2;
        let parts = round.between(Duration::ZERO, half, Timestamp::EPOCH, 0).len()
            + round.between(half, round.length(), Timestamp::EPOCH, 0).len();
        assert_eq!(parts, all.len());
        let again = round.between(Duration::ZERO, half, Timestamp::EPOCH, 1);
        assert_ne!(again.first().and_then(|o| o.get("session")), all.first().and_then(|o| o.get("session")));
    }
}
