//! The `jangteo` command.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// Many threads: the server's workers are runtimes of a single one, and the database must not be used from those.
#[tokio::main]
async fn main() -> ExitCode {
    jangteo::cli::run().await
}
