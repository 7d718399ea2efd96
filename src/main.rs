//! The binary: hands the command line to the library and the outcome to the shell.

use std::process::ExitCode;

use consciousness_system::cli;

/// A beat touches the memory of thousands of agents; with this allocator it lies closer together (`benches/README.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("consciousness-system: {failure}");
            failure.exit_code()
        }
    }
}
