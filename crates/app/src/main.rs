//! Starts the runtime and runs the command of the arguments.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// Multi-threaded: each worker of actix has a single-threaded runtime, which must not use the database.
#[tokio::main]
async fn main() -> ExitCode {
    jangteo::cli::run().await
}
