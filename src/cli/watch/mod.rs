//! `watch`: a dashboard of a running daemon in the terminal, or its frames as lines for pipes.

mod board;
mod draw;
mod ending;
mod frame;
mod lines;
mod link;
mod picture;
mod rows;
mod screen;
mod target;
#[cfg(test)]
mod tests;
mod theme;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use self::link::{Link, Wishes};
use self::target::Target;
use self::theme::Theme;
use super::{Failure, runtime};

/// What can be given on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The daemon's URL, or the link that the demo prints, with its token
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// A token with the scope metacog.stream. It opens one stream, once; after that the stream reopens itself
    #[arg(long, env = "CONSCIOUSNESS_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// File that holds the token; it is read anew, so a token renewed there is taken up by itself. Wins over --token
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Frames a second at most, for a slow line: what is held back is merged. 0.01 to what the daemon allows
    #[arg(long, value_name = "HZ", value_parser = hertz)]
    pub max_hz: Option<f64>,
    /// Only agents whose names match one of these patterns (comma-separated; * and ?), as in planner-*
    #[arg(long, value_name = "PATTERNS", value_delimiter = ',')]
    pub agents: Vec<String>,
    /// Print the frames as they come, one a line, in place of the dashboard
    #[arg(long)]
    pub json: bool,
    /// Use no colours; the variable NO_COLOR says the same
    #[arg(long)]
    pub no_color: bool,
}

fn hertz(text: &str) -> Result<f64, String> {
    let known = text.parse().ok().filter(|hz: &f64| (0.01..=1000.0).contains(hz));
    known.ok_or_else(|| "must be a number from 0.01 to 1000".to_owned())
}

/// Watches until told to end, or until the daemon ends the stream for good.
///
/// # Errors
/// With exit code 2 when an option cannot be used, with 1 when the daemon refuses, cannot be reached at first, or ends
/// the stream for good.
pub fn run(args: &Args, env: &[(String, String)], out: &mut impl Write) -> Result<(), Failure> {
    let target = Target::new(&args.url, args.token.clone(), args.token_file.clone())?;
    let wishes = Wishes { max_hz: args.max_hz, agents: args.agents.clone() };
    if !args.json && !std::io::stdout().is_terminal() {
        return Err(Failure::usage("the standard output is no terminal; --json prints the frames, one a line"));
    }
    let shown = target.shown().to_owned();
    let link = Link::new(target, wishes);
    let theme = if args.no_color || is_set(env, "NO_COLOR") { Theme::Plain } else { Theme::Coloured };
    runtime()?.block_on(async {
        if args.json { lines::run(link, out).await } else { screen::run(link, shown, theme, args.max_hz, out).await }
    })
}

/// Whether a variable is set to anything but an empty text, as no-color.org has it.
fn is_set(env: &[(String, String)], name: &str) -> bool {
    env.iter().any(|(known, value)| known == name && !value.is_empty())
}
