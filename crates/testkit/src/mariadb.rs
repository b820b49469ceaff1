//! A private MariaDB server, which a test may kill and restart on the same data.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

/// Maximum time of a start or a shutdown. Crash recovery takes a second or two, more on a busy machine.
pub(crate) const START_MAX: Duration = Duration::from_secs(60);
/// Interval between connection attempts.
const PAUSE: Duration = Duration::from_millis(20);
/// A free port may be taken before the server binds it.
pub(crate) const PORT_ATTEMPTS_MAX: u32 = 5;

/// Required for the guarantees, or for a fast start of a small server.
const SETTINGS: [&str; 9] = [
    // A commit returns once the log is on the disk, as acknowledged writes require.
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-doublewrite=ON",
    "--innodb-log-file-size=48M",
    "--skip-log-bin",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--max-connections=500",
    "--performance-schema=OFF",
    "--bind-address=127.0.0.1",
];

/// Read by the server and the programs that it starts, instead of the machine's files.
const SETTINGS_FILE: &str = "my.cnf";
/// As an argument of the server, this setting breaks Galera's transfers by mariabackup.
const FILE_SETTINGS: &str = "[mysqld]\ninnodb_buffer_pool_size = 128M\n";

/// The server, killed when dropped.
#[derive(Debug)]
pub struct MariaDb {
    port: u16,
    process: Mutex<Child>,
    settings: Vec<String>,
    // Dropped last: the server writes into it until it is killed.
    folder: TempDir,
}

impl MariaDb {
    /// Creates a data folder and starts the server.
    ///
    /// # Errors
    /// If the programs are not installed or fail.
    pub async fn start() -> Result<Self> {
        Self::start_in(&std::env::temp_dir(), &[]).await
    }

    /// Like [`MariaDb::start`], with its folder under `parent` and settings that take precedence over those of the tests.
    ///
    /// # Errors
    /// Like [`MariaDb::start`].
    pub async fn start_in(parent: &Path, settings: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("jangteo-mariadb-").tempdir_in(parent)?;
        install(folder.path()).await?;
        let settings: Vec<String> = settings.iter().map(|setting| format!("--{setting}")).collect();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            match launch(folder.path(), port, &settings, &[]).await {
                Ok(process) => return Ok(Self { port, process: Mutex::new(process), settings, folder }),
                // Another process may have taken the port.
                Err(_) if attempts < PORT_ATTEMPTS_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Folder of the tables and logs.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Id of the process; `None` while it is down.
    pub fn process_id(&self) -> Option<u32> {
        self.process.try_lock().ok()?.id()
    }

    /// Administrator URL, without a database.
    pub fn url(&self) -> String {
        url(&host(self.port))
    }

    /// Port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the server.
    ///
    /// # Errors
    /// If it has already exited.
    pub async fn crash(&self) -> Result<()> {
        Ok(self.process.lock().await.kill().await?)
    }

    /// Restarts a killed server on the same data and waits until it accepts connections.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_again(&self) -> Result<()> {
        let mut process = self.process.lock().await;
        *process = launch(self.folder.path(), self.port, &self.settings, &[]).await?;
        Ok(())
    }

    /// Shuts the server down and restarts it with additional settings.
    ///
    /// # Errors
    /// If it does not shut down or does not start.
    pub async fn restart_with(&self, settings: &[&str]) -> Result<()> {
        let mut process = self.process.lock().await;
        shut_down(&mut process, self.port).await?;
        *process = launch(self.folder.path(), self.port, &self.settings, settings).await?;
        Ok(())
    }

    /// Shuts the server down.
    ///
    /// # Errors
    /// If it does not exit in time, or exits with an error.
    pub async fn stop(self) -> Result<()> {
        shut_down(&mut *self.process.lock().await, self.port).await
    }
}

/// Log of the server since its last start.
pub(crate) fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("server.log")).unwrap_or_default()
}

/// Administrator URL of `host:port`, or of several, separated by commas.
pub(crate) fn url(hosts: &str) -> String {
    format!("mysql://admin:admin@{hosts}")
}

