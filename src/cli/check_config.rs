//! `check-config`: the effective configuration, or what is wrong with it.

use std::path::PathBuf;

use crate::auth::{Keys, KeysError};
use crate::config::{self, Config};

/// What can be given on the command line.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Configuration file (TOML); variables CONSCIOUSNESS__SECTION__KEY win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Why the configuration cannot be used; exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key or its value is wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A configured key of tokens cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// The effective configuration as TOML, its secrets masked. Keys in files are read too; that there is none at all is
/// no error here, as `demo` and offline commands need none.
///
/// # Errors
/// All that is wrong, one line a problem.
pub fn run(args: &Args, env: impl IntoIterator<Item = (String, String)>) -> Result<String, Error> {
    let config = Config::load(args.config.as_deref(), env)?;
    match Keys::load(&config.auth) {
        Ok(_) | Err(KeysError::None) => Ok(config.to_toml()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_effective_configuration_is_shown_without_its_secrets() {
        let secret = "a-secret-of-more-than-32-bytes-for-tests";
        let shown = run(
            &Args::default(),
            variables(&[
                ("CONSCIOUSNESS__AUTH__SECRET", secret),
                ("CONSCIOUSNESS__REDIS__URL", "redis://app:hunter2@db:6379"),
                ("CONSCIOUSNESS__REDIS__PASSWORD", "hunter3"),
                ("CONSCIOUSNESS__HEART__INTERVAL", "50ms"),
            ]),
        )
        .unwrap();
        assert!(shown.contains("secret = \"***\"") && shown.contains("redis://app:***@db:6379"), "{shown}");
        assert!(shown.contains("interval = \"50ms\""), "{shown}");
        for hidden in [secret, "hunter2", "hunter3"] {
            assert!(!shown.contains(hidden));
        }
        assert!(shown.parse::<toml::Table>().is_ok());
    }

    #[test]
    fn keys_that_cannot_be_read_are_an_error() {
        let error = run(&Args::default(), variables(&[("CONSCIOUSNESS__AUTH__SECRET_FILE", "/nonexistent/secret")]));
        assert_eq!(
            error.unwrap_err().to_string(),
            "auth.secret_file: /nonexistent/secret cannot be read: entity not found"
        );
    }
}
