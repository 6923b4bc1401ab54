//! The binary: parses, runs, and says in one sentence what went wrong.

use std::process::ExitCode;

fn main() -> ExitCode {
    match belfry::app::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("belfry: {error:#}");
            ExitCode::FAILURE
        }
    }
}
