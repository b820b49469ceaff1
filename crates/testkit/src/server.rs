//! The binary under test: built if necessary, started with test settings, logged and stopped.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use reqwest::Client;
use tokio::process::Command;

use crate::client::Caller;
use crate::process::{Process, START_MAX, clean_command};
use crate::scenario::{Shop, Watch};
use crate::token::{TOKEN_SETTINGS, token};
use crate::usage::memory_peak_mib;

/// The binary under test: `JANGTEO_BIN`, or the one beside this test's executable, built if it is missing or older than
/// its sources.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("JANGTEO_BIN") {
            return path.into();
        }
        let test = std::env::current_exe().expect("the path of this executable");
        // Tests are in target/<profile>/deps, programs in target/<profile>.
        let folder = test.parent().expect("a folder");
        let profile = if folder.ends_with("deps") { folder.parent().expect("target/<profile>") } else { folder };
        let profile = profile.to_owned();
        let path = profile.join("jangteo");
        if !is_fresh(&path) {
            build(&profile);
        }
        assert!(path.exists(), "{} does not exist: run `cargo build --workspace` first", path.display());
        path
    })
}

/// Whether the binary is newer than every source in its dep-info file.
fn is_fresh(binary: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let Some(built) = modified(binary) else { return false };
    let Ok(note) = std::fs::read_to_string(binary.with_extension("d")) else { return false };
    let sources = note.split_once(':').map_or("", |(_, sources)| sources).replace("\\ ", "\0");
    sources
        .split_whitespace()
        .all(|source| modified(Path::new(&source.replace('\0', " "))).is_some_and(|time: SystemTime| time <= built))
}

/// Builds with the options of `cargo test --workspace`, so that only the binary is rebuilt.
fn build(profile: &Path) {
    let name = profile.file_name().and_then(|name| name.to_str()).expect("the profile's folder");
    let name = if name == "debug" { "dev" } else { name };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = std::process::Command::new(cargo)
        .args(["build", "--quiet", "--workspace", "--bins", "--tests", "--profile", name])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .status();
    assert!(
        status.as_ref().is_ok_and(ExitStatus::success),
        "cannot build the server ({status:?}): run `cargo build --workspace` first"
    );
}

/// A builder of a server process.
pub struct ServerBuilder {
    shop: Shop,
    settings: Vec<(String, String)>,
    arguments: Vec<String>,
    /// Shell commands that prepare the process.
    limits: Vec<String>,
    /// Whether the process has mounts of its own.
    has_own_mounts: bool,
}

impl ServerBuilder {
    pub(crate) fn new(shop: Shop) -> Self {
        let database_url = shop.database().url();
        let settings = [
            ("DATABASE_URL", database_url.as_str()),
            ("DATABASE_POOL_MAX", "8"),
            ("BIND", "127.0.0.1:0"),
            // A node of a cluster may be on a network of this machine.
            ("DATABASE_TLS", "off"),
            ("RATE_LIMIT", "off"),
            ("RATE_LIMIT_ANONYMOUS", "off"),
            // Debug builds on a busy machine are slow, and these tests do not measure queue waits.
            ("QUEUE_WAIT_MAX", "10s"),
            ("RUST_LOG", "info"),
        ];
        let settings = settings.into_iter().chain(TOKEN_SETTINGS);
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { shop, settings, arguments: vec!["serve".to_owned()], limits: Vec::new(), has_own_mounts: false }
    }

    /// Sets a setting.
    pub fn setting(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sets several settings.
    pub fn settings<const N: usize>(self, settings: [(&str, &str); N]) -> Self {
        settings.into_iter().fold(self, |builder, (name, value)| builder.setting(name, value))
    }

    /// Removes a setting.
    pub fn without(mut self, name: &str) -> Self {
        self.settings.retain(|(known, _)| known != name);
        self
    }

    /// Sets the command of the binary; default `serve`.
    pub fn command(mut self, name: &str) -> Self {
        name.clone_into(&mut self.arguments[0]);
        self
    }

    /// Appends arguments to the command.
    pub fn arguments<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.arguments.extend(arguments.map(str::to_owned));
        self
    }

    /// Serves the demo shop, with its own key.
    pub fn demo(self) -> Self {
        TOKEN_SETTINGS.iter().fold(self, |server, (name, _)| server.without(name)).arguments(["--dev"])
    }

    /// Sets the soft limit of open files and sockets; the hard limit is unchanged.
    pub fn open_files(self, count: u64) -> Self {
        self.limit(format!("ulimit -S -n {count}"))
    }

    /// Sets the soft and the hard limit of open files and sockets.
    pub fn open_files_max(self, count: u64) -> Self {
        self.limit(format!("ulimit -n {count}"))
    }

    /// Limits the size of files in bytes, to simulate a full disk, until [`Server::lift_file_size_max`].
    pub fn file_size_max(self, bytes: u64) -> Self {
        // `ulimit` counts in half KiB. The signal would otherwise terminate the process.
        self.limit(format!("trap '' XFSZ && ulimit -S -f {}", bytes / 512))
    }

    /// Resolves names by this file instead of the machine's `/etc/hosts`, which is not changed. Needs root or user
    /// namespaces.
    pub fn hosts_file(mut self, file: &Path) -> Self {
        self.has_own_mounts = true;
        self.limit(format!("mount --bind '{}' /etc/hosts", file.display()))
    }

    /// Adds a shell command that sets a limit.
    fn limit(mut self, limit: String) -> Self {
        self.limits.push(limit);
        self
    }

