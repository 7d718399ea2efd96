//! Which agents a stream shows: globs, shared by all streams that asked for the same.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use wildmatch::WildMatch;

use crate::domain::AgentId;
use crate::sanitize::Select;

/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 128;

/// A set of globs (`*` any run of characters, `?` any one) on agents' names, or everybody.
#[derive(Debug)]
pub struct Filter {
    id: u64,
    /// `None`: everybody.
    patterns: Option<Box<[WildMatch]>>,
}

impl Filter {
    /// Equal for streams that share the filter, and never used again for another.
    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

impl Select for Filter {
    fn wants(&self, agent: &AgentId) -> bool {
        self.patterns.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(agent.as_str())))
    }
}

/// The filters in use.
#[derive(Debug)]
pub struct Filters {
    everybody: Arc<Filter>,
    next_id: AtomicU64,
    known: Mutex<HashMap<Vec<String>, Weak<Filter>>>,
}

impl Default for Filters {
    fn default() -> Self {
        let everybody = Arc::new(Filter { id: 0, patterns: None });
        Self { everybody, next_id: AtomicU64::new(1), known: Mutex::default() }
    }
}

impl Filters {
    /// The filter that lets everybody through.
    pub fn everybody(&self) -> Arc<Filter> {
        Arc::clone(&self.everybody)
    }

    /// The filter of these patterns; no pattern selects no agent.
    ///
    /// # Errors
    /// When there are more than `limit` patterns, or one is empty or longer than 128 bytes.
    pub fn of(&self, mut patterns: Vec<String>, limit: usize) -> Result<Arc<Filter>, &'static str> {
        if patterns.len() > limit {
            return Err("too many patterns in `agents`");
        }
        if patterns.iter().any(|pattern| pattern.is_empty() || pattern.len() > MAX_PATTERN) {
            return Err("a pattern in `agents` must be 1 to 128 characters long");
        }
        if patterns.iter().any(|pattern| pattern == "*") {
            return Ok(self.everybody());
        }
        patterns.sort_unstable();
        patterns.dedup();
        let mut known = self.known.lock();
        if let Some(filter) = known.get(&patterns).and_then(Weak::upgrade) {
            return Ok(filter);
        }
        // Filters live as long as streams use them, so what is left over is never more than what is in use and one.
        known.retain(|_, filter| filter.strong_count() > 0);
        let globs = patterns.iter().map(|pattern| WildMatch::new(pattern)).collect();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let filter = Arc::new(Filter { id, patterns: Some(globs) });
        known.insert(patterns, Arc::downgrade(&filter));
        Ok(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|&pattern| pattern.to_owned()).collect()
    }

    fn wants(filter: &Filter, agent: &str) -> bool {
        filter.wants(&AgentId::new(agent).unwrap())
    }

    #[test]
    fn globs_select() {
        let filters = Filters::default();
        let filter = filters.of(patterns(&["planner-*", "critic-?"]), 64).unwrap();
        assert!(wants(&filter, "planner-1") && wants(&filter, "planner-") && wants(&filter, "critic-9"));
        assert!(!wants(&filter, "planner") && !wants(&filter, "critic-10") && !wants(&filter, "a-planner-1"));
        assert!(!wants(&filters.of(Vec::new(), 64).unwrap(), "anybody"));
        assert!(wants(&filters.everybody(), "anybody"));
    }

    #[test]
    fn equal_filters_are_one() {
        let filters = Filters::default();
        let a = filters.of(patterns(&["b*", "a*", "a*"]), 64).unwrap();
        let b = filters.of(patterns(&["a*", "b*"]), 64).unwrap();
        assert_eq!(a.id(), b.id());
        assert_ne!(a.id(), filters.of(patterns(&["a*"]), 64).unwrap().id());
        assert_eq!(filters.of(patterns(&["x", "*"]), 64).unwrap().id(), filters.everybody().id());
    }

    #[test]
    fn unused_filters_are_forgotten() {
        let filters = Filters::default();
        for i in 0..1_000 {
            drop(filters.of(vec![format!("agent-{i}")], 64));
        }
        assert!(filters.known.lock().len() <= 2);
    }

    #[test]
    fn bounds_are_held() {
        let filters = Filters::default();
        assert!(filters.of(patterns(&["a", "b", "c"]), 2).is_err());
        assert!(filters.of(patterns(&[""]), 2).is_err());
        assert!(filters.of(vec!["x".repeat(129)], 2).is_err());
        assert!(filters.of(vec!["x".repeat(128)], 2).is_ok());
    }
}
