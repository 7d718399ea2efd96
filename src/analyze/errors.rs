//! Results and failures of an agent: whether its infrastructure blocks it, and whether it fails again and again.
//!
//! Infrastructure failures (see [`crate::domain::Failure::INFRASTRUCTURE`]) say nothing of the agent: they make
//! [`InsightKind::Blocked`] and are no part of an [`InsightKind::ErrorStreak`], neither as failures nor as an end to
//! one. Results of all sessions count in the order in which they come.
//!
//! | figure | formula | window | when it moves |
//! | --- | --- | --- | --- |
//! | `results`, `failed` | counts | the agent's life | their quotient lately is the series `errors` of [`super::drift`] |
//! | `in_a_row` | failures of either sort since the last success | | rising: look at the last result's error |
//!
//! `blocked` says: wait, or look at the service. `error_streak` says: look how the agent uses its tools. The first
//! needs 4 failures in a row and the second 5, which at a failure rate of one in ten come by chance once in 10,000 and
//! 100,000 results.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::{Assessment, Evidence, EvidenceKey, InsightKind, Kind, Observation, Severity};

/// When failures are too many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Infrastructure failures in a row that make [`InsightKind::Blocked`], 1 or more. Any other result ends it.
    #[serde(deserialize_with = "positive")]
    pub blocked_after: u32,
    /// Other failures in a row that make [`InsightKind::ErrorStreak`], 1 or more.
    #[serde(deserialize_with = "positive")]
    pub streak_after: u32,
    /// Successes in a row that end it, 1 or more.
    #[serde(deserialize_with = "positive")]
    pub streak_ends_after: u32,
}

/// Counts of one agent's results.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Errors {
    results: u64,
    failed: u64,
    /// Failures at the end, of either sort.
    in_a_row: u32,
    /// Infrastructure failures at the end.
    infrastructure: u32,
    /// Other failures at the end, infrastructure failures left out.
    failures: u32,
    /// Successes at the end, infrastructure failures left out.
    successes: u32,
    /// Most failures in a row of the streak that is on; 0: none is.
    streak: u32,
}

/// What is shown of an agent's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// All results.
    pub results: u64,
    /// Those that failed, for whatever reason.
    pub failed: u64,
    /// Failures since the last success, for whatever reason.
    pub in_a_row: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { blocked_after: 4, streak_after: 5, streak_ends_after: 2 }
    }
}

impl Errors {
    /// The memory of an agent of which nothing has been seen.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the agent's next observation; all but results are passed over. Names the kind of insight that begins
    /// with it, so that one which is over before the next beat can be noticed all the same.
    pub fn observe(&mut self, observation: &Observation, config: &Config) -> Option<InsightKind> {
        let Kind::Result { ok, error, .. } = &observation.kind else { return None };
        self.results = self.results.saturating_add(1);
        if *ok {
            self.succeed(config);
            return None;
        }
        self.failed = self.failed.saturating_add(1);
        self.in_a_row = self.in_a_row.saturating_add(1);
        if error.as_ref().is_some_and(|error| error.infrastructure) {
            self.infrastructure = self.infrastructure.saturating_add(1);
            return (self.infrastructure == config.blocked_after).then_some(InsightKind::Blocked);
        }
        self.fail(config)
    }

    /// What there is to say of [`InsightKind::Blocked`] or [`InsightKind::ErrorStreak`]; nothing of any other kind.
    ///
    /// A warning; critical at twice the failures that it takes. Hysteresis is in the memory, so that the outcome
    /// depends on the results alone and not on when this is asked.
    pub fn assess(&self, kind: InsightKind, config: &Config) -> Assessment {
        let (failures, threshold) = match kind {
            InsightKind::Blocked if self.infrastructure >= config.blocked_after => {
                (self.infrastructure, config.blocked_after)
            }
            InsightKind::ErrorStreak if self.streak > 0 => (self.streak, config.streak_after),
            InsightKind::Blocked | InsightKind::ErrorStreak => return Assessment::Clear,
            _ => return Assessment::Hold,
        };
        let critical = failures >= threshold.saturating_mul(2);
        let severity = if critical { Severity::Critical } else { Severity::Warning };
        Assessment::Raise(severity, Evidence::new().count(EvidenceKey::InARow, u64::from(failures)))
    }

