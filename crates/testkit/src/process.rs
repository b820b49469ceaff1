//! Child processes: started with a minimal environment, read until they listen, and killed with their owner.

use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex as AsyncMutex, watch};

/// Maximum start time. A debug build migrates a fresh database in a few seconds on a busy machine.
pub(crate) const START_MAX: Duration = Duration::from_secs(60);
/// The output of a server that accepts connections.
const LISTENING: &str = "listening on http://";

/// A command that inherits neither settings nor input.
pub fn clean_command(program: impl AsRef<OsStr>) -> Command {
    let inherited = ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"];
    let inherited = inherited.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut command = Command::new(program);
    command.env_clear().envs(inherited).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A process that prints its address once it accepts connections.
pub struct Process {
    id: Pid,
    child: AsyncMutex<Child>,
    address: watch::Receiver<Option<String>>,
    log: Log,
}

/// Lines of standard output and error.
type Log = Arc<Mutex<Vec<String>>>;

impl Process {
    /// Starts the command and reads its output, and its errors if they are piped.
    ///
    /// # Errors
    /// If the program cannot be executed.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot execute the program")?;
        let log = Log::default();
        let (sender, address) = watch::channel(None);
        // The tasks end with the process.
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(listen(stdout, log.clone(), Some(sender)));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(listen(stderr, log.clone(), None));
        }
        let id = child.id().and_then(|id| i32::try_from(id).ok()).context("a new process has an id")?;
        Ok(Self { id: Pid::from_raw(id), child: AsyncMutex::new(child), address, log })
    }

    /// Id of the process.
    pub fn id(&self) -> u32 {
        self.id.as_raw().unsigned_abs()
    }

    /// Waits until it accepts connections, and returns `host:port`.
    ///
    /// # Errors
    /// If it exits or takes too long. The error contains its log.
    pub async fn listening(&self) -> Result<String> {
        let mut address = self.address.clone();
        let known = tokio::time::timeout(START_MAX, address.wait_for(Option::is_some)).await;
        let known = known.ok().and_then(|known| known.ok()?.clone());
        known.ok_or_else(|| anyhow!("the server does not start:\n{}", self.log()))
    }

    /// `host:port`; `None` before it accepts connections.
    pub fn address(&self) -> Option<String> {
        self.address.borrow().clone()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        let lines = self.log.lock().expect("no panic while it is held");
        lines.iter().map(|line| format!("[{}] {line}\n", self.id)).collect()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        kill(self.id, Signal::SIGTERM).expect("the process exists until it is waited for");
    }

    /// Waits for the exit.
    ///
    /// # Errors
    /// If it takes longer than 30 seconds. The error contains its log.
    pub async fn ended(&self) -> Result<ExitStatus> {
        let mut child = self.child.lock().await;
        let ended = tokio::time::timeout(Duration::from_secs(30), child.wait()).await;
        Ok(ended.map_err(|_| anyhow!("the server does not exit:\n{}", self.log()))??)
    }

    /// Whether it runs.
    pub async fn is_running(&self) -> bool {
        self.child.lock().await.try_wait().expect("a child process").is_none()
    }

    /// Sends SIGKILL and waits for the exit.
    pub async fn kill(&self) {
        self.child.lock().await.kill().await.expect("a child process");
    }
}

async fn listen(pipe: impl AsyncRead + Unpin, log: Log, address: Option<watch::Sender<Option<String>>>) {
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let (Some(address), Some(at)) = (&address, line.find(LISTENING)) {
            // There may be no receiver any more.
            let _no_receiver = address.send(Some(line[at + LISTENING.len()..].trim_end().to_owned()));
        }
        log.lock().expect("no panic while it is held").push(line);
    }
}
