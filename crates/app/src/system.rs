//! Ids, TLS, file limits and signals of this process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use jangteo_domain::IdSource;

/// UUIDs of version 7, ascending within this process.
#[derive(Debug, Clone, Copy)]
pub struct UuidSource;

impl IdSource for UuidSource {
    fn next_id(&self) -> Uuid {
        Uuid::now_v7()
    }
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
