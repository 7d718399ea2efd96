//! Private text: what agents thought, said, passed and got.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// A text of an observation: its hash, by which texts are compared, and a short excerpt for the private reflection.
///
/// The text itself is not kept. `Debug` shows nothing of it, and there is no `Display`, so that it cannot slip into a
/// log line or an error message. It is serialised into the private state only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    hash: u64,
    /// Shared, since the newest texts of an agent are kept as quotes.
    excerpt: Arc<str>,
}

impl Text {
    /// Longest excerpt kept, in bytes.
    pub const MAX_EXCERPT: usize = 160;

    /// Hashes the whole text and keeps its beginning.
    pub fn new(text: &str) -> Self {
        let end = text.floor_char_boundary(Self::MAX_EXCERPT);
        Self { hash: xxh3_64(text.as_bytes()), excerpt: text[..end].into() }
    }

    /// A text of which [`Self::hash`] and [`Self::excerpt`] were written down; an excerpt that is too long is cut.
    pub fn from_parts(hash: u64, excerpt: &str) -> Self {
        let end = excerpt.floor_char_boundary(Self::MAX_EXCERPT);
        Self { hash, excerpt: excerpt[..end].into() }
    }

    /// Hash of the whole text. Equal texts have equal hashes.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The text's beginning, for the private reflection alone.
    pub fn excerpt(&self) -> &str {
        &self.excerpt
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text(private)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_bounded_and_whole_characters() {
        let text = Text::new(&"é".repeat(500));
        assert!(text.excerpt().len() <= Text::MAX_EXCERPT);
        assert!(text.excerpt().chars().all(|c| c == 'é'));
        assert_ne!(text, Text::new(&"é".repeat(501)));
        assert_eq!(text, Text::from_parts(text.hash(), text.excerpt()));
        assert_eq!(text, Text::from_parts(text.hash(), &"é".repeat(500)));
    }

    #[test]
    fn debug_shows_nothing() {
        assert!(!format!("{:?}", Text::new("secret")).contains("secret"));
    }
}
