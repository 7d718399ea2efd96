//! Actions that wait for their result.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Config;
use super::step::Identity;
use crate::analyze::ahead::fetch;
use crate::domain::{CallKey, Text, ToolName};

/// The open actions of a session, the oldest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Calls(VecDeque<OpenAction>);

/// An action that waits for its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenAction {
    call: Identity,
    /// What was called.
    pub tool: ToolName,
    /// With what.
    pub arguments: Identity,
}

fn key(call: CallKey) -> Identity {
    Identity::known(call.get())
}

impl Calls {
    /// Keeps an action until its result comes, in the place of one with the same call.
    pub fn open(&mut self, call: Option<CallKey>, tool: &ToolName, arguments: Option<&Text>, config: &Config) {
        let call = call.map_or(Identity::UNKNOWN, key);
        if let Some(index) = self.find(call) {
            self.0.remove(index);
        }
        while self.0.len() >= config.open_actions.max(1) as usize {
            self.0.pop_front();
        }
        let arguments = arguments.map_or(Identity::UNKNOWN, |text| Identity::known(text.hash()));
        self.0.push_back(OpenAction { call, tool: tool.clone(), arguments });
    }

    /// Takes the action that a result ends, if there is one.
    pub fn close(&mut self, call: Option<CallKey>, tool: Option<&ToolName>) -> Option<OpenAction> {
        let index = match (call, tool) {
            (Some(call), _) => self.find(key(call)),
            (None, Some(tool)) => self.0.iter().position(|action| action.tool == *tool),
            (None, None) => None,
        }?;
        self.0.remove(index)
    }

    /// See [`crate::analyze::ahead`].
    pub fn ahead(&self) {
        fetch(self.0.back());
        fetch(self.0.front());
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<OpenAction>()
    }

    /// Looks from the newest on: what never gets its result gathers at the other end.
    fn find(&self, call: Identity) -> Option<usize> {
        self.0.iter().rposition(|action| action.call.same(call))
    }
}
