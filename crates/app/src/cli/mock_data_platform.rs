use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use jangteo_data_platform::mock::{self, Behaviour, MockSettings};
use secrecy::SecretString;

/// How the receiver is set up and how it behaves. Signatures are checked where `DATA_PLATFORM_SECRET` is set.
#[derive(Args)]
pub struct MockDataPlatform {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDRESS")]
    bind: SocketAddr,
    /// Where events are kept, one a line; only in memory without
    #[arg(long)]
    file: Option<PathBuf>,
    /// Seeds the choice of the calls that fail
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The share of calls that fail
    #[arg(long, default_value_t = 0.0, value_name = "0..1")]
    fail_rate: f64,
    /// The share of calls that hang
    #[arg(long, default_value_t = 0.0, value_name = "0..1")]
    hang_rate: f64,
    /// The share of calls that are answered 429 with Retry-After
    #[arg(long, default_value_t = 0.0, value_name = "0..1")]
    throttle_rate: f64,
    /// The share of calls that are redirected
    #[arg(long, default_value_t = 0.0, value_name = "0..1")]
    redirect_rate: f64,
    /// The share of calls whose event is kept and whose answer gets lost
    #[arg(long, default_value_t = 0.0, value_name = "0..1")]
    lose_answer_rate: f64,
    /// So many of the next calls fail
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    fail_next: u32,
    /// So many of the next calls hang
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    hang_next: u32,
    /// So many of the next calls are answered 429 with Retry-After
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    throttle_next: u32,
    /// So many of the next calls are redirected
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    redirect_next: u32,
    /// So many of the next calls keep the event and lose the answer
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    lose_answer_next: u32,
    /// The status of calls that fail
    #[arg(long, default_value_t = 503, value_name = "STATUS")]
    fail_status: u16,
    /// How long calls hang
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    hang_seconds: u64,
    /// What Retry-After says
    #[arg(long, default_value_t = 1, value_name = "SECONDS")]
    retry_after: u64,
    /// Where calls are redirected
    #[arg(long, default_value = "http://127.0.0.1:9/", value_name = "URL")]
    redirect_to: String,
}

impl MockDataPlatform {
    /// Receives until `stopped` is over.
    pub async fn run(self, secret: Option<SecretString>, stopped: impl Future<Output = ()>) -> anyhow::Result<()> {
        let behaviour = self.behaviour();
        behaviour.check()?;
        let listener =
            TcpListener::bind(self.bind).with_context(|| format!("--bind: cannot listen on {}", self.bind))?;
        let address = listener.local_addr()?;
        let server = mock::serve(listener, MockSettings { secret, file: self.file, behaviour, seed: self.seed })?;
        let handle = server.handle();
        let server = tokio::spawn(server);
        println!("listening on http://{address}");
        stopped.await;
        // A call that hangs is not waited for: its sender will try again.
        handle.stop(false).await;
        server.await??;
        Ok(())
    }

    fn behaviour(&self) -> Behaviour {
        Behaviour {
            fail_rate: self.fail_rate,
            hang_rate: self.hang_rate,
            throttle_rate: self.throttle_rate,
            redirect_rate: self.redirect_rate,
            lose_answer_rate: self.lose_answer_rate,
            fail_next: self.fail_next,
            hang_next: self.hang_next,
            throttle_next: self.throttle_next,
            redirect_next: self.redirect_next,
            lose_answer_next: self.lose_answer_next,
            fail_status: self.fail_status,
            hang_seconds: self.hang_seconds,
            retry_after_seconds: self.retry_after,
            redirect_to: self.redirect_to.clone(),
        }
    }
}