    /// Starts the server and waits until it accepts connections.
    ///
    /// # Panics
    /// If it exits or takes too long.
    pub async fn start(self) -> Server {
        let server = self.spawn();
        server.listening().await;
        server
    }

    /// Starts the server without waiting.
    ///
    /// # Panics
    /// If the binary cannot be executed.
    pub fn spawn(self) -> Server {
        let process = Process::spawn(self.process(&self.arguments).stderr(Stdio::piped())).expect("a new process");
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = client.timeout(Duration::from_secs(60)).build().expect("a client");
        let server = Server(Arc::new(Inner { process, client, watch: self.shop.watch() }));
        self.shop.register_server(server.clone());
        server
    }

    /// Runs another command of the binary with the same settings to completion.
    ///
    /// # Panics
    /// If the binary cannot be executed or does not exit.
    pub async fn run<const N: usize>(&self, arguments: [&str; N]) -> CommandOutput {
        let mut command = self.process(&arguments.map(str::to_owned));
        let output = tokio::time::timeout(START_MAX, command.output()).await;
        let output =
            output.unwrap_or_else(|_| panic!("{arguments:?} does not exit")).expect("the binary is executable");
        CommandOutput {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// The process with only the settings and a minimal environment.
    fn process(&self, arguments: &[String]) -> Command {
        let mut command = clean_command(binary());
        if !self.limits.is_empty() {
            // The shell sets the limits and then executes the server.
            let limits = self.limits.iter().map(|limit| format!("{limit} && ")).collect::<String>();
            command = clean_command(if self.has_own_mounts { "unshare" } else { "sh" });
            if self.has_own_mounts {
                let as_root = nix::unistd::geteuid().is_root();
                command.arg("--mount").args((!as_root).then_some("--map-root-user")).arg("sh");
            }
            command.args(["-c", &format!("{limits}exec \"$@\""), "sh"]).arg(binary());
        }
        command.args(arguments).envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.shop.database().folder());
        command
    }
}

/// Output of a completed command.
#[expect(missing_docs, reason = "the other names are clear")]
#[derive(Debug)]
pub struct CommandOutput {
    /// `None` after a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A running server, killed at the end of the test at the latest.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    process: Process,
    client: Client,
    watch: Arc<Watch>,
}

impl Server {
    /// Waits until the server accepts connections.
    ///
    /// # Panics
    /// If it exits or takes too long.
    pub async fn listening(&self) {
        self.0.process.listening().await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Whether the server accepts connections.
    pub fn is_listening(&self) -> bool {
        self.0.process.address().is_some()
    }

    /// Whether the process has opened a file of this name.
    pub fn has_open(&self, name: &str) -> bool {
        let Ok(files) = std::fs::read_dir(format!("/proc/{}/fd", self.0.process.id())) else { return false };
        files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|path| path.ends_with(name)))
    }

    /// The number of sockets that the process has open; 0 after its exit.
    pub fn open_sockets(&self) -> usize {
        let Ok(files) = std::fs::read_dir(format!("/proc/{}/fd", self.0.process.id())) else { return 0 };
        let targets = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    /// `host:port`.
    ///
    /// # Panics
    /// Before the server accepts connections.
    pub fn address(&self) -> String {
        self.0.process.address().expect("the server listens")
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.0.process.log()
    }

    /// `host:port` of the database that the server writes to, by its metrics.
    pub async fn database_writer(&self) -> Option<String> {
        let metrics = String::from_utf8(self.anonymous().get("/metrics").await.expect(200).body).expect("UTF-8");
        let mut series = metrics.lines().filter_map(|line| line.strip_prefix("jangteo_database_writer{host=\""));
        series.find_map(|line| line.strip_suffix("\"} 1")).map(str::to_owned)
    }

    /// Lifts the limit of the file size.
    ///
    /// # Panics
    /// If the process has exited.
    pub fn lift_file_size_max(&self) {
        let arguments = [format!("--pid={}", self.0.process.id()), "--fsize=unlimited".to_owned()];
        let status = std::process::Command::new("prlimit").args(arguments).status();
        assert!(status.as_ref().is_ok_and(ExitStatus::success), "prlimit: {status:?}");
    }

    /// Peak resident memory in MiB.
    ///
    /// # Panics
    /// If the process has exited, or on another system than Linux.
    pub fn memory_peak_mib(&self) -> f64 {
        memory_peak_mib(self.0.process.id()).expect("a running process")
    }

    /// A client without a token.
    pub fn anonymous(&self) -> Caller {
        self.caller(None)
    }

    /// A client with this token.
    pub fn bearer(&self, token: impl Into<String>) -> Caller {
        self.caller(Some(token.into()))
    }

    /// A client with the token of a customer.
    pub fn user(&self, user_id: &str) -> Caller {
        self.bearer(token(user_id, None))
    }

    /// A client with the token of a back office user.
    pub fn admin(&self) -> Caller {
        self.bearer(token("back-office", Some("admin")))
    }

    fn caller(&self, token: Option<String>) -> Caller {
        let base = format!("http://{}", self.address());
        Caller::new(self.0.client.clone(), base, token, self.0.watch.clone())
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.0.process.terminate();
    }

    /// Waits for the exit.
    ///
    /// # Panics
    /// If it takes longer than 30 seconds.
    pub async fn ended(&self) -> ExitStatus {
        self.0.process.ended().await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Whether the process runs.
    pub async fn is_running(&self) -> bool {
        self.0.process.is_running().await
    }

    /// Sends SIGKILL and waits for the exit.
    pub async fn kill(&self) {
        self.0.process.kill().await;
    }
}
