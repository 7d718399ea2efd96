//! The binary: hands the command line to the library and the outcome to the shell.

use std::process::ExitCode;

use consciousness_system::cli;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("consciousness-system: {failure}");
            failure.exit_code()
        }
    }
}
