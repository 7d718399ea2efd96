//! Tokens and tickets with which a stream is being opened right now.

use std::collections::HashSet;

use parking_lot::Mutex;

/// Lets one request at a time open a stream with the same token or ticket.
///
/// Whether it was used before is asked of Redis, with a place already taken. Without this, a hundred at once with one
/// token would take a hundred places while they wait, and most would be told that there are too many.
#[derive(Debug, Default)]
pub(super) struct Opening(Mutex<HashSet<String>>);

/// The one that opens, until it is dropped.
pub(super) struct Turn<'a> {
    opening: &'a Opening,
    name: String,
}

impl Opening {
    /// Begins to open with what has this name; `None`: another is at it.
    pub(super) fn begin(&self, name: String) -> Option<Turn<'_>> {
        let first = self.0.lock().insert(name.clone());
        // Not made in vain: what is made is dropped, and what is dropped ends the other's turn.
        first.then(|| Turn { opening: self, name })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.opening.0.lock().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_the_next_when_it_is_done() {
        let opening = Opening::default();
        let turn = opening.begin("token a".to_owned());
        assert!(turn.is_some() && opening.begin("token b".to_owned()).is_some());
        assert!(opening.begin("token a".to_owned()).is_none() && opening.begin("token a".to_owned()).is_none());
        drop(turn);
        assert!(opening.begin("token a".to_owned()).is_some());
    }
}
