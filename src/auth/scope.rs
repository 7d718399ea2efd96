use std::fmt;

/// What a token may allow. A token may name other scopes too; they allow nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read the public state.
    Stream,
    /// Send observations.
    Observe,
    /// Read the metrics.
    MetricsRead,
    /// See and cut off streams.
    Admin,
    /// Read the private state.
    Private,
}

impl Scope {
    /// All of them, in the order of declaration.
    pub const ALL: [Self; 5] = [Self::Stream, Self::Observe, Self::MetricsRead, Self::Admin, Self::Private];

    /// The word in a token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "metacog.stream",
            Self::Observe => "metacog.observe",
            Self::MetricsRead => "metrics.read",
            Self::Admin => "metacog.admin",
            Self::Private => "metacog.private",
        }
    }

    /// The scope of a word; the whole word, letter by letter.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// The known scopes among words; others are passed over.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        words.into_iter().filter_map(Scope::from_word).collect()
    }

    /// Whether a scope is in the set.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// Whether every scope of this set is in the other: whether it is no wider.
    pub const fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The scopes, in the order of declaration.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |&scope| self.contains(scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | 1 << scope as u8))
    }
}

/// The words with spaces between, as in a token (RFC 8693, section 4.2).
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().enumerate().try_for_each(|(i, scope)| write!(f, "{}{scope}", if i == 0 { "" } else { " " }))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn only_whole_words_count(before in "[a-zA-Z.]{0,3}", after in "[a-zA-Z._\u{200b}\u{a0}]{0,3}", i in 0usize..5) {
            let scope = Scope::ALL[i];
            let word = format!("{before}{scope}{after}");
            prop_assert_eq!(Scope::from_word(&word), (word == scope.as_str()).then_some(scope));
        }

        #[test]
        fn sets_hold_what_was_put_in(members in proptest::sample::subsequence(Scope::ALL.to_vec(), 0..=5)) {
            let set: Scopes = members.iter().copied().collect();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), members);
            prop_assert_eq!(Scopes::from_words(set.to_string().split(' ')), set);
        }
    }

    #[test]
    fn look_alikes_are_other_words() {
        for word in ["metacog.streams", "xmetacog.stream", "Metacog.stream", "metacog.strеam", "metacog stream", ""] {
            assert_eq!(Scope::from_word(word), None, "{word}");
        }
    }

    #[test]
    fn wider_is_no_subset() {
        let narrow = Scopes::from_words(["metacog.stream"]);
        let wide = Scopes::from_words(["metacog.stream", "metacog.admin"]);
        assert!(narrow.is_subset(wide) && narrow.is_subset(narrow) && !wide.is_subset(narrow));
    }
}
