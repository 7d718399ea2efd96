//! Which snapshots are kept.

use std::time::Duration;

use super::{SnapshotConfig, Store, keys};
use crate::domain::Timestamp;
use crate::link::Fault;

impl Store {
    /// Removes the snapshots that are too many or too old, and the parts that nothing names any more.
    pub(super) async fn prune(&mut self) {
        let now = (self.clock)();
        let pruned = async {
            let surplus = surplus(self.backend.snapshots().await?, now, &self.snapshots);
            self.backend.remove(&surplus).await?;
            Ok::<_, Fault>((surplus.len(), self.sweep().await?))
        };
        match pruned.await {
            Ok((0, 0)) => {}
            Ok((removed, parts)) => tracing::debug!(removed, parts, "snapshots pruned"),
            Err(fault) => tracing::warn!(fault = fault.as_str(), "snapshots could not be pruned"),
        }
    }
}

/// Those of the snapshots, the newest first, that are not to be kept.
fn surplus(names: Vec<String>, now: Timestamp, config: &SnapshotConfig) -> Vec<String> {
    let age = |name: &str| keys::moment(name).map_or(Duration::ZERO, |at| now.since(at));
    let spare = |(i, name): &(usize, String)| *i >= config.keep_count || age(name) > config.keep_for;
    names.into_iter().enumerate().filter(spare).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_by_count_and_by_age() {
        let now = Timestamp::from_nanos(1_763_942_048_000_000_000);
        let names: Vec<_> = (0..5).map(|minutes| keys::snapshot(now.minus(Duration::from_mins(minutes)))).collect();
        let config = |keep_count, minutes| SnapshotConfig {
            keep_count,
            keep_for: Duration::from_mins(minutes),
            ..SnapshotConfig::default()
        };
        assert_eq!(surplus(names.clone(), now, &config(3, 60)), names[3..]);
        assert_eq!(surplus(names.clone(), now, &config(100, 1)), names[2..]);
        assert_eq!(surplus(names.clone(), now, &config(100, 60)), [""; 0]);
    }
}
