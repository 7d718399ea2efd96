//! The last steps of a session, and the patterns in them.
//!
//! All patterns but one are about the steps at the end: counters that go on or start again with each step find them
//! with no look back. A round of `p` steps was seen `n` times over exactly when each of the last `(n - 1) p` steps is
//! identical to the one `p` before it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::step::Step;
use super::{Config, Detection, Pattern};
use crate::analyze::ahead::fetch;
use crate::domain::ToolName;

/// Longest round for which a counter is kept, whatever the configuration looks for.
const MAX_PERIOD: usize = 8;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Steps {
    /// The window, the newest last.
    window: VecDeque<Step>,
    /// Tools of the last steps, the newest first; `None` where there was a message, or no step yet.
    tools: [Option<ToolName>; MAX_PERIOD],
    /// Identical steps at the end.
    run: u32,
    /// Failures of one action at the end.
    failures: u32,
    /// For each period from 1 on: steps at the end that are identical to the one a period before.
    periodic: [u32; MAX_PERIOD],
}

impl Steps {
    /// Appends a step; of a tool step, also the tool and whether it failed.
    pub fn push(&mut self, step: Step, tool: Option<(ToolName, bool)>, config: &Config) {
        while self.window.len() >= config.window.max(1) as usize {
            self.window.pop_front();
        }
        let mut before = self.window.iter().rev();
        for count in &mut self.periodic {
            let again = before.next().is_some_and(|earlier| earlier.identical(step));
            *count = if again { count.saturating_add(1) } else { 0 };
        }
        self.run = self.periodic[0].saturating_add(1);

        let failed = matches!(tool, Some((_, true)));
        let same_action = self.last().is_some_and(|last| last.action.same(step.action));
        self.failures = match failed {
            true if same_action => self.failures.saturating_add(1),
            true => 1,
            false => 0,
        };

        self.tools.rotate_right(1);
        self.tools[0] = tool.map(|(tool, _)| tool);
        self.window.push_back(step);
    }

    /// Fetches what it points to; see [`crate::analyze::ahead`].
    pub fn ahead_further(&self) {
        let newest = self.window.len().wrapping_sub(1);
        (0..=MAX_PERIOD).step_by(4).for_each(|back| fetch(self.window.get(newest.wrapping_sub(back))));
    }

    /// The newest step.
    pub fn last(&self) -> Option<Step> {
        self.window.back().copied()
    }

    /// Forgets all, but keeps the space.
    pub fn clear(&mut self) {
        let mut window = std::mem::take(&mut self.window);
        window.clear();
        *self = Self { window, ..Self::default() };
    }

    /// The first pattern that the newest step completes.
    pub fn detect(&self, observation: u64, config: &Config) -> Option<Detection> {
        let of = |pattern| Some((pattern, None, self.matches(pattern, None, config)?));
        let cycle = |period| Some((Pattern::Cycle, Some(period), self.matches(Pattern::Cycle, Some(period), config)?));
        let (pattern, period, repeats) = of(Pattern::ActionResultRepeat)
            .or_else(|| of(Pattern::ActionErrorRepeat))
            .or_else(|| (2..=config.max_cycle_period).find_map(cycle))
            .or_else(|| of(Pattern::Monologue))
            .or_else(|| of(Pattern::NoProgress))?;
        let round = self.tools.get(..period.unwrap_or(1) as usize)?;
        let tool = round.iter().rev().flatten().next().cloned();
        Some(Detection { pattern, observation, repeats, period, tool })
    }

    /// How often the pattern is seen, if the newest step completes it or goes on with it.
    pub fn matches(&self, pattern: Pattern, period: Option<u32>, config: &Config) -> Option<u32> {
        let of_a_tool = self.tools[0].is_some();
        let (holds, repeats) = match pattern {
            Pattern::ActionResultRepeat => (of_a_tool, self.run),
            Pattern::ActionErrorRepeat => (of_a_tool, self.failures),
            Pattern::Cycle => return self.rounds(period?, config),
            Pattern::Monologue => (!of_a_tool, self.run),
            Pattern::NoProgress => (self.failures > 0, self.last().map_or(0, |last| self.failures_like(last))),
        };
        (holds && repeats >= pattern.threshold(config)).then_some(repeats)
    }

    /// The last steps in the window with this step's action that are identical to it.
    pub fn failures_like(&self, step: Step) -> u32 {
        let with_action = self.window.iter().rev().filter(|other| other.action.same(step.action));
        with_action.take_while(|other| other.identical(step)).fold(0, |count, _| count + 1)
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.window.capacity() * size_of::<Step>()
    }

    fn rounds(&self, period: u32, config: &Config) -> Option<u32> {
        let size = period as usize;
        let periodic = *self.periodic.get(size.checked_sub(1)?)?;
        let varied = self.run < period;
        let with_tool = || self.tools.iter().take(size).any(Option::is_some);
        let rounds = (periodic / period).saturating_add(1);
        let fits = config.cycle_rounds.saturating_mul(period) <= config.window;
        (rounds >= config.cycle_rounds && fits && varied && with_tool()).then_some(rounds)
    }
}
