//! Names of the keys in Redis that the store owns.

use crate::domain::Timestamp;

/// The meta-state.
pub(super) const LATEST: &str = "meta:latest";
/// The fencing counter.
pub(super) const EPOCH: &str = "meta:epoch";
/// How far the stream of observations is part of the meta-state, by entry and by producer.
pub(super) const READING: &str = "meta:reading";
/// The stream of observations.
pub(super) const OBSERVATIONS: &str = "meta:observations";
/// What the names of snapshots begin with.
pub(super) const SNAPSHOTS: &str = "meta:snapshot:";
/// What the names of the parts of large states begin with.
pub(super) const PARTS: &str = "meta:part:";
/// What the names of keys that were kept aside begin with.
pub(super) const QUARANTINE: &str = "meta:quarantine:";

/// The snapshot of a moment: names sort as their moments do.
pub(super) fn snapshot(at: Timestamp) -> String {
    format!("{SNAPSHOTS}{at}")
}

/// The part of this id.
pub(super) fn part(id: &str) -> String {
    format!("{PARTS}{id}")
}

/// The id that a part's name tells; `None` where it is no part's name.
pub(super) fn id_of_part(key: &str) -> Option<&str> {
    key.strip_prefix(PARTS)
}

/// Where a key is kept aside.
pub(super) fn quarantine(key: &str, now: Timestamp) -> String {
    format!("{QUARANTINE}{key}:{now}")
}

/// The moment that a snapshot's name tells; `None` where it is no snapshot's name.
pub(super) fn moment(key: &str) -> Option<Timestamp> {
    let moment: jiff::Timestamp = key.strip_prefix(SNAPSHOTS)?.parse().ok()?;
    Some(Timestamp::from_nanos(i64::try_from(moment.as_nanosecond()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_moment_and_sort_by_it() {
        let at = |ms: i64| Timestamp::from_nanos(ms * 1_000_000);
        let moments = [0, 999, 1_000, 1_763_942_048_123, 4_102_444_800_000].map(at);
        let names = moments.map(snapshot);
        assert!(names.is_sorted());
        assert_eq!(names.each_ref().map(|name| moment(name)), moments.map(Some));
        assert_eq!(names[3], "meta:snapshot:2025-11-23T23:54:08.123Z");
        for other in ["meta:snapshot:", "meta:snapshot:today", "meta:latest", "snapshot:2025-11-23T23:54:08.123Z"] {
            assert_eq!(moment(other), None);
        }
    }
}
