//! Whether an agent repeats itself without getting on.
//!
//! An action and its result make one *step*, at the moment the result comes; so does each message of the agent. Two
//! tool steps are identical when tool, arguments, success, error and text are equal, two messages when their text is.
//! Since results count, polling a job whose answer changes is no loop. A message of the user starts afresh. Thoughts
//! and the rest are no steps, and neither are infrastructure failures: they say nothing of the agent (see
//! [`super::errors`]). After each step the patterns of [`Pattern`] are looked for, in that order.
//!
//! `pattern` and `repeats` are those of the open episode, the longest of all sessions. When it opens: the last result
//! did not get through to the agent. Change what it sees (its prompt, the tool's answer), or stop it. The definition is
//! our own, after the detectors of OpenHands, gemini-cli, Roo and Cline and what their users complain of; tools that
//! are polled by nature can be exempt.
//!
//! An *episode* begins with the first detection. It lasts while the pattern goes on, or another matches in its place,
//! and ends when a step breaks it or a user message arrives.
//!
//! What the joining of actions and results comes to:
//! - A result with a call joins the open action of that call; one without joins the oldest open action of its tool.
//! - A result that finds no open action makes no step, and a result's own tool gives way to its action's.
//! - An action whose call is open already takes its place: that call's result never came, or it was sent twice.
//! - An infrastructure failure closes its action.
//!
//! What is not known (a sender that shares no content) equals nothing, except that failures may be compared by their
//! error. In full:
//!
//! | arguments | outcome | the action is known by | the step is known by the action and |
//! | --- | --- | --- | --- |
//! | known | success | tool, arguments | the text; without one equals nothing |
//! | known | failure | tool, arguments | error and text; error alone where there is no text; equals nothing without both |
//! | unknown | success | equals nothing | equals nothing |
//! | unknown | failure with an error | tool, error | the text, or that there is none |
//! | unknown | failure without an error | equals nothing | equals nothing |
//!
//! Known and unknown are never equal: a failure with a text is not one without.

mod calls;
mod config;
mod pattern;
mod step;
mod steps;

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::domain::{Kind, Observation, Role};
use calls::Calls;
use step::Step;
use steps::Steps;

pub use config::{Config, ExemptionError, Exemptions};
pub use pattern::{Detection, Event, Pattern};

/// Memory of one session.
///
/// Bounded: the identities of at most [`Config::window`] steps, counters, and at most [`Config::open_actions`] actions
/// that wait for their result. No text is kept.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Stuck {
    observations: u64,
    calls: Calls,
    steps: Steps,
    episode: Option<Episode>,
}

/// An open episode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Episode {
    detection: Detection,
    /// The step that showed the pattern last: the failure that [`Pattern::NoProgress`] is about.
    subject: Step,
}

impl Stuck {
    /// The memory of a session of which nothing has been seen.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the session's next observation, of whatever kind, and says what it changed. `None`: nothing changed, be
    /// the agent stuck or not.
    pub fn observe(&mut self, observation: &Observation, config: &Config) -> Option<Event> {
        self.observations = self.observations.saturating_add(1);
        match &observation.kind {
            Kind::Message { role: Role::User, .. } => self.start_afresh(),
            Kind::Message { role: Role::Agent, text } => {
                self.steps.push(Step::message(text.as_ref()), None, config);
                self.judge(config)
            }
            Kind::Action { tool, arguments, call } => {
                self.calls.open(*call, tool, arguments.as_ref(), config);
                None
            }
            Kind::Result { call, tool, ok, error, text, .. } => {
                let action = self.calls.close(*call, tool.as_ref())?;
                let failed = !ok;
                if failed && error.as_ref().is_some_and(|error| error.infrastructure) {
                    return None;
                }
                let step = if config.exempt_tools.cover(&action.tool) {
                    Step::UNKNOWN
                } else {
                    Step::tool(&action, *ok, error.as_ref(), text.as_ref())
                };
                self.steps.push(step, Some((action.tool, failed)), config);
                self.judge(config)
            }
            _ => None,
        }
    }

    /// Fetches what it points to; see [`super::ahead`].
    pub(crate) fn ahead_further(&self, observation: &Observation) {
        match &observation.kind {
            Kind::Message { .. } => self.steps.ahead_further(),
            Kind::Action { .. } => self.calls.ahead(),
            Kind::Result { .. } => {
                self.calls.ahead();
                self.steps.ahead_further();
            }
            _ => {}
        }
    }

    /// The open episode: the first detection's observation, with the pattern and repeats as they are now.
    pub fn current(&self) -> Option<&Detection> {
        self.episode.as_ref().map(|episode| &episode.detection)
    }

    /// How many observations of the session were taken in; the ordinal of the last one.
    pub fn observations(&self) -> u64 {
        self.observations
    }

    fn start_afresh(&mut self) -> Option<Event> {
        self.calls.clear();
        self.steps.clear();
        self.episode.take().map(|_| Event::Broken)
    }

    /// What the step just pushed means for the episode.
    fn judge(&mut self, config: &Config) -> Option<Event> {
        let subject = self.steps.last()?;
        let Some(open) = &mut self.episode else {
            let detection = self.steps.detect(self.observations, config)?;
            self.episode = Some(Episode { detection: detection.clone(), subject });
            return Some(Event::Detected(detection));
        };

        let Detection { pattern, period, observation, .. } = open.detection;
        let of_the_same = pattern != Pattern::NoProgress || open.subject.identical(subject);
        if let Some(repeats) = self.steps.matches(pattern, period, config).filter(|_| of_the_same) {
            // Failures with other steps between fall out of the window one by one, but they did happen.
            open.detection.repeats = match pattern {
                Pattern::NoProgress => open.detection.repeats.saturating_add(1),
                _ => repeats,
            };
            return Some(Event::Continued(open.detection.clone()));
        }
        if let Some(detection) = self.steps.detect(observation, config) {
            *open = Episode { detection: detection.clone(), subject };
            return Some(Event::Continued(detection));
        }
        if pattern == Pattern::NoProgress && self.steps.failures_like(open.subject) >= config.no_progress {
            return None;
        }
        self.episode = None;
        Some(Event::Broken)
    }
}
