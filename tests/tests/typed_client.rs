//! The typed client in `tests/client`, generated from the OpenAPI document: type-checked and run as the README's tour,
//! with every response validated against the document.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use jangteo_testkit::{Backend, Shop, run, token};
use tokio::process::Command;

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/client");

/// Files of the client; others in its folder are build output.
const FILES: [&str; 7] =
    [".npmrc", "package.json", "package-lock.json", "tsconfig.json", "shop.ts", "tour.ts", "validation.ts"];

/// On one backend, because the document is the same for both.
#[test]
fn a_client_generated_from_the_document_takes_the_tour() {
    run(Backend::Sqlite, take_the_tour);
}

async fn take_the_tour(shop: Shop) {
    let server = shop.start().await;
    let folder = tempfile::tempdir().expect("a folder");
    for file in FILES {
        fs::copy(Path::new(CLIENT).join(file), folder.path().join(file))
            .unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    let document = server.anonymous().get("/openapi.json").await.json(200);
    fs::write(folder.path().join("openapi.json"), document.to_string()).expect("written");

    let npm = Npm { folder: folder.path(), settings: &[] };
    npm.run(&["ci"]).await;
    npm.run(&["run", "generate"]).await;
    npm.run(&["run", "build"]).await;
    let url = format!("http://{}", server.address());
    let (kim, boss) = (token("kim", None), token("boss", Some("admin")));
    let settings = [("SHOP_URL", url.as_str()), ("KIM_TOKEN", kim.as_str()), ("BOSS_TOKEN", boss.as_str())];
    let output = Npm { settings: &settings, ..npm }.run(&["run", "tour"]).await;

    let validated = output.split_once(" responses match the document").map(|(validated, _)| validated);
    let validated: usize = validated.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{output}"));
    assert!(validated >= 25, "only {validated} responses were validated");
}

/// npm in the client's folder.
#[derive(Clone, Copy)]
struct Npm<'a> {
    folder: &'a Path,
    settings: &'a [(&'a str, &'a str)],
}

impl Npm<'_> {
    /// Runs npm to completion and returns its output.
    async fn run(self, arguments: &[&str]) -> String {
        let mut command = Command::new("npm");
        command.arg("--silent").args(arguments).current_dir(self.folder).envs(self.settings.iter().copied());
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output
            .unwrap_or_else(|error| panic!("the typed client requires Node 20 or later and npm on the PATH: {error}"));
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "npm {}: {}\n{stdout}{stderr}", arguments.join(" "), output.status);
        stdout
    }
}

#[test]
fn the_client_is_locked_to_versions_and_to_no_registry() {
    let lock = fs::read_to_string(Path::new(CLIENT).join("package-lock.json")).expect("package-lock.json");
    let lock: serde_json::Value = serde_json::from_str(&lock).expect("JSON");
    let packages = lock["packages"].as_object().expect("packages");
    let locked: Vec<_> = packages.iter().filter(|(path, _)| !path.is_empty()).collect();
    assert!(locked.len() > 10, "too few packages: {locked:?}");
    for (path, package) in locked {
        assert!(package["integrity"].is_string(), "{path} has no integrity hash");
        assert!(package.get("resolved").is_none(), "{path} names a registry");
    }
}