    /// Ends what is on, since the agent has ended: what it does later is something new.
    pub fn end(&mut self) {
        (self.infrastructure, self.failures, self.successes, self.streak) = (0, 0, 0, 0);
    }

    /// Totals so far.
    pub fn figures(&self) -> Figures {
        Figures { results: self.results, failed: self.failed, in_a_row: self.in_a_row }
    }

    fn succeed(&mut self, config: &Config) {
        (self.in_a_row, self.infrastructure, self.failures) = (0, 0, 0);
        self.successes = self.successes.saturating_add(1);
        if self.successes >= config.streak_ends_after {
            self.streak = 0;
        }
    }

    fn fail(&mut self, config: &Config) -> Option<InsightKind> {
        (self.infrastructure, self.successes) = (0, 0);
        self.failures = self.failures.saturating_add(1);
        let was_on = self.streak > 0;
        if was_on || self.failures >= config.streak_after {
            self.streak = self.streak.max(self.failures);
        }
        (!was_on && self.streak > 0).then_some(InsightKind::ErrorStreak)
    }
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(D::Error::custom("must be at least 1")),
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{AgentId, Failure, SessionKey, Source, Timestamp};

    /// A result by a letter: `+` success, `-` failure, `?` failure without an error, `i` infrastructure failure.
    fn result(letter: char) -> Observation {
        let error = match letter {
            '-' => Some("exit_1"),
            'i' => Some("503"),
            _ => None,
        };
        let ok = letter == '+';
        let error = error.map(Failure::new);
        observation(Kind::Result { call: None, tool: None, ok, error, text: None, duration_ms: None })
    }

    fn observation(kind: Kind) -> Observation {
        Observation {
            agent: AgentId::new("a").unwrap(),
            session: SessionKey::default(),
            id: None,
            at: Timestamp::EPOCH,
            source: Source::Native,
            kind,
        }
    }

    /// The memory after results, and the insights that began on the way.
    fn after(letters: &str) -> (Errors, Vec<InsightKind>) {
        let mut errors = Errors::new();
        let begun = letters.chars().filter_map(|letter| errors.observe(&result(letter), &Config::default())).collect();
        (errors, begun)
    }

    /// How bad a kind is after results, and the failures in a row that it shows.
    fn raised(letters: &str, kind: InsightKind) -> Option<(Severity, u64)> {
        match after(letters).0.assess(kind, &Config::default()) {
            Assessment::Raise(severity, evidence) => match evidence.get(EvidenceKey::InARow) {
                Some(crate::domain::EvidenceValue::Count(count)) => Some((severity, *count)),
                other => panic!("{other:?}"),
            },
            Assessment::Clear => None,
            Assessment::Hold => panic!("never holds"),
        }
    }

    #[test]
    fn four_infrastructure_failures_in_a_row_block() {
        assert_eq!(raised("iii", InsightKind::Blocked), None);
        assert_eq!(raised("iiii", InsightKind::Blocked), Some((Severity::Warning, 4)));
        assert_eq!(raised("iiiiiiii", InsightKind::Blocked), Some((Severity::Critical, 8)));
        for other in ["iiii+", "iiii-", "iiii?", "iii+i", "iii-i"] {
            assert_eq!(raised(other, InsightKind::Blocked), None, "{other}");
        }
        assert_eq!(raised("iiiiiiii", InsightKind::ErrorStreak), None);
    }

