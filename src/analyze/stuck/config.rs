//! Thresholds and exemptions.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use wildmatch::WildMatch;

use crate::domain::ToolName;

/// When repetition counts as being stuck.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Identical tool steps in a row that make [`super::Pattern::ActionResultRepeat`], 2 to 32.
    #[serde(deserialize_with = "within::<_, 2, 32>")]
    pub result_repeats: u32,
    /// Failures of one action in a row that make [`super::Pattern::ActionErrorRepeat`], 2 to 32.
    #[serde(deserialize_with = "within::<_, 2, 32>")]
    pub error_repeats: u32,
    /// Rounds that make [`super::Pattern::Cycle`], 2 to 32. A cycle that does not fit the window is not found.
    #[serde(deserialize_with = "within::<_, 2, 32>")]
    pub cycle_rounds: u32,
    /// Steps in the longest round that is looked for, 2 to 8. The shortest has 2.
    #[serde(deserialize_with = "within::<_, 2, 8>")]
    pub max_cycle_period: u32,
    /// Identical messages in a row that make [`super::Pattern::Monologue`], 2 to 32.
    #[serde(deserialize_with = "within::<_, 2, 32>")]
    pub monologue: u32,
    /// Identical failures of one action that make [`super::Pattern::NoProgress`], 2 to 32.
    #[serde(deserialize_with = "within::<_, 2, 32>")]
    pub no_progress: u32,
    /// Steps of a session that are looked back on, 32 to 64.
    #[serde(deserialize_with = "within::<_, 32, 64>")]
    pub window: u32,
    /// Actions of a session that may wait for their result, 1 to 1024; beyond, the oldest is forgotten.
    #[serde(deserialize_with = "within::<_, 1, 1024>")]
    pub open_actions: u32,
    /// Tools that are polled by nature. A step with one equals no other step.
    pub exempt_tools: Exemptions,
}

/// Names of tools, or globs (`*` any characters, `?` one), compiled once.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Exemptions(Vec<WildMatch>);

/// A name or glob that can match no tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("each must be 1 to 128 characters long")]
pub struct ExemptionError;

impl Default for Config {
    fn default() -> Self {
        Self {
            result_repeats: 4,
            error_repeats: 3,
            cycle_rounds: 3,
            max_cycle_period: 5,
            monologue: 3,
            no_progress: 5,
            window: 64,
            open_actions: 256,
            exempt_tools: Exemptions::default(),
        }
    }
}

impl Exemptions {
    /// Compiles names and globs.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, ExemptionError> {
        let compile = |pattern: &S| match pattern.as_ref() {
            fits if (1..=128).contains(&fits.len()) => Ok(WildMatch::new(fits)),
            _ => Err(ExemptionError),
        };
        patterns.iter().map(compile).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the tool is exempt.
    pub fn cover(&self, tool: &ToolName) -> bool {
        self.0.iter().any(|pattern| pattern.matches(tool.as_str()))
    }
}

impl TryFrom<Vec<String>> for Exemptions {
    type Error = ExemptionError;

    fn try_from(patterns: Vec<String>) -> Result<Self, Self::Error> {
        Self::new(&patterns)
    }
}

impl From<Exemptions> for Vec<String> {
    fn from(exemptions: Exemptions) -> Self {
        exemptions.0.iter().map(WildMatch::pattern).collect()
    }
}

fn within<'de, D: Deserializer<'de>, const LOW: u32, const HIGH: u32>(deserializer: D) -> Result<u32, D::Error> {
    let value = u32::deserialize(deserializer)?;
    if (LOW..=HIGH).contains(&value) {
        Ok(value)
    } else {
        Err(D::Error::custom(format_args!("must be from {LOW} to {HIGH}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_fills_in_defaults() {
        let config: Config = toml::from_str("monologue = 4\nexempt_tools = [\"poll_*\", \"wait\"]").unwrap();
        assert_eq!(config.monologue, 4);
        assert_eq!(config.result_repeats, Config::default().result_repeats);
        assert_eq!(toml::from_str::<Config>(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn wrong_keys_and_values_are_named() {
        let error = |text: &str| toml::from_str::<Config>(text).unwrap_err().to_string();
        assert!(error("monolog = 3").contains("monolog"));
        let range = error("result_repeats = 1");
        assert!(range.contains("result_repeats") && range.contains("must be from 2 to 32"), "{range}");
        assert!(error("window = 65").contains("must be from 32 to 64"));
        assert!(error("exempt_tools = [\"\"]").contains("1 to 128"));
    }

    #[test]
    fn exemptions_are_names_or_globs_of_the_whole_name() {
        let exempt = Exemptions::new(&["wait", "poll_*", "job?"]).unwrap();
        let covered = |tool: &str| exempt.cover(&ToolName::new(tool).unwrap());
        assert!(covered("wait") && covered("poll_job") && covered("poll_") && covered("job1"));
        assert!(!covered("waiting") && !covered("await") && !covered("job") && !covered("job12"));
        assert!(!Exemptions::default().cover(&ToolName::new("wait").unwrap()));
    }
}
