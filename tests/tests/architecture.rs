//! The rules of the architecture, checked with the metadata of cargo and git.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// Crates with I/O or with a wire format.
const OUTSIDE: [&str; 21] = [
    "actix-http",
    "actix-rt",
    "actix-web",
    "anyhow",
    "async-std",
    "bb8",
    "clap",
    "config",
    "diesel",
    "diesel-async",
    "hyper",
    "libsqlite3-sys",
    "mio",
    "mysql_async",
    "rand",
    "reqwest",
    "rustls",
    "serde_json",
    "socket2",
    "tokio",
    "tracing-subscriber",
];

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn metadata(no_default_features: bool) -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(format!("{ROOT}/Cargo.toml")).other_options(["--locked".to_owned()]);
    if no_default_features {
        command.features(cargo_metadata::CargoOpt::NoDefaultFeatures);
    }
    command.exec().expect("cargo describes the workspace")
}

fn package<'a>(metadata: &'a Metadata, name: &str) -> &'a Package {
    let members = metadata.workspace_packages();
    members.into_iter().find(|package| package.name == name).unwrap_or_else(|| panic!("no package {name}"))
}

/// Workspace members that a package depends on, including optional ones, without development dependencies.
fn members_known(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let members: BTreeSet<_> = metadata.workspace_packages().iter().map(|member| member.name.to_string()).collect();
    let dependencies = package(metadata, name).dependencies.iter();
    let normal = dependencies.filter(|dependency| dependency.kind != DependencyKind::Development);
    normal.map(|dependency| dependency.name.clone()).filter(|name| members.contains(name)).collect()
}

