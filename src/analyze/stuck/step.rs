//! What a step is compared by: hashes, made once. The table at [`super`] says of what.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::calls::OpenAction;
use crate::domain::{Failure, Text};

/// A hash of what something is known by, or that it is not known. Compare by [`Self::same`]: `==` compares memories,
/// to which two unknowns are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Identity(Option<NonZeroU64>);

/// One step, as far as it can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Identity, Identity)", into = "(Identity, Identity)")]
pub(super) struct Step {
    /// Tool and arguments; unknown for a message.
    pub action: Identity,
    /// All of the step. Known only where the action is, or for a message.
    pub whole: Identity,
}

/// Keeps apart hashes of different things.
#[derive(Clone, Copy)]
enum Of {
    Message = 1,
    Action,
    FailedAction,
    Success,
    Failure,
    FailureWithoutText,
}

impl Identity {
    pub const UNKNOWN: Self = Self(None);

    /// The identity that a hash made elsewhere stands for.
    pub fn known(hash: u64) -> Self {
        Self(Some(NonZeroU64::new(hash).unwrap_or(NonZeroU64::MAX)))
    }

    fn of(what: Of, parts: &[u64]) -> Self {
        let mut bytes = [[0; 8]; 4];
        bytes.iter_mut().zip(parts).for_each(|(to, part)| *to = part.to_le_bytes());
        Self::known(xxh3_64_with_seed(bytes.as_flattened(), what as u64))
    }

    /// Whether both are known and equal.
    pub fn same(self, other: Self) -> bool {
        self.0.is_some() && self.0 == other.0
    }

    fn get(self) -> Option<u64> {
        self.0.map(NonZeroU64::get)
    }
}

impl Step {
    /// Equals nothing.
    pub const UNKNOWN: Self = Self { action: Identity::UNKNOWN, whole: Identity::UNKNOWN };

    /// A message of the agent.
    pub fn message(text: Option<&Text>) -> Self {
        let whole = text.map_or(Identity::UNKNOWN, |text| Identity::of(Of::Message, &[text.hash()]));
        Self { action: Identity::UNKNOWN, whole }
    }

    /// An action and its result.
    pub fn tool(action: &OpenAction, ok: bool, error: Option<&Failure>, text: Option<&Text>) -> Self {
        let tool = xxh3_64(action.tool.as_str().as_bytes());
        let text = text.map(Text::hash);
        let error = error.map(|error| error.text.hash());

        let known = match (action.arguments.get(), error) {
            (Some(arguments), _) => Identity::of(Of::Action, &[tool, arguments]),
            (None, Some(error)) if !ok => Identity::of(Of::FailedAction, &[tool, error]),
            (None, _) => return Self::UNKNOWN,
        };
        let Some(hash) = known.get() else { return Self::UNKNOWN };
        // That there is an error is a part of its own: a missing one is not one whose hash is 0.
        let of = if ok { Of::Success } else { Of::Failure };
        let whole = match (text, error) {
            (Some(text), Some(error)) => Identity::of(of, &[hash, text, error, 1]),
            (Some(text), None) => Identity::of(of, &[hash, text]),
            (None, Some(error)) if !ok => Identity::of(Of::FailureWithoutText, &[hash, error]),
            (None, _) => Identity::UNKNOWN,
        };
        Self { action: known, whole }
    }

    /// Whether all of both is known and equal.
    pub fn identical(self, other: Self) -> bool {
        self.whole.same(other.whole)
    }
}

impl From<(Identity, Identity)> for Step {
    fn from((action, whole): (Identity, Identity)) -> Self {
        Self { action, whole }
    }
}

impl From<Step> for (Identity, Identity) {
    fn from(step: Step) -> Self {
        (step.action, step.whole)
    }
}
