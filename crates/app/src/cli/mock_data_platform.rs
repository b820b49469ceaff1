use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use jangteo_data_platform::mock::{self, Behavior, MockSettings};
use secrecy::SecretString;

/// The arguments of the command.
#[derive(Args)]
pub struct MockDataPlatform {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDRESS")]
    bind: SocketAddr,
    /// File of events, one per line; without it they are stored in memory
    #[arg(long)]
    file: Option<PathBuf>,
    /// Seed of random faults
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    behavior: Behavior,
}

impl MockDataPlatform {
    /// Serves until `stopped` completes.
    pub async fn run(self, secret: Option<SecretString>, stopped: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { bind, file, seed, behavior } = self;
        behavior.check()?;
        let listener = TcpListener::bind(bind).with_context(|| format!("--bind: cannot listen on {bind}"))?;
        let address = listener.local_addr()?;
        let server = mock::serve(listener, MockSettings { secret, file, behavior, seed })?;
        let handle = server.handle();
        let server = tokio::spawn(server);
        println!("listening on http://{address}");
        stopped.await;
        // Without waiting for hanging calls: their senders retry.
        handle.stop(false).await;
        server.await??;
        Ok(())
    }
}
