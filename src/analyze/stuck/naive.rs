//! The definition, word for word: whole steps are kept and compared, the window is cut anew for every question.

use super::{Config, Detection, Event, Pattern};
use crate::domain::{CallKey, Kind, Observation, Role, Text, ToolName};

#[derive(Default)]
pub struct Naive {
    observations: u64,
    open: Vec<Action>,
    /// All steps since the user spoke.
    steps: Vec<Step>,
    episode: Option<(Detection, Step)>,
}

#[derive(Clone)]
struct Action {
    call: Option<CallKey>,
    tool: ToolName,
    arguments: Option<String>,
}

#[derive(Clone)]
enum Step {
    Message(Option<String>),
    Tool { action: Action, exempt: bool, ok: bool, error: Option<String>, text: Option<String> },
}
use Step::{Message, Tool};

/// The texts of the tests are shorter than their excerpts.
fn whole(text: &Text) -> String {
    text.excerpt().to_owned()
}

fn same_action(a: &Step, b: &Step) -> bool {
    let (
        Tool { action: a, exempt: false, ok: a_ok, error: a_error, .. },
        Tool { action: b, exempt: false, ok: b_ok, error: b_error, .. },
    ) = (a, b)
    else {
        return false;
    };
    let by_error = !a_ok && !b_ok && a_error.is_some() && a_error == b_error;
    a.tool == b.tool
        && match (&a.arguments, &b.arguments) {
            (Some(a), Some(b)) => a == b,
            (None, None) => by_error,
            _ => false,
        }
}

fn identical(a: &Step, b: &Step) -> bool {
    match (a, b) {
        (Message(Some(a)), Message(Some(b))) => a == b,
        (Tool { ok, error, text, .. }, Tool { ok: b_ok, error: b_error, text: b_text, .. }) => {
            let same_text = match (text, b_text) {
                (Some(a), Some(b)) => a == b,
                (None, None) => !ok && error.is_some(),
                _ => false,
            };
            same_action(a, b) && ok == b_ok && error == b_error && same_text
        }
        _ => false,
    }
}

fn is_tool(step: &Step) -> bool {
    matches!(step, Tool { .. })
}

fn has_failed(step: &Step) -> bool {
    matches!(step, Tool { ok: false, .. })
}

/// Whether the steps end in the pattern, `count` times.
fn ends_in(steps: &[Step], pattern: Pattern, period: usize, count: usize) -> bool {
    let last = |n: usize| steps.len().checked_sub(n).map(|start| &steps[start..]);
    let in_a_row = |same: fn(&Step, &Step) -> bool, of: fn(&Step) -> bool| {
        last(count).is_some_and(|row| row.iter().all(of) && row.windows(2).all(|pair| same(&pair[0], &pair[1])))
    };
    match pattern {
        Pattern::ActionResultRepeat => in_a_row(identical, is_tool),
        Pattern::ActionErrorRepeat => in_a_row(same_action, has_failed),
        Pattern::Monologue => in_a_row(identical, |step| !is_tool(step)),
        Pattern::Cycle => last(period * count).is_some_and(|rounds| {
            let round = &rounds[..period];
            rounds.iter().zip(&rounds[period..]).all(|(step, next)| identical(step, next))
                && !round.iter().all(|step| identical(step, &round[0]))
                && round.iter().any(is_tool)
        }),
        Pattern::NoProgress => {
            let newest = &steps[steps.len() - 1];
            let with_action: Vec<_> = steps.iter().filter(|step| same_action(step, newest)).collect();
            let end = with_action.len().checked_sub(count).map(|start| &with_action[start..]);
            has_failed(newest) && end.is_some_and(|end| end.iter().all(|step| identical(step, newest)))
        }
    }
}

