//! A MariaDB of a test's own, which it may kill in the middle of anything and start again on the same data.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

/// A server that repairs itself after a crash needs a second or two, on a busy machine some more.
pub(crate) const START_MAX: Duration = Duration::from_secs(60);
/// Between two looks whether it answers.
const PAUSE: Duration = Duration::from_millis(20);
/// Each finds its port taken now and then.
pub(crate) const PORT_ATTEMPTS_MAX: u32 = 5;

/// What the promises rest on, and what makes a small server quick to start.
const SETTINGS: [&str; 10] = [
    // A commit is answered once the log is on the disk: an acknowledged write depends on it.
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-doublewrite=ON",
    "--innodb-buffer-pool-size=128M",
    "--innodb-log-file-size=48M",
    "--skip-log-bin",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--max-connections=500",
    "--performance-schema=OFF",
    "--bind-address=127.0.0.1",
];

/// The server, which ends with its owner.
#[derive(Debug)]
pub struct MariaDb {
    port: u16,
    process: Mutex<Child>,
    // Dropped last: the server writes into it until it is killed.
    folder: TempDir,
}

impl MariaDb {
    /// Makes a data folder and starts a server on it.
    ///
    /// # Errors
    /// When the programs are not there, or do not work.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("jangteo-mariadb-").tempdir()?;
        install(folder.path()).await?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            match launch(folder.path(), port, &[]).await {
                Ok(process) => return Ok(Self { port, process: Mutex::new(process), folder }),
                // Somebody else may have taken the port meanwhile.
                Err(_) if attempts < PORT_ATTEMPTS_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Its address, without a database, for whoever administers it.
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// Its port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it at once, as a crash does.
    ///
    /// # Errors
    /// When it has ended by itself.
    pub async fn crash(&self) -> Result<()> {
        Ok(self.process.lock().await.kill().await?)
    }

    /// Starts it again where it was, and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_again(&self) -> Result<()> {
        let mut process = self.process.lock().await;
        *process = launch(self.folder.path(), self.port, &[]).await?;
        Ok(())
    }

    /// Ends it in order, and starts it again with those settings beside its own.
    ///
    /// # Errors
    /// When it cannot be told to end, or does not come up.
    pub async fn restart_with(&self, settings: &[&str]) -> Result<()> {
        let mut process = self.process.lock().await;
        Conn::new(Opts::from_url(&self.url())?).await?.query_drop("SHUTDOWN").await?;
        process.wait().await?;
        *process = launch(self.folder.path(), self.port, settings).await?;
        Ok(())
    }
}

/// What the server on that folder logged since its last start.
pub(crate) fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("server.log")).unwrap_or_default()
}

pub(crate) fn url(port: u16) -> String {
    format!("mysql://chaos:chaos@127.0.0.1:{port}")
}

/// The address of a test's database for a shop, who does not administer the server, at that port: the server's, or that
/// of something before it.
pub fn shop_url(port: u16, database: &str) -> String {
    format!("mysql://shop:shop@127.0.0.1:{port}/{database}")
}

/// Makes a data folder, and beside it the statements that create the users.
pub(crate) async fn install(folder: &Path) -> Result<()> {
    fs::create_dir(folder.join("tmp"))?;
    let installed = Command::new("mariadb-install-db")
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"])
        .arg(format!("--datadir={}", folder.join("data").display()))
        .arg(format!("--tmpdir={}", folder.join("tmp").display()))
        .args(user_argument())
        .stdin(Stdio::null())
        .output()
        .await
        .context("mariadb-install-db does not start: the tests need the package mariadb-server")?;
    if !installed.status.success() {
        bail!("mariadb-install-db failed: {}", String::from_utf8_lossy(&installed.stderr));
    }
    let init = "CREATE USER IF NOT EXISTS chaos@'127.0.0.1' IDENTIFIED BY 'chaos';\n\
                GRANT ALL ON *.* TO chaos@'127.0.0.1';\n\
                CREATE USER IF NOT EXISTS shop@'127.0.0.1' IDENTIFIED BY 'shop';\n\
                GRANT ALL ON `jangteo\\_test\\_%`.* TO shop@'127.0.0.1';\n";
    fs::write(folder.join("init.sql"), init).context("the server's first statements")
}

async fn launch(folder: &Path, port: u16, settings: &[&str]) -> Result<Child> {
    let mut command = command(folder, port);
    command.arg(init_argument(folder)).args(settings);
    start(command, folder, port).await
}

/// The argument that makes the server run the statements of [`install`] before it answers anybody.
pub(crate) fn init_argument(folder: &Path) -> String {
    format!("--init-file={}", folder.join("init.sql").display())
}

/// The command of a server on that folder and port. Arguments added to it override its own.
pub(crate) fn command(folder: &Path, port: u16) -> Command {
    let mut command = Command::new(mariadbd());
    command
        .arg("--no-defaults")
        .arg(format!("--datadir={}", folder.join("data").display()))
        .arg(format!("--tmpdir={}", folder.join("tmp").display()))
        .arg(format!("--port={port}"))
        // Relative to the data folder: the path of a socket must be short.
        .args(["--socket=mariadb.sock", "--pid-file=mariadb.pid"])
        .args(SETTINGS)
        .args(user_argument());
    command
}

/// Starts that server and waits until it accepts connections.
///
/// # Errors
/// When it exits or does not accept any within [`START_MAX`]; with its log.
pub(crate) async fn start(mut command: Command, folder: &Path, port: u16) -> Result<Child> {
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(folder.join("server.log"))?)
        // Ctrl-C reaches the test alone, which then ends what it started.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("mariadbd does not start: the tests need the package mariadb-server")?;
    let deadline = Instant::now() + START_MAX;
    let options = Opts::from_url(&url(port))?;
    loop {
        if let Some(status) = process.try_wait()? {
            bail!("mariadbd ended with {status}:\n{}", log(folder));
        }
        match Conn::new(options.clone()).await {
            Ok(connection) => {
                connection.disconnect().await?;
                return Ok(process);
            }
            Err(error) if Instant::now() > deadline => return Err(error).context("mariadbd does not answer"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// The server, which is not on everybody's path.
fn mariadbd() -> &'static Path {
    ["/usr/sbin/mariadbd", "/usr/libexec/mariadbd", "/usr/local/sbin/mariadbd"]
        .map(Path::new)
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or(Path::new("mariadbd"))
}

/// MariaDB rejects to run as root unless it is told to.
fn user_argument() -> Option<&'static str> {
    nix::unistd::geteuid().is_root().then_some("--user=root")
}