    #[test]
    fn a_streak_opens_at_five_failures_and_ends_at_two_successes() {
        assert_eq!(raised("----", InsightKind::ErrorStreak), None);
        assert_eq!(raised("----+----", InsightKind::ErrorStreak), None);
        assert_eq!(raised("--?--", InsightKind::ErrorStreak), Some((Severity::Warning, 5)));
        assert_eq!(raised("------+-+-+", InsightKind::ErrorStreak), Some((Severity::Warning, 6)));
        assert_eq!(raised("----------", InsightKind::ErrorStreak), Some((Severity::Critical, 10)));
        assert_eq!(raised("-----++", InsightKind::ErrorStreak), None);
        assert_eq!(raised("-----++-", InsightKind::ErrorStreak), None);
    }

    #[test]
    fn infrastructure_failures_neither_make_nor_end_a_streak() {
        assert_eq!(raised("--i--ii-", InsightKind::ErrorStreak), Some((Severity::Warning, 5)));
        assert_eq!(raised("-----+i+", InsightKind::ErrorStreak), None);
        assert_eq!(raised("----iiii", InsightKind::ErrorStreak), None);
    }

    #[test]
    fn what_begins_is_named_once_even_if_it_ends_soon() {
        assert_eq!(after("iiiiii+").1, [InsightKind::Blocked]);
        assert_eq!(after("-------++-----+").1, [InsightKind::ErrorStreak; 2]);
        assert_eq!(after("----iiii-").1, [InsightKind::Blocked, InsightKind::ErrorStreak]);
    }

    #[test]
    fn figures_count_everything_that_failed() {
        let (mut errors, _) = after("+-i?+-i");
        let expected = Figures { results: 7, failed: 5, in_a_row: 2 };
        assert_eq!(errors.figures(), expected);
        assert_eq!(errors.observe(&observation(Kind::Thought { text: None }), &Config::default()), None);
        assert_eq!(errors.figures(), expected);
    }

    #[test]
    fn configuration_names_what_is_wrong() {
        let error = toml::from_str::<Config>("blocked_after = 0").unwrap_err().to_string();
        assert!(error.contains("blocked_after") && error.contains("at least 1"), "{error}");
        assert!(toml::from_str::<Config>("blocked = 4").is_err());
        assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
    }

    proptest! {
        /// The counters against counting back over the whole history, and a round trip in the middle.
        #[test]
        fn agrees_with_the_definition(letters in "[-+?i]{0,40}", cut in 0usize..40) {
            let config = Config::default();
            let mut errors = Errors::new();
            let mut streak = 0;
            for (index, letter) in letters.char_indices() {
                if index == cut {
                    errors = serde_json::from_str(&serde_json::to_string(&errors).unwrap()).unwrap();
                }
                errors.observe(&result(letter), &config);

                let seen = &letters[..=index];
                let at_end = |set: &str, of: &str| of.chars().rev().take_while(|c| set.contains(*c)).count() as u64;
                let own: String = seen.chars().filter(|c| *c != 'i').collect();
                if letter != 'i' && at_end("-?", &own) >= if streak > 0 { 1 } else { 5 } {
                    streak = streak.max(at_end("-?", &own));
                } else if at_end("+", &own) >= 2 {
                    streak = 0;
                }
                let expected = |count: u64, threshold: u64| match count {
                    0 => Assessment::Clear,
                    _ => Assessment::Raise(
                        if count >= 2 * threshold { Severity::Critical } else { Severity::Warning },
                        Evidence::new().count(EvidenceKey::InARow, count),
                    ),
                };
                let blocked = Some(at_end("i", seen)).filter(|count| *count >= 4).unwrap_or(0);
                prop_assert_eq!(errors.assess(InsightKind::Blocked, &config), expected(blocked, 4));
                prop_assert_eq!(errors.assess(InsightKind::ErrorStreak, &config), expected(streak, 5));
                prop_assert_eq!(errors.figures().results, index as u64 + 1);
                prop_assert_eq!(errors.figures().failed, seen.chars().filter(|c| *c != '+').count() as u64);
                prop_assert_eq!(u64::from(errors.figures().in_a_row), at_end("-?i", seen));
            }
        }
    }
}