/// URL of a test database with the shop's unprivileged user. `port` is the server's or a proxy's.
pub fn shop_url(port: u16, database: &str) -> String {
    shop_url_of(&host(port), database)
}

/// Like [`shop_url`], of `host:port`, or of several, separated by commas.
pub fn shop_url_of(hosts: &str, database: &str) -> String {
    format!("mysql://shop:shop@{hosts}/{database}")
}

fn host(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Creates a data folder and the SQL script that creates the users.
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
        .context("mariadb-install-db does not start: install the package mariadb-server")?;
    if !installed.status.success() {
        bail!("mariadb-install-db failed: {}", String::from_utf8_lossy(&installed.stderr));
    }
    let init = "CREATE USER IF NOT EXISTS admin IDENTIFIED BY 'admin';\n\
                GRANT ALL ON *.* TO admin WITH GRANT OPTION;\n\
                CREATE USER IF NOT EXISTS shop IDENTIFIED BY 'shop';\n\
                GRANT ALL ON `jangteo\\_test\\_%`.* TO shop;\n";
    fs::write(folder.join(SETTINGS_FILE), FILE_SETTINGS).context("cannot write my.cnf")?;
    fs::write(folder.join("init.sql"), init).context("cannot write init.sql")
}

async fn launch(folder: &Path, port: u16, settings: &[String], additional: &[&str]) -> Result<Child> {
    let mut command = command(folder, port);
    command.arg(init_argument(folder)).args(settings).args(additional);
    start(command, folder, &host(port)).await
}

async fn shut_down(process: &mut Child, port: u16) -> Result<()> {
    Conn::new(Opts::from_url(&url(&host(port)))?).await?.query_drop("SHUTDOWN").await?;
    let status = tokio::time::timeout(START_MAX, process.wait()).await.context("mariadbd does not exit")??;
    ensure!(status.success(), "mariadbd exited with {status}");
    Ok(())
}

/// Makes the server run the script of [`install`] before it accepts connections.
pub(crate) fn init_argument(folder: &Path) -> String {
    format!("--init-file={}", folder.join("init.sql").display())
}

/// The command of a server with this folder and port. Later arguments take precedence.
pub(crate) fn command(folder: &Path, port: u16) -> Command {
    let mut command = Command::new(mariadbd());
    command
        .arg(format!("--defaults-file={}", folder.join(SETTINGS_FILE).display()))
        .arg(format!("--datadir={}", folder.join("data").display()))
        .arg(format!("--tmpdir={}", folder.join("tmp").display()))
        .arg(format!("--port={port}"))
        // Relative to the data folder: the path of a socket must be short.
        .args(["--socket=mariadb.sock", "--pid-file=mariadb.pid"])
        .args(SETTINGS)
        .args(user_argument());
    command
}

/// Starts the server and waits until it accepts connections.
///
/// # Errors
/// If it exits or accepts no connection within [`START_MAX`]. The error contains its log.
pub(crate) async fn start(mut command: Command, folder: &Path, host: &str) -> Result<Child> {
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(folder.join("server.log"))?)
        // Ctrl-C reaches only the test, which then stops its children.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("the database does not start: install the package mariadb-server")?;
    let deadline = Instant::now() + START_MAX;
    let options = Opts::from_url(&url(host))?;
    loop {
        if let Some(status) = process.try_wait()? {
            bail!("the database exited with {status}:\n{}", log(folder));
        }
        match Conn::new(options.clone()).await {
            Ok(connection) => {
                connection.disconnect().await?;
                return Ok(process);
            }
            Err(error) if Instant::now() > deadline => return Err(error).context("the database does not respond"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// The server binary, which is often not on the PATH.
fn mariadbd() -> &'static Path {
    ["/usr/sbin/mariadbd", "/usr/libexec/mariadbd", "/usr/local/sbin/mariadbd"]
        .map(Path::new)
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or(Path::new("mariadbd"))
}

/// A database server refuses to run as root without this argument.
pub(crate) fn user_argument() -> Option<&'static str> {
    nix::unistd::geteuid().is_root().then_some("--user=root")
}
