use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::row::{Act, Row};

/// Kinds of rows that are kept apart in an interval; of further ones only what was done and how it went is told.
const KINDS: usize = 4_096;

/// What happened often since it was told last.
#[derive(Debug, Default)]
pub(super) struct Tally(HashMap<Kind, Row>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Kind {
    what: Act,
    outcome: Cow<'static, str>,
    sub: Option<Arc<str>>,
    jti: Option<Arc<str>>,
    from: Option<IpAddr>,
}

impl Kind {
    fn of(row: &Row) -> Self {
        let Row { what, outcome, sub, jti, from, .. } = row;
        Self { what: *what, outcome: outcome.clone(), sub: sub.clone(), jti: jti.clone(), from: *from }
    }
}

impl Tally {
    /// Adds a row to those of its kind.
    pub(super) fn add(&mut self, row: Row) {
        let mut kind = Kind::of(&row);
        let mut row = row;
        if self.0.len() >= KINDS && !self.0.contains_key(&kind) {
            row = Row { count: row.count, ..Row::new(row.what, row.at) };
            row.outcome = kind.outcome.clone();
            kind = Kind::of(&row);
        }
        self.0.entry(kind).and_modify(|known| known.count = known.count.saturating_add(row.count)).or_insert(row);
    }

    /// All rows, in the order in which their kinds first came.
    pub(super) fn take(&mut self) -> Vec<Row> {
        let mut rows: Vec<_> = std::mem::take(&mut self.0).into_values().collect();
        rows.sort_by_key(|row| (row.at, row.what));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    #[test]
    fn the_like_are_counted_together_and_their_kinds_are_bounded() {
        let mut tally = Tally::default();
        let row = |sub: &str, seconds: i64| Row {
            sub: Some(sub.into()),
            ..Row::new(Act::Scrape, Timestamp::from_nanos(seconds * 1_000_000_000))
        };
        for seconds in 5..10 {
            tally.add(row("a", seconds));
            tally.add(row("b", seconds).ended("expired"));
        }
        let rows = tally.take();
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| row.count == 5 && row.at.as_millis() == 5_000), "{rows:?}");
        assert!(tally.take().is_empty());
        for i in 0..KINDS + 100 {
            tally.add(row(&i.to_string(), 1));
        }
        let rows = tally.take();
        assert_eq!(rows.len(), KINDS + 1);
        assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), KINDS as u64 + 100);
        assert_eq!(rows.iter().find(|row| row.sub.is_none()).unwrap().count, 100);
    }
}