impl Naive {
    pub fn observe(&mut self, observation: &Observation, config: &Config) -> Option<Event> {
        self.observations += 1;
        match &observation.kind {
            Kind::Message { role: Role::User, .. } => {
                self.open.clear();
                self.steps.clear();
                self.episode.take().map(|_| Event::Broken)
            }
            Kind::Message { role: Role::Agent, text } => self.step(Message(text.as_ref().map(whole)), config),
            Kind::Action { tool, arguments, call } => {
                self.open.retain(|action| call.is_none() || action.call != *call);
                self.open.push(Action { call: *call, tool: tool.clone(), arguments: arguments.as_ref().map(whole) });
                let excess = self.open.len().saturating_sub(config.open_actions as usize);
                self.open.drain(..excess);
                None
            }
            Kind::Result { call, tool, ok, error, text, .. } => {
                let joins = |action: &Action| match call {
                    Some(_) => action.call == *call,
                    None => Some(&action.tool) == tool.as_ref(),
                };
                let action = self.open.remove(self.open.iter().position(joins)?);
                if !ok && error.as_ref().is_some_and(|error| error.infrastructure) {
                    return None;
                }
                let exempt = config.exempt_tools.cover(&action.tool);
                let error = error.as_ref().map(|error| whole(&error.text));
                self.step(Tool { action, exempt, ok: *ok, error, text: text.as_ref().map(whole) }, config)
            }
            _ => None,
        }
    }

    pub fn current(&self) -> Option<&Detection> {
        self.episode.as_ref().map(|(detection, _)| detection)
    }

    fn window(&self, config: &Config) -> &[Step] {
        &self.steps[self.steps.len().saturating_sub(config.window as usize)..]
    }

    fn found(&self, pattern: Pattern, period: usize, config: &Config) -> bool {
        ends_in(self.window(config), pattern, period, pattern.threshold(config) as usize)
    }

    fn detection(&self, observation: u64, config: &Config) -> Option<Detection> {
        use Pattern::{ActionErrorRepeat, ActionResultRepeat, Cycle, Monologue, NoProgress};
        let cycles = (2..=config.max_cycle_period as usize).map(|period| (Cycle, period));
        let (pattern, period) = [(ActionResultRepeat, 1), (ActionErrorRepeat, 1)]
            .into_iter()
            .chain(cycles)
            .chain([(Monologue, 1), (NoProgress, 1)])
            .find(|(pattern, period)| self.found(*pattern, *period, config))?;
        let tool = self.steps[self.steps.len() - period..].iter().find_map(|step| match step {
            Tool { action, .. } => Some(action.tool.clone()),
            Message(_) => None,
        });
        let repeats = self.repeats(pattern, period, config);
        let period = (pattern == Cycle).then_some(period as u32);
        Some(Detection { pattern, observation, repeats, period, tool })
    }

    fn repeats(&self, pattern: Pattern, period: usize, config: &Config) -> u32 {
        let steps = if pattern == Pattern::NoProgress { self.window(config) } else { &self.steps };
        (1..).take_while(|count| ends_in(steps, pattern, period, *count as usize)).last().unwrap_or(0)
    }

    fn step(&mut self, step: Step, config: &Config) -> Option<Event> {
        self.steps.push(step.clone());
        let Some((open, subject)) = self.episode.take() else {
            let detection = self.detection(self.observations, config)?;
            self.episode = Some((detection.clone(), step));
            return Some(Event::Detected(detection));
        };
        let no_progress = open.pattern == Pattern::NoProgress;
        let period = open.period.unwrap_or(1) as usize;
        if self.found(open.pattern, period, config) && (!no_progress || identical(&subject, &step)) {
            let counted = self.repeats(open.pattern, period, config);
            let repeats = if no_progress { open.repeats + 1 } else { counted };
            let detection = Detection { repeats, ..open };
            self.episode = Some((detection.clone(), step));
            return Some(Event::Continued(detection));
        }
        if let Some(detection) = self.detection(open.observation, config) {
            self.episode = Some((detection.clone(), step));
            return Some(Event::Continued(detection));
        }
        // With the other steps taken away, its last step still is what was found.
        let of_it = self.window(config).iter().filter(|other| same_action(other, &subject)).cloned();
        let of_it: Vec<_> = of_it.collect();
        let holds = of_it.last().is_some_and(|last| identical(last, &subject))
            && ends_in(&of_it, Pattern::NoProgress, 1, config.no_progress as usize);
        if no_progress && holds {
            self.episode = Some((open, subject));
            return None;
        }
        Some(Event::Broken)
    }
}
