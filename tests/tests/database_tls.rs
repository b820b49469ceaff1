//! TLS to a MariaDB that demands it, with certificates of a CA of the test.
//!
//! `jangteo verify` does not wait for the database, so a failed connection is an error at once. After a login it reports
//! the missing migrations.

use std::path::Path;
use std::time::Duration;

use jangteo_testkit::{CommandOutput, Database, MariaDb, run_on};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

use crate::doctor::checks;

const SETUP_MAX: Duration = Duration::from_secs(120);

/// A certificate authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// Writes the server's certificate and key into its data folder.
    fn certify(&self, names: &[&str], expires: i32, folder: &Path) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(expires, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::write(folder.join("server.pem"), certificate.pem()).expect("a file");
        std::fs::write(folder.join("server.key"), key.serialize_pem()).expect("a file");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_verified_unless_the_settings_say_otherwise() {
    let (ours, other) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().expect("a folder");
    ours.certify(&["localhost"], 2099, folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let settings = [format!("ssl-cert={}", path("server.pem")), format!("ssl-key={}", path("server.key"))];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mariadb = MariaDb::start_in(&std::env::temp_dir(), &settings).await.expect("a server with TLS");
    for (name, authority) in [("ours.pem", &ours), ("other.pem", &other)] {
        std::fs::write(path(name), &authority.certificate).expect("a file");
    }
    let database = Database::create_on(mariadb.url()).await.expect("a database");
    let (port, name) = (mariadb.port(), database.mysql_name().to_owned());
    let ca_files = [path("ours.pem"), path("other.pem")];
    run_on(database, SETUP_MAX, async |shop| {
        let server = |host: &str, tls: &str, ca_file: &str| {
            let url = format!("mysql://shop:shop@{host}:{port}/{name}");
            let server = shop.server().settings([("DATABASE_URL", url.as_str()), ("DATABASE_TLS", tls)]);
            server.setting("DATABASE_CA_FILE", ca_file)
        };
        let [ours_file, other_file] = &ca_files;
        let examine = async |host: &str, tls: &str, ca_file: &str| {
            let examined = server(host, tls, ca_file).run(["doctor", "--json"]).await;
            checks(&examined).remove("TLS").unwrap_or_else(|| panic!("{examined:?}"))
        };
        assert_eq!(examine("localhost", "verify", ours_file).await, "ok: ");
        assert!(
            examine("localhost", "encrypt", "").await.starts_with("warning: set DATABASE_TLS=verify: a man in the")
        );
        assert_eq!(examine("localhost", "off", "").await, "ok: ");
        // An address of this machine that is not the loopback's.
        assert!(examine("0.0.0.0", "off", "").await.starts_with("warning: set DATABASE_TLS=verify: the network"));

        let mut admin = shop.database().connect().await;
        admin.execute("ALTER USER shop REQUIRE SSL").await;
        let connect = async |host: &str, tls: &str, ca_file: &str| server(host, tls, ca_file).run(["verify"]).await;
        connected(&connect("localhost", "verify", ours_file).await);
        connected(&connect("localhost", "encrypt", "").await);
        refused(&connect("localhost", "off", "").await, "Access denied");
        refused(&connect("localhost", "verify", other_file).await, "invalid peer certificate");
        refused(&connect("localhost", "verify", "").await, "invalid peer certificate");
        refused(&connect("127.0.0.1", "verify", ours_file).await, "not valid for name");

        ours.certify(&["localhost"], 2021, folder.path());
        admin.execute("FLUSH SSL").await;
        refused(&connect("localhost", "verify", ours_file).await, "certificate expired");
        connected(&connect("localhost", "encrypt", "").await);
        shop.expect_no_books();
    })
    .await;
}

fn connected(output: &CommandOutput) {
    assert!(output.stderr.contains("the database lacks migrations"), "{output:?}");
}

fn refused(output: &CommandOutput, reason: &str) {
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains(reason) && !output.stderr.contains("shop:shop"), "{output:?}");
}
