//! The program `countersign`, and its memory allocator.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The reason is in docs/decisions/0019.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    countersign::cli::main()
}
