//! What the operating system allows a process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Lets this process, and what it starts, have as many files and sockets open as whoever runs the tests may allow.
///
/// # Panics
/// When that is not enough for some thousand callers.
pub fn raise_open_files_max() {
    const NEEDED: u64 = 8_192;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    assert!(most >= NEEDED, "at most {most} open files are allowed, and {NEEDED} are needed");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("up to the most, anybody may");
}
