//! Logs: JSON lines for machines, coloured ones for people, and a filter that can be changed while running.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people on a terminal, else JSON.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter does not parse.
    #[error("`log.filter` is not a filter such as \"info\" or \"info,consciousness_system=debug\"")]
    Filter,
    /// The process has a logger already.
    #[error("logging is set up already")]
    Twice,
}

/// A handle on the process's logger.
#[derive(Debug, Clone)]
pub struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Logs {
    /// Installs the process's logger, writing to standard error.
    ///
    /// # Errors
    /// See [`LogError`].
    pub fn install(format: LogFormat, filter: &str) -> Result<Self, LogError> {
        let (filter, handle) = reload::Layer::new(parse(filter)?);
        let registry = tracing_subscriber::registry().with(filter).with(filter_fn(may_be_logged));
        let (writer, terminal) = (std::io::stderr, std::io::stderr().is_terminal());
        let pretty = format == LogFormat::Pretty || (format == LogFormat::Auto && terminal);
        let installed = if pretty {
            registry.with(fmt::layer().with_ansi(terminal).with_target(false).with_writer(writer)).try_init()
        } else {
            registry.with(fmt::layer().json().flatten_event(true).with_writer(writer)).try_init()
        };
        installed.map_err(|_| LogError::Twice)?;
        std::panic::set_hook(Box::new(log_panic));
        Ok(Self { filter: handle })
    }

    /// Changes what is logged from now on.
    ///
    /// # Errors
    /// When the filter does not parse; the old one stays.
    pub fn set_filter(&self, filter: &str) -> Result<(), LogError> {
        self.filter.reload(parse(filter)?).map_err(|_| LogError::Filter)
    }
}

/// Whether an event may be logged, whatever the filter says. Libraries log what they read and write when asked for more
/// than "info" (of WebSockets, whole messages), and that is private.
fn may_be_logged(event: &Metadata<'_>) -> bool {
    const OURS: &str = env!("CARGO_CRATE_NAME");
    let target = event.target();
    let ours = target.strip_prefix(OURS).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    ours || *event.level() <= Level::INFO
}

/// Says where, not what: a panic's message may quote what was being worked on.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or_default().to_owned();
    tracing::error!(place, thread, "panic");
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(filter).map_err(|_| LogError::Filter)
}
