//! What is wrong with values that have the right type.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::duration;

/// Collects what is wrong with a configuration, so that all of it is reported at once. Keys are full
/// (`heart.interval`); texts never quote a value.
#[derive(Debug, Default)]
pub struct Problems(Vec<(String, String)>);

impl Problems {
    /// Adds a problem of a key.
    pub fn add(&mut self, key: impl Into<String>, problem: impl Into<String>) {
        self.0.push((key.into(), problem.into()));
    }

    /// Adds a problem unless `good`.
    pub fn require(&mut self, key: &str, good: bool, problem: &str) {
        if !good {
            self.add(key, problem);
        }
    }

    /// A number must lie in a range.
    pub fn number<T: PartialOrd + Display>(&mut self, key: &str, value: T, range: RangeInclusive<T>) {
        if !range.contains(&value) {
            self.add(key, format!("must be from {} to {}", range.start(), range.end()));
        }
    }

    /// A duration must lie in a range.
    pub fn duration(&mut self, key: &str, value: Duration, range: RangeInclusive<Duration>) {
        if !range.contains(&value) {
            let (from, to) = (duration::format(*range.start()), duration::format(*range.end()));
            self.add(key, format!("must be from {from} to {to}"));
        }
    }

    /// Keys and problems, in the order in which they were found.
    pub fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }
}
