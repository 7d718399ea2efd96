//! `serve`: the daemon.

use std::path::PathBuf;

use super::{Failure, runtime};
use crate::app::{self, App, Signals};
use crate::auth::Keys;
use crate::config::Config;
use crate::http;
use crate::telemetry::Logs;

/// What can be given on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Configuration file (TOML); CONSCIOUSNESS__SECTION__KEY variables win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Runs the daemon until it is told to end.
///
/// # Errors
/// With exit code 2 when the configuration is wrong, with 1 when the daemon cannot run.
pub fn run(args: &Args, env: Vec<(String, String)>) -> Result<(), Failure> {
    let config = Config::load(args.config.as_deref(), env.iter().cloned()).map_err(Failure::usage)?;
    let keys = Keys::load(&config.auth).map_err(Failure::usage)?;
    let logs = Logs::install(config.log.format, &config.log.filter).map_err(Failure::usage)?;
    let file = args.config.clone();
    let reload = move || {
        let config = Config::load(file.as_deref(), env.iter().cloned()).map_err(|error| error.to_string())?;
        let keys = Keys::load(&config.auth).map_err(|error| error.to_string())?;
        Ok((config, keys))
    };
    runtime()?.block_on(async {
        let address = config.server.listen;
        let listener = http::listen(address);
        let listener = listener.map_err(|error| Failure::run(format!("cannot listen on {address}: {error}")))?;
        let app = App::build(config, keys, listener, logs, Box::new(reload)).map_err(|error| match error {
            app::Error::File(problem) => Failure::usage(problem),
            error => Failure::run(error),
        })?;
        Box::pin(app.run(Signals::install().map_err(Failure::run)?)).await.map_err(Failure::run)
    })
}
