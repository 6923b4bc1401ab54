//! The binary: parses, runs, and says in one sentence what went wrong.

use std::process::ExitCode;

// Idle sockets take less memory than with the system's allocator (`benches/fanout`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match belfry::app::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            belfry::app::console::err(format_args!("belfry: {error:#}\n"));
            ExitCode::from(belfry::app::exit_code::of(&error))
        }
    }
}
