//! What a pod is to the others.

use crate::domain::{ClusterStatus, InstanceName};
use crate::sanitize::Standing;

/// What a pod does, and who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) duty: Duty,
    /// Who leads, or led last, as far as that is known.
    pub(super) leader: Option<InstanceName>,
}

/// What a pod does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// It does not know yet.
    Starting,
    /// It leads in this epoch.
    Leads(u64),
    /// It shows what the pod that leads tells.
    Follows,
    /// It hears of nobody who leads, and shows what it was told last.
    Degraded,
    /// It hears of nobody who leads, and goes on with the state that it has, or a fresh one.
    Alone,
}

impl Duty {
    /// The word for logs.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Leads(_) => "leads",
            Self::Follows => "follows",
            Self::Degraded => "degraded",
            Self::Alone => "alone",
        }
    }

    /// Whether the heart has an engine to beat on.
    pub(super) const fn has_engine(self) -> bool {
        matches!(self, Self::Leads(_) | Self::Alone)
    }
}

impl Role {
    /// How beats of this pod's own are marked.
    pub(super) fn standing(&self) -> Standing {
        let status = match self.duty {
            Duty::Leads(_) => ClusterStatus::Led,
            Duty::Starting | Duty::Follows | Duty::Degraded | Duty::Alone => ClusterStatus::Degraded,
        };
        Standing { status, leader: self.leader.clone() }
    }
}
