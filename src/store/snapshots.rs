//! Which snapshots are kept.

use std::collections::HashSet;
use std::time::Duration;

use super::backend::Head;
use super::{SnapshotConfig, Store, keys};
use crate::domain::Timestamp;
use crate::link::Fault;

impl Store {
    /// Removes the snapshots that are too many or too old, and the parts that nothing names any more.
    pub(super) async fn prune(&mut self) {
        let now = (self.clock)();
        let pruned = async {
            let names = self.backend.snapshots().await?;
            let heads = self.backend.heads(&names).await?;
            let surplus = surplus(names.into_iter().zip(heads), now, &self.snapshots);
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
fn surplus(snapshots: impl Iterator<Item = (String, Head)>, now: Timestamp, config: &SnapshotConfig) -> Vec<String> {
    let age = |name: &str| keys::moment(name).map_or(Duration::ZERO, |at| now.since(at));
    let (mut bytes, mut counted) = (0, HashSet::new());
    let mut spare = |(i, (name, head)): &(usize, (String, Head))| {
        bytes += head.bytes;
        let more = head.parts.parts.iter().filter(|(id, _)| counted.insert((*id).clone()));
        bytes += more.map(|(_, bytes)| bytes).sum::<u64>();
        *i >= config.keep_count || age(name) > config.keep_for || (*i > 0 && bytes > config.keep_bytes)
    };
    snapshots.enumerate().filter(|snapshot| spare(snapshot)).map(|(_, (name, _))| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Split;

    fn kept(snapshots: &[Head], config: &SnapshotConfig) -> usize {
        let now = Timestamp::from_nanos(1_763_942_048_000_000_000);
        let named = snapshots
            .iter()
            .zip(0..)
            .map(|(head, minutes)| (keys::snapshot(now.minus(Duration::from_mins(minutes))), head.clone()));
        let named: Vec<_> = named.collect();
        let surplus = surplus(named.clone().into_iter(), now, config);
        let kept = snapshots.len() - surplus.len();
        assert!(named[kept..].iter().map(|(name, _)| name).eq(&surplus), "the oldest go");
        kept
    }

    #[test]
    fn kept_by_count_and_by_age() {
        let snapshots = vec![Head::default(); 5];
        let config = |keep_count, minutes| SnapshotConfig {
            keep_count,
            keep_for: Duration::from_mins(minutes),
            ..SnapshotConfig::default()
        };
        assert_eq!(kept(&snapshots, &config(3, 60)), 3);
        assert_eq!(kept(&snapshots, &config(100, 1)), 2);
        assert_eq!(kept(&snapshots, &config(100, 60)), 5);
    }

    #[test]
    fn kept_by_size_with_parts_counted_once() {
        let whole = |bytes| Head { bytes, parts: Split::default() };
        let split = |ids: &[&str]| {
            let parts = ids.iter().map(|id| ((*id).to_owned(), 100)).collect();
            Head { bytes: 1, parts: Split { parts } }
        };
        let config = |keep_bytes| SnapshotConfig { keep_bytes, ..SnapshotConfig::default() };
        assert_eq!(kept(&vec![whole(50); 5], &config(200)), 4);
        assert_eq!(kept(&vec![whole(50); 5], &config(249)), 4);
        assert_eq!(kept(&[split(&["2-9", "2-3"]), split(&["2-8", "2-3"]), split(&["2-3"]), whole(2)], &config(303)), 3);
        assert_eq!(kept(&[whole(1000), whole(1)], &config(200)), 1, "the newest is kept, however large");
    }
}
