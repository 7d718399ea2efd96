//! Leaf: the time of day, read in one place.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::Timestamp;

/// The time of day now.
#[expect(clippy::disallowed_methods, reason = "the one place where it is read")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
