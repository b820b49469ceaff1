//! Ids, TLS, file limits and signals of this process.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use jangteo_domain::id::uuid_at;
use jangteo_domain::{IdSource, Timestamp};

/// UUIDs of version 7, ascending within this process.
#[derive(Debug, Clone, Copy)]
pub struct UuidSource;

/// Number of ids of a given time. Starts at a random number, as two servers share the database's time, and low enough
/// for half a billion ids before it wraps.
static IDS_AT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(rand::random::<u32>() >> 3));

impl IdSource for UuidSource {
    fn next_id(&self) -> Uuid {
        Uuid::now_v7()
    }

    /// After the time a counter of 30 bits, then 32 random bits. Where the counter wraps, every 2^30 ids, the order of
    /// ids of one microsecond is lost.
    fn next_id_at(&self, at: Timestamp) -> Uuid {
        let count = IDS_AT.fetch_add(1, Ordering::Relaxed);
        uuid_at(at, u64::from(count) << 32 | u64::from(rand::random::<u32>()))
    }
}

/// A name of this process among the servers of a shop: the host's name and the process id.
pub fn server_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    format!("{}:{}", if host.is_empty() { "localhost" } else { host }, std::process::id())
}

/// Installs the TLS provider of this process, unless it is installed already.
pub fn install_crypto() {
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
}

/// Raises the limit of open files to the hard limit. The usual soft limit, 1,024, is too low for many connections.
pub fn raise_open_files_max() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(now, most)| match now < most {
        true => setrlimit(Resource::RLIMIT_NOFILE, most, most),
        false => Ok(()),
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

/// The limit of open files.
pub fn open_files_max() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(now, _)| now);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Completes at SIGTERM or SIGINT.
pub fn shutdown_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: shutting down"),
            _ = interrupt.recv() => tracing::info!("SIGINT: shutting down"),
        }
    })
}

#[cfg(test)]
mod tests {
    use jangteo_domain::testing::fixtures::{NOON, noon_plus};
    use time::Duration;

    use super::*;

    #[test]
    fn ids_of_a_time_follow_it_and_not_the_clock() {
        let minutes = [0, -65, 24 * 60];
        let times = minutes.map(|minutes| noon_plus(60 * minutes)).map(|time| (time, UuidSource.next_id_at(time)));
        for (time, id) in times {
            let (seconds, nanoseconds) = id.get_timestamp().expect("a UUIDv7").to_unix();
            let milliseconds = seconds * 1_000 + u64::from(nanoseconds / 1_000_000);
            assert_eq!(i64::try_from(milliseconds), Ok(time.unix_microseconds() / 1_000));
        }
    }

    #[test]
    fn ids_ascend_by_microsecond_and_within_one_by_call() {
        let time = |microseconds| NOON.saturating_add(Duration::microseconds(microseconds));
        let later = UuidSource.next_id_at(time(3_000));
        let ids = (0..3_000).flat_map(|at| [(); 3].map(|()| UuidSource.next_id_at(time(at))));
        assert!(ids.chain([later]).is_sorted_by(|a, b| a < b));
    }
}
