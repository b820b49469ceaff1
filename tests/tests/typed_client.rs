//! The OpenAPI document is good enough to generate a client from, and the server keeps to it: the README's tour in
//! `tests/client`, generated, type-checked and run.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use jangteo_tests::{Backend, Shop, run, token};
use tokio::process::Command;

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/client");

/// The client; what else is in its folder is somebody's own build.
const FILES: [&str; 7] =
    [".npmrc", "package.json", "package-lock.json", "tsconfig.json", "shop.ts", "tour.ts", "validation.ts"];

/// On one backend: the document is the same on both.
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
    fs::write(folder.path().join("openapi.json"), document.to_string()).expect("the folder can be written to");

    let npm = Npm { folder: folder.path(), settings: &[] };
    npm.run(&["ci"]).await;
    npm.run(&["run", "generate"]).await;
    npm.run(&["run", "build"]).await;
    let url = format!("http://{}", server.address());
    let (kim, boss) = (token("kim", None), token("boss", Some("admin")));
    let settings = [("SHOP_URL", url.as_str()), ("KIM_TOKEN", kim.as_str()), ("BOSS_TOKEN", boss.as_str())];
    let said = Npm { settings: &settings, ..npm }.run(&["run", "tour"]).await;

    let validated = said.split_once(" answers are what the document says").map(|(validated, _)| validated);
    let validated: usize = validated.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{said}"));
    assert!(validated >= 25, "only {validated} answers were looked at");
}

/// npm in the client's folder.
#[derive(Clone, Copy)]
struct Npm<'a> {
    folder: &'a Path,
    settings: &'a [(&'a str, &'a str)],
}

impl Npm<'_> {
    /// Runs it to its end, and answers what it said.
    async fn run(self, arguments: &[&str]) -> String {
        let mut command = Command::new("npm");
        command.arg("--silent").args(arguments).current_dir(self.folder).envs(self.settings.iter().copied());
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output
            .unwrap_or_else(|error| panic!("the typed client needs Node 20 or later with npm in the path: {error}"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "npm {}: {}\n{said}{complaints}", arguments.join(" "), output.status);
        said
    }
}

#[test]
fn the_client_is_locked_to_versions_and_to_no_registry() {
    let lock = fs::read_to_string(Path::new(CLIENT).join("package-lock.json")).expect("package-lock.json");
    let lock: serde_json::Value = serde_json::from_str(&lock).expect("JSON");
    let packages = lock["packages"].as_object().expect("packages");
    let locked: Vec<_> = packages.iter().filter(|(path, _)| !path.is_empty()).collect();
    assert!(locked.len() > 10, "these cannot be all: {locked:?}");
    for (path, package) in locked {
        assert!(package["integrity"].is_string(), "{path} may be anything");
        assert!(package.get("resolved").is_none(), "{path} names a registry");
    }
}