/// All transitive dependencies of a package as resolved by cargo, without development dependencies.
fn transitive(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let resolve = metadata.resolve.as_ref().expect("cargo resolves");
    let nodes: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut seen = BTreeSet::new();
    let mut open = vec![&package(metadata, name).id];
    while let Some(id) = open.pop() {
        let needed = nodes[id].deps.iter();
        let built = needed.filter(|edge| edge.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
        open.extend(built.map(|edge| &edge.pkg).filter(|id| seen.insert(*id)));
    }
    let name_of = |id: &PackageId| metadata[id].name.to_string();
    seen.into_iter().map(name_of).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[test]
fn domain_depends_on_nothing_that_does_io() {
    // Cargo resolves the union of features for the workspace, so optional dependencies are checked separately below.
    let metadata = metadata(false);
    let domain = package(&metadata, "jangteo-domain");
    let plain = domain.dependencies.iter().filter(|dependency| {
        dependency.kind == DependencyKind::Normal && (!dependency.optional || dependency.name == "serde")
    });
    let mut reached = BTreeSet::new();
    for dependency in plain {
        let found = metadata
            .packages
            .iter()
            .find(|package| package.name == dependency.name && dependency.req.matches(&package.version));
        let found = found.unwrap_or_else(|| panic!("{} is not resolved", dependency.name));
        reached.insert(found.name.to_string());
        reached.extend(transitive_of(&metadata, found));
    }
    assert!(reached.contains("uuid"), "no dependency was visited: {reached:?}");
    let outside: Vec<_> = OUTSIDE.iter().filter(|name| reached.contains(**name)).collect();
    assert!(outside.is_empty(), "the domain reaches {outside:?}");
}

/// Non-optional dependencies of a registry crate, transitively.
fn transitive_of(metadata: &Metadata, package: &Package) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![package];
    while let Some(package) = open.pop() {
        let needed = package.dependencies.iter().filter(|dependency| {
            dependency.kind == DependencyKind::Normal && !dependency.optional && dependency.target.is_none()
        });
        for dependency in needed {
            let found = metadata
                .packages
                .iter()
                .find(|package| package.name == dependency.name && dependency.req.matches(&package.version));
            open.extend(found.filter(|found| seen.insert(found.name.to_string())));
        }
    }
    seen
}

#[test]
fn domain_knows_serde_and_mocks_behind_features_only() {
    let metadata = metadata(false);
    let domain = package(&metadata, "jangteo-domain");
    assert!(domain.features.get("default").is_none_or(Vec::is_empty), "a default feature would be on everywhere");
    for name in ["serde", "mockall"] {
        let normal: Vec<_> = domain
            .dependencies
            .iter()
            .filter(|dependency| dependency.name == name && dependency.kind == DependencyKind::Normal)
            .collect();
        assert!(normal.iter().all(|dependency| dependency.optional), "{name} is not behind a feature");
    }
    let mock = domain.features.get("mock").expect("the feature mock");
    assert!(mock.iter().any(|feature| feature == "dep:mockall"), "{mock:?}");
}

#[test]
fn dependencies_point_inwards_only() {
    let metadata = metadata(false);
    let expected = [
        ("jangteo-domain", set([])),
        ("jangteo-domain-testing", set(["jangteo-domain"])),
        ("jangteo-console", set([])),
        ("jangteo-group-commit", set([])),
        ("jangteo-sql", set(["jangteo-domain"])),
        ("jangteo-data-platform", set(["jangteo-domain"])),
        // It starts the binary and shares no code with it.
        ("jangteo-testkit", set([])),
    ];
    let names: BTreeSet<String> =
        metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    for (name, known) in expected {
        if names.contains(name) {
            assert_eq!(members_known(&metadata, name), known, "{name}");
        } else {
            assert_eq!(name, "jangteo-data-platform", "no package {name}");
        }
    }
    let app = members_known(&metadata, "jangteo");
    for known in ["jangteo-domain", "jangteo-group-commit", "jangteo-sql"] {
        assert!(app.contains(known), "the app does not depend on {known}");
    }
    for name in ["jangteo-domain-testing", "jangteo-testkit"] {
        assert!(!app.contains(name), "the app ships {name}");
    }
    for name in &names {
        assert!(!members_known(&metadata, name).contains("jangteo"), "{name} depends on the app");
    }
}

#[test]
fn group_commit_knows_neither_a_database_nor_http() {
    let reached = transitive(&metadata(true), "jangteo-group-commit");
    for name in ["diesel", "diesel-async", "mysql_async", "libsqlite3-sys", "actix-web", "reqwest"] {
        assert!(!reached.contains(name), "the queue depends on {name}");
    }
    assert!(reached.contains("tokio"), "no dependency was visited: {reached:?}");
}

#[test]
fn sql_knows_no_http() {
    let reached = transitive(&metadata(true), "jangteo-sql");
    for name in ["actix-web", "actix-http", "reqwest", "clap"] {
        assert!(!reached.contains(name), "the database adapter depends on {name}");
    }
    assert!(reached.contains("diesel"), "no dependency was visited: {reached:?}");
}

fn tracked_files() -> Vec<String> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(ROOT).output().expect("git can be run");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    let files: Vec<String> = listed.split('\0').filter(|file| !file.is_empty()).map(str::to_owned).collect();
    assert!(files.len() > 50, "too few files: {files:?}");
    files
}

#[test]
fn the_top_level_has_only_the_expected_entries() {
    let found: BTreeSet<String> = tracked_files()
        .iter()
        .filter_map(|file| file.split('/').next())
        .filter(|name| !name.starts_with('.'))
        .map(str::to_owned)
        .collect();
    let expected = set([
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "Makefile",
        "README.md",
        "crates",
        "docs",
        "migrations",
        "tests",
    ]);
    assert_eq!(found, expected);
}

#[test]
fn no_module_is_in_a_mod_rs() {
    let hidden: Vec<String> = tracked_files().into_iter().filter(|file| file.ends_with("/mod.rs")).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}

#[test]
fn each_database_has_the_same_migrations() {
    let names = |dialect: &str| -> BTreeSet<String> {
        let folder = Path::new(ROOT).join("migrations").join(dialect);
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
    };
    assert_eq!(names("mysql"), names("sqlite"));
    assert!(!names("mysql").is_empty());
}

#[test]
fn no_test_is_ignored() {
    let attribute = concat!("#[", "ignore");
    let off: Vec<String> = tracked_files()
        .into_iter()
        .filter(|file| file.ends_with(".rs"))
        .filter(|file| std::fs::read_to_string(Path::new(ROOT).join(file)).is_ok_and(|text| text.contains(attribute)))
        .collect();
    assert!(off.is_empty(), "{off:?}");
}
