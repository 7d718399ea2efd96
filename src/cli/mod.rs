//! Floor 6: the commands.

pub mod analyze;
pub mod audit;
pub mod check_config;
pub mod demo;
pub mod manual;
pub mod probe;
pub mod reflect;
pub mod replay;
pub mod restore;
pub mod revoke;
pub mod serve;
mod source;
pub mod streams;
pub mod token;
pub mod watch;
pub mod when;
mod words;

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;
use crate::link::Endpoint;
use crate::{clock, config};

/// As in `0.1.0 (0123456789ab)`.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("CONSCIOUSNESS_COMMIT"), ")");

/// A live self-model for AI agents: observations in, a beating meta-state, a sanitized stream out.
#[derive(Debug, Parser)]
#[command(name = "consciousness-system", version = VERSION, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Serve(serve::Args),
    /// Run the daemon on embedded defaults, fed with recorded agent runs
    Demo(demo::Args),
    /// Mint a token
    Token(token::Args),
    /// Analyse recordings offline and print a report
    Analyze(analyze::Args),
    /// Tell what the daemon makes of an agent, from its private state
    Reflect(reflect::Args),
    /// Send a recording to a running daemon
    Replay(replay::Args),
    /// Watch a running daemon: a dashboard in the terminal, or its frames as lines
    Watch(watch::Args),
    /// Look through the stored states, and put one back
    Restore(restore::Args),
    /// Revoke tokens, list what is revoked, or undo it
    Revoke(revoke::Args),
    /// Tell from the audit trail who held which scope, and used it
    Audit(audit::Args),
    /// List the open streams of a running daemon, or close one
    Streams(streams::Args),
    /// Print the effective configuration, or what is wrong with it
    CheckConfig(check_config::Args),
    /// Ask a running daemon whether it is well: exit code 0 or 1
    Probe(probe::Args),
    /// Print a script that completes these commands in a shell
    #[command(hide = true)]
    Completions(manual::CompletionsArgs),
    /// Print the manual page, or write all of them
    #[command(hide = true)]
    Man(manual::ManArgs),
}

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Wrong usage or configuration: exit code 2.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { code: 2, message: message.to_string() }
    }

    /// A failure at run time: exit code 1.
    pub fn run(message: impl fmt::Display) -> Self {
        Self { code: 1, message: message.to_string() }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Parses the command line and runs the command.
///
/// # Errors
/// What to tell the user, and the exit code.
pub fn run() -> Result<(), Failure> {
    // An error means that a provider was installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let env = config::environment();
    let mut out = std::io::stdout().lock();
    match Cli::parse().command {
        Command::Serve(args) => serve::run(&args, env),
        Command::Demo(args) => demo::run(&args, &mut out),
        Command::Token(args) => {
            let minted = token::run(&args, env, clock::now()).map_err(Failure::usage)?;
            minted.warnings.iter().for_each(|warning| eprintln!("{warning}"));
            print(&mut out, &minted.token)
        }
        Command::Analyze(args) => analyze::run(&args, env, &mut out),
        Command::Reflect(args) => reflect::run(&args, env, &mut out),
        Command::Replay(args) => replay::run(&args),
        Command::Watch(args) => watch::run(&args, &env, &mut out),
        Command::Restore(args) => restore::run(&args, env, &mut out, clock::now()),
        Command::Revoke(args) => revoke::run(&args, env, &mut out, clock::now()),
        Command::Audit(args) => audit::run(&args, env, &mut out, clock::now()),
        Command::Streams(args) => streams::run(&args, &mut out),
        Command::CheckConfig(args) => {
            let toml = check_config::run(&args, env).map_err(Failure::usage)?;
            print(&mut out, toml.trim_end())
        }
        Command::Probe(args) => probe::run(&args, env),
        Command::Completions(args) => manual::completions(&args, &mut out),
        Command::Man(args) => manual::man(&args, &mut out),
    }
}

fn print(out: &mut impl Write, text: &str) -> Result<(), Failure> {
    writeln!(out, "{text}").map_err(|error| Failure::run(format!("cannot write: {error}")))
}

/// What is behind an error of the HTTP client: "connection refused", not "error sending request".
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "the time is over".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The Redis that the configuration names; else this is what to tell.
fn redis(config: &Config, none: &str) -> Result<Endpoint, Failure> {
    if config.redis.url.is_empty() {
        return Err(Failure::usage(format!("redis.url: is not set{none}")));
    }
    Endpoint::new(&config.redis).map_err(Failure::usage)
}

/// The runtime of everything but the heart, which has a thread of its own.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::run(format!("the runtime cannot be started: {error}")))
}
