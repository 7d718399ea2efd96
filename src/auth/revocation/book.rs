use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Entry, Target};
use crate::domain::Timestamp;

/// All entries, of which the one made last on each target holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book(BTreeMap<Target, Entry>);

impl Book {
    /// Takes in an entry, unless there is one that was made later. Whether that changed anything.
    pub fn enter(&mut self, target: Target, entry: Entry) -> bool {
        match self.0.get(&target) {
            Some(known) if known.at >= entry.at => false,
            _ => {
                self.0.insert(target, entry);
                true
            }
        }
    }

    /// Forgets what need not be remembered any more.
    pub fn forget_until(&mut self, now: Timestamp) {
        self.0.retain(|_, entry| entry.until > now);
    }

    /// The entry on a target.
    pub fn get(&self, target: &Target) -> Option<&Entry> {
        self.0.get(target)
    }

    /// All entries, those that undo among them.
    pub fn iter(&self) -> impl Iterator<Item = (&Target, &Entry)> {
        self.0.iter()
    }

    /// What is revoked.
    pub fn in_force(&self) -> impl Iterator<Item = (&Target, &Entry)> {
        self.iter().filter(|(_, entry)| !entry.undone)
    }

    /// The same, to be asked quickly.
    pub fn list(&self) -> List {
        let mut list = List::default();
        for (target, entry) in self.in_force() {
            match (target, entry.before) {
                (Target::Token(jti), _) => {
                    list.tokens.insert(jti.as_str().into());
                }
                (Target::Subject(subject), _) => {
                    list.subjects.insert(subject.as_str().into());
                }
                (Target::IssuedBefore(None), before) => list.before = before,
                (Target::IssuedBefore(Some(subject)), Some(before)) => {
                    list.before_of.insert(subject.as_str().into(), before);
                }
                (Target::IssuedBefore(Some(_)), None) => {}
            }
        }
        list
    }
}

/// What is revoked, to be asked quickly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    tokens: HashSet<Box<str>>,
    subjects: HashSet<Box<str>>,
    before: Option<Timestamp>,
    before_of: HashMap<Box<str>, Timestamp>,
}

impl List {
    /// Whether a token is revoked that is of this `sub`, has this `jti`, and was issued then.
    pub fn covers(&self, subject: &str, token: Option<&str>, issued: Option<Timestamp>) -> bool {
        let too_old = |before: Timestamp| issued.is_none_or(|issued| issued < before);
        token.is_some_and(|token| self.tokens.contains(token))
            || self.subjects.contains(subject)
            || self.before.is_some_and(too_old)
            || self.before_of.get(subject).copied().is_some_and(too_old)
    }

    /// How many revocations it holds.
    pub fn len(&self) -> usize {
        self.tokens.len() + self.subjects.len() + self.before_of.len() + usize::from(self.before.is_some())
    }

    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn entry(made: i64) -> Entry {
        Entry { at: at(made), until: at(made + 1_000), before: None, undone: false }
    }

    fn list(entries: &[(Target, Entry)]) -> List {
        let mut book = Book::default();
        for (target, entry) in entries {
            book.enter(target.clone(), entry.clone());
        }
        book.list()
    }

    #[test]
    fn tokens_subjects_and_times_are_covered() {
        let token = list(&[(Target::Token("t".into()), entry(1))]);
        assert!(token.covers("a", Some("t"), Some(at(5))) && !token.covers("a", Some("u"), None));
        assert!(!token.covers("t", None, None));
        let subject = list(&[(Target::Subject("a".into()), entry(1))]);
        assert!(subject.covers("a", Some("t"), Some(at(99))) && !subject.covers("b", Some("a"), None));
        let early = Entry { before: Some(at(10)), ..entry(12) };
        let all = list(&[(Target::IssuedBefore(None), early.clone())]);
        assert!(all.covers("a", Some("t"), Some(at(9))) && all.covers("b", None, None));
        assert!(!all.covers("a", Some("t"), Some(at(10))));
        let one = list(&[(Target::IssuedBefore(Some("a".into())), early)]);
        assert!(one.covers("a", None, None) && one.covers("a", None, Some(at(9))));
        assert!(!one.covers("b", None, None) && !one.covers("a", None, Some(at(10))));
        assert_eq!((one.len(), List::default().is_empty()), (1, true));
    }

    #[test]
    fn what_was_made_last_holds_until_its_time_is_over() {
        let target = Target::Subject("a".into());
        let mut book = Book::default();
        assert!(book.enter(target.clone(), entry(5)));
        assert!(!book.enter(target.clone(), Entry { undone: true, ..entry(4) }), "late news");
        assert!(book.list().covers("a", None, None));
        assert!(book.enter(target.clone(), Entry { undone: true, ..entry(6) }));
        assert!(book.list().is_empty() && book.get(&target).is_some());
        book.forget_until(at(1_005));
        assert_eq!(book.iter().count(), 1);
        book.forget_until(at(1_006));
        assert_eq!(book.iter().count(), 0);
    }

    proptest! {
        #[test]
        fn fields_tell_their_target(kind in 0u8..4, name in "\\PC{1,20}") {
            let target = match kind {
                0 => Target::IssuedBefore(None),
                1 => Target::IssuedBefore(Some(name)),
                2 => Target::Subject(name),
                _ => Target::Token(name),
            };
            prop_assert_eq!(Target::of(&target.field()), Some(target));
        }

        /// However entries arrive, all pods come to the same.
        #[test]
        fn the_order_of_arrival_does_not_matter(made in prop::collection::vec((0u8..3, 0i64..20, any::<bool>()), 0..20)) {
            let entries: Vec<_> = made.iter().enumerate().map(|(i, (name, seconds, undone))| {
                // No two are made at one moment.
                let at = Timestamp::from_nanos(seconds * 1_000_000_000 + i as i64);
                (Target::Subject(name.to_string()), Entry { at, undone: *undone, ..entry(0) })
            }).collect();
            let reversed: Vec<_> = entries.iter().rev().cloned().collect();
            prop_assert_eq!(list(&entries), list(&reversed));
        }
    }
}
