//! Facts about the files of both URLs, and their evaluation.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use diesel::connection::SimpleConnection as _;
use diesel::dsl::sql;
use diesel::result::Error;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use diesel::{Connection as _, RunQueryDsl as _};
use nix::sys::statfs::statfs;

use super::file;
use crate::DatabaseSettings;
use crate::doctor::{Check, Checks, State, refused, warning};
use crate::error::OpenError;

/// The log alone grows to 64 MiB.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// Read and write, of the group and of others.
const MODE_OF_OTHERS: u32 = 0o066;

/// The facts about a file.
#[derive(Debug)]
struct Facts {
    folder: Result<Folder, String>,
    /// The access of the file and its log.
    mode: u32,
    journal_mode: Result<String, String>,
    /// `ok`, or the damages.
    integrity: Result<String, String>,
}

/// The file system of the file.
#[derive(Debug)]
struct Folder {
    /// Of a network or of a process, by name.
    remote: Option<&'static str>,
    free_bytes: u64,
}

pub(crate) async fn examine(settings: &DatabaseSettings) -> Result<Vec<Check>, OpenError> {
    let mut paths = vec![file(&settings.url)?.to_owned()];
    if let Some(url) = &settings.read_url {
        paths.push(file(url)?.to_owned());
    }
    paths.dedup();
    let examined = move || paths.iter().flat_map(|path| evaluate(path, read(path))).collect();
    Ok(tokio::task::spawn_blocking(examined).await.unwrap_or_default())
}

/// The facts, or the reason why there are none. A missing file stays missing.
fn read(name: &str) -> Result<Facts, String> {
    // SQLite also takes a URI.
    let path = name.strip_prefix("file:").map_or(name, |uri| uri.split('?').next().unwrap_or(uri));
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    let log = fs::metadata(format!("{path}-wal")).map_or(0, |log| log.permissions().mode());
    let mut connection = connect(name).map_err(|error| error.to_string())?;
    Ok(Facts {
        folder: folder(Path::new(path)).map_err(|error| error.to_string()),
        mode: metadata.permissions().mode() | log,
        journal_mode: pragma(&mut connection, "SELECT journal_mode FROM pragma_journal_mode"),
        integrity: pragma(
            &mut connection,
            "SELECT group_concat(quick_check, '; ') FROM (SELECT * FROM pragma_quick_check LIMIT 10)",
        ),
    })
}

fn connect(path: &str) -> Result<SqliteConnection, Box<dyn std::error::Error>> {
    let mut connection = SqliteConnection::establish(path)?;
    connection.batch_execute("PRAGMA busy_timeout = 2000; PRAGMA query_only = ON;")?;
    Ok(connection)
}

fn pragma(connection: &mut SqliteConnection, query: &str) -> Result<String, String> {
    sql::<Text>(query).get_result(connection).map_err(|error: Error| error.to_string())
}

fn folder(path: &Path) -> io::Result<Folder> {
    let system = statfs(&fs::canonicalize(path)?)?;
    Ok(Folder { remote: remote(&system), free_bytes: system.blocks_available() * block_bytes(&system) })
}

#[cfg(target_os = "linux")]
fn block_bytes(system: &nix::sys::statfs::Statfs) -> u64 {
    u64::try_from(system.block_size()).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn block_bytes(system: &nix::sys::statfs::Statfs) -> u64 {
    system.block_size().into()
}

/// The name of a file system that other machines or processes serve.
#[cfg(target_os = "linux")]
fn remote(system: &nix::sys::statfs::Statfs) -> Option<&'static str> {
    use nix::sys::statfs::FsType;

    /// Magic numbers, see statfs(2).
    const REMOTE: [(FsType, &str); 8] = [
        (FsType(0x6969), "NFS"),
        (FsType(0x517B), "SMB"),
        (FsType(0xFE53_4D42), "SMB"),
        (FsType(0xFF53_4D42), "SMB"),
        (FsType(0x6573_5546), "FUSE"),
        (FsType(0x0102_1997), "9P"),
        (FsType(0x00C3_6400), "Ceph"),
        (FsType(0x5346_414F), "AFS"),
    ];
    let number = system.filesystem_type();
    REMOTE.iter().find(|(magic, _)| *magic == number).map(|(_, name)| *name)
}

#[cfg(not(target_os = "linux"))]
fn remote(system: &nix::sys::statfs::Statfs) -> Option<&'static str> {
    ["nfs", "smbfs", "macfuse", "fusefs"].into_iter().find(|name| system.filesystem_type_name() == *name)
}

