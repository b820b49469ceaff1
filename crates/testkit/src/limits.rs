//! Resource limits of the operating system.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files and sockets, for this process and its children, to the maximum.
///
/// # Panics
/// If the maximum is too low for some thousand callers.
pub fn raise_open_files_max() {
    const NEEDED: u64 = 8_192;
    let (_, max) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    assert!(max >= NEEDED, "the limit of open files is {max}, but {NEEDED} are required");
    setrlimit(Resource::RLIMIT_NOFILE, max, max).expect("no privilege is needed up to the maximum");
}
