//! `completions` and `man`: what shells and `man` know of the commands, made from the command line itself.

use std::io::Write;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Failure};

/// What can be given to `completions`.
#[derive(Debug, Clone, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// What can be given to `man`.
#[derive(Debug, Clone, clap::Args)]
pub struct ManArgs {
    /// Write a page for each command into this directory, in place of printing the main one
    #[arg(long, value_name = "DIRECTORY")]
    pub dir: Option<PathBuf>,
}

/// Prints a script that completes the commands in a shell.
///
/// # Errors
/// When it cannot be printed.
pub fn completions(args: &CompletionsArgs, out: &mut impl Write) -> Result<(), Failure> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    // Made in memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    out.write_all(&script).map_err(|error| Failure::run(format!("cannot write: {error}")))
}

/// Prints the manual page, or writes all pages into a directory.
///
/// # Errors
/// When that cannot be written.
pub fn man(args: &ManArgs, out: &mut impl Write) -> Result<(), Failure> {
    let command = Cli::command();
    match &args.dir {
        None => {
            clap_mangen::Man::new(command).render(out).map_err(|error| Failure::run(format!("cannot write: {error}")))
        }
        Some(dir) => clap_mangen::generate_to(command, dir)
            .map_err(|error| Failure::run(format!("{}: cannot be written: {error}", dir.display()))),
    }
}