fn evaluate(path: &str, facts: Result<Facts, String>) -> Vec<Check> {
    let mut checks = Checks::of(path);
    let facts = match facts {
        Ok(facts) => facts,
        Err(reason) => {
            let advice = "create it by `jangteo migrate`, or correct the URL: there is no database to examine";
            checks.add("file", reason, refused(advice));
            return checks.into_list();
        }
    };
    match facts.folder {
        Ok(Folder { remote, free_bytes }) => {
            let local = refused("move the file to a local disk: locks and syncs are not reliable here");
            checks.require("file system", remote.unwrap_or("local"), remote.is_none(), local);
            let space = warning("free space on the disk: writes fail when it is full");
            let value = format!("{} MiB", free_bytes >> 20);
            checks.require("free space", value, free_bytes >= FREE_BYTES_MIN, space);
        }
        Err(reason) => {
            checks.add("file system", reason, State::Unknown("let this user read the folder of the file".into()));
        }
    }
    let mode = facts.mode & 0o777;
    let private =
        warning("chmod 600 the file and those beside it: other users of this machine can read the shop's data");
    checks.require("mode", format!("{mode:o}"), mode & MODE_OF_OTHERS == 0, private);
    let damaged = refused("restore a backup: rows may be lost or wrong");
    match facts.journal_mode {
        Ok(mode) => {
            let log = warning("restart the server, which sets it to wal: reads and writes wait for each other");
            checks.require("journal_mode", mode.as_str(), mode == "wal", log);
        }
        Err(reason) => checks.add("journal_mode", reason, damaged.clone()),
    }
    let (value, is_intact) = facts.integrity.map_or_else(|reason| (reason, false), |text| (text.clone(), text == "ok"));
    checks.require("integrity", value, is_intact, damaged);
    checks.into_list()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn good() -> Facts {
        Facts {
            folder: Ok(Folder { remote: None, free_bytes: FREE_BYTES_MIN }),
            mode: 0o100_600,
            journal_mode: Ok("wal".to_owned()),
            integrity: Ok("ok".to_owned()),
        }
    }

    fn problems(checks: &[Check]) -> Vec<String> {
        let bad = checks.iter().filter(|check| check.state != State::Ok);
        bad.map(|check| format!("{} {}", check.name, check.state.name())).collect()
    }

    #[rstest]
    #[case::good(good(), &[])]
    #[case(Facts { folder: Ok(Folder { remote: Some("NFS"), free_bytes: u64::MAX }), ..good() }, &["file system refused"])]
    #[case(Facts { folder: Ok(Folder { remote: None, free_bytes: FREE_BYTES_MIN - 1 }), ..good() }, &["free space warning"])]
    #[case(Facts { folder: Err("denied".to_owned()), ..good() }, &["file system unknown"])]
    #[case(Facts { mode: 0o100_640, ..good() }, &["mode warning"])]
    #[case(Facts { mode: 0o100_602, ..good() }, &["mode warning"])]
    #[case(Facts { journal_mode: Ok("delete".to_owned()), ..good() }, &["journal_mode warning"])]
    #[case(Facts { integrity: Ok("row 1 missing from index i".to_owned()), ..good() }, &["integrity refused"])]
    #[case(Facts { integrity: Err("disk I/O error".to_owned()), ..good() }, &["integrity refused"])]
    fn each_wrong_fact_is_the_only_problem(#[case] facts: Facts, #[case] expected: &[&str]) {
        assert_eq!(problems(&evaluate("shop.db", Ok(facts))), expected);
    }

    #[test]
    fn files_are_examined_as_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("shop.db").display().to_string();
        let examined = || evaluate(&path, read(&path));
        assert_eq!(problems(&examined()), ["file refused"]);
        assert!(!Path::new(&path).exists(), "nothing is created");

        let mut connection = SqliteConnection::establish(&path).expect("a file");
        connection.batch_execute("PRAGMA journal_mode = WAL; CREATE TABLE t (x UNIQUE);").expect("a table");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a file of this user");
        let found = problems(&examined());
        assert!(found.contains(&"mode warning".to_owned()) && !found.concat().contains("refused"), "{found:?}");
        connection.batch_execute("PRAGMA journal_mode = DELETE").expect("a pragma");
        assert!(problems(&examined()).contains(&"journal_mode warning".to_owned()));

        drop(connection);
        fs::write(&path, [0xff; 8192]).expect("a file of this user");
        assert!(problems(&examined()).contains(&"integrity refused".to_owned()));
    }
}
