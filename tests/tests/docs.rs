//! The documents match the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use jangteo::http::respond::problem::ProblemCode;
use jangteo::settings::SETTINGS;
use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const RUNBOOK: &str = "docs/operations/README.md";
const ALERTS: &str = "docs/operations/alerts.yml";
const DASHBOARD: &str = "docs/operations/dashboard.json";

#[track_caller]
fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_problem_code_is_documented_and_no_other() {
    let text = read("docs/errors.md");
    let documented: BTreeSet<&str> = text.split('`').skip(1).step_by(2).filter(|word| is_code(word)).collect();
    let known: BTreeSet<&str> = ProblemCode::ALL.iter().map(|code| code.kind().code).collect();
    let undocumented: Vec<_> = known.difference(&documented).collect();
    assert!(undocumented.is_empty(), "docs/errors.md lacks {undocumented:?}");
    // Settings and reasons look like codes; a code is the first cell of a row.
    let rows = text.lines().filter_map(|line| line.trim_start().strip_prefix('|')?.trim_start().strip_prefix('`'));
    let rows: BTreeSet<&str> = rows.filter_map(|row| row.split('`').next()).filter(|word| is_code(word)).collect();
    let invented: Vec<_> = rows.difference(&known).collect();
    assert!(invented.is_empty(), "docs/errors.md lists the unknown codes {invented:?}");
    assert_eq!(rows, known, "each code has its own row");
}

#[test]
fn every_problem_code_is_documented_with_its_status() {
    let text = read("docs/errors.md");
    for code in ProblemCode::ALL {
        let kind = code.kind();
        let row =
            text.lines().find(|line| line.trim_start_matches(['|', ' ']).starts_with(&format!("`{}`", kind.code)));
        let row = row.unwrap_or_else(|| panic!("docs/errors.md has no row for {}", kind.code));
        let status = kind.status.as_u16().to_string();
        assert!(row.split(|c: char| !c.is_ascii_digit()).any(|number| number == status), "not {status}: {row}");
    }
}

fn is_code(word: &str) -> bool {
    word.len() > 3 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

#[test]
fn alerts_and_dashboard_query_existing_metrics() {
    let series: BTreeSet<String> = metrics().iter().flat_map(|(name, kind)| series(name, kind)).collect();
    for (path, expressions) in [(ALERTS, alert_expressions()), (DASHBOARD, dashboard_expressions())] {
        assert!(!expressions.is_empty(), "{path} has no expressions");
        for expression in expressions {
            for name in names_of_metrics(&expression) {
                assert!(series.contains(name), "{path}: no series {name}: {expression}");
            }
        }
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let expressions = dashboard_expressions();
    let shown: BTreeSet<&str> = expressions.iter().flat_map(|expression| names_of_metrics(expression)).collect();
    for (name, kind) in metrics() {
        assert!(series(&name, &kind).iter().any(|series| shown.contains(series.as_str())), "{name} is not shown");
    }
}

#[test]
fn every_metric_is_documented_in_the_runbook_and_no_other() {
    let text = read(RUNBOOK);
    let explained = rows(&text).filter(|row| row[0].starts_with("`jangteo_"));
    let explained: BTreeMap<_, _> =
        explained.map(|row| (row[0].trim_matches('`').to_owned(), row[1].to_owned())).collect();
    assert_eq!(explained, metrics());
    for name in names_of_metrics(&text) {
        assert!(explained.contains_key(name), "the runbook mentions the unknown metric {name}");
    }
}

#[test]
fn every_alert_has_its_section_in_the_runbook_and_no_other() {
    let text = read(RUNBOOK);
    let titles = headings(&text).map(|(_, title)| title.to_owned());
    let sections: BTreeSet<String> = titles.filter(|title| title.starts_with("Jangteo")).collect();
    let mut names = BTreeSet::new();
    for rule in alert_rules() {
        let name = rule["alert"].as_str().expect("each rule is an alert").to_owned();
        let annotations = &rule["annotations"];
        assert!(annotations["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{name} has no summary");
        assert_eq!(annotations["runbook_url"], format!("{RUNBOOK}#{}", anchor(&name)), "{name}");
        assert!(matches!(rule["labels"]["severity"].as_str(), Some("warning" | "critical")), "{name}");
        assert!(names.insert(name.clone()), "{name} occurs twice");
    }
    assert_eq!(sections, names);
}

#[test]
fn the_runbook_lists_every_setting_with_its_default_and_its_meaning() {
    let text = read(RUNBOOK);
    let (_, settings) = text.split_once("\n## Settings\n").expect("the settings");
    let (settings, _) = settings.split_once("\n### ").expect("the next section");
    let rows = rows(settings).filter(|row| row[0].starts_with('`'));
    let documented: Vec<String> = rows.map(|row| row[..3].join(" | ")).collect();
    let expected = SETTINGS.iter().map(|setting| {
        let names = setting.variables().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let default = if setting.default.is_empty() { "–".to_owned() } else { format!("`{}`", setting.default) };
        format!("{names} | {default} | {}", setting.meaning)
    });
    assert_eq!(documented, expected.collect::<Vec<_>>());
}

/// A printed secret is copied into production.
#[test]
fn no_document_prints_a_secret() {
    for path in
        ["README.md", "docs/README.ko.md", RUNBOOK, "docs/operations/Containerfile", "docs/operations/jangteo.service"]
    {
        for value in read(path).split("_SECRET=").skip(1) {
            assert!(value.starts_with("\"$("), "{path}: {}", value.lines().next().unwrap_or_default());
        }
    }
}

#[test]
fn every_mutant_is_documented_with_its_test_and_no_other() {
    let text = read("docs/testing.md");
    let documented: BTreeMap<String, Vec<String>> = rows(&text)
        .filter(|row| row.len() == 3 && row[0].starts_with('`'))
        .map(|row| (row[0].trim_matches('`').to_owned(), row[1..].iter().map(|cell| (*cell).to_owned()).collect()))
        .collect();
    let folder = std::fs::read_dir(Path::new(ROOT).join("tests/mutants")).expect("a folder");
    let mutants: BTreeMap<String, Vec<String>> = folder
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let patch = read(&path);
            let line = |label: &str| patch.lines().find_map(|line| line.strip_prefix(label).map(str::to_owned));
            let missing = || panic!("{}: a header line is missing", path.display());
            let breaks = line("Breaks: ").unwrap_or_else(missing);
            let test = line("Caught by: ").unwrap_or_else(missing);
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
            (name, vec![breaks, format!("`{test}`")])
        })
        .collect();
    assert!(mutants.len() >= 20, "{}", mutants.len());
    assert_eq!(documented, mutants);
}

#[test]
fn the_readmes_have_the_same_sections_commands_and_links() {
    const LANGUAGES: [&str; 2] = ["README.md", "docs/README.ko.md"];
    let [english, korean] = LANGUAGES.map(read);
    let levels = |text: &str| headings(text).map(|(level, _)| level).collect::<Vec<_>>();
    assert_eq!(levels(&english), levels(&korean), "the same sections");
    assert_eq!(code_blocks(&english), code_blocks(&korean), "the same commands, except for comments");
    let [english, korean] = LANGUAGES.map(|path| {
        // Links between the languages differ.
        let other = |target: PathBuf| LANGUAGES.iter().all(|language| target != Path::new(language)).then_some(target);
        // Pictures of the pages are in the language of the README.
        let english = |link: String| link.replace("-ko.png", "-en.png");
        let links = links(&read(path)).into_iter().map(|link| destination(path, &english(link)).0).collect::<Vec<_>>();
        let mut others: Vec<PathBuf> = links.iter().cloned().filter_map(other).collect();
        assert_eq!(links.len(), others.len() + 1, "{path} links to the other language once");
        others.sort();
        others
    });
    assert_eq!(english, korean, "the same links");
}

#[test]
fn every_link_has_a_target() {
    let mut folders = vec![PathBuf::from("docs")];
    let mut documents = vec![PathBuf::from("README.md")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(Path::new(ROOT).join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = folder.join(entry.file_name());
            if entry.file_type().expect("its type").is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path);
            }
        }
    }
    assert!(documents.len() > 10, "{documents:?}");
    for document in documents {
        for link in links(&read(&document)) {
            if link.contains("://") {
                continue;
            }
            let (target, fragment) = destination(&document, &link);
            assert!(Path::new(ROOT).join(&target).exists(), "{}: {link} has no target", document.display());
            if let Some(fragment) = fragment {
                let text = read(&target);
                let exists = headings(&text).any(|(_, title)| anchor(title) == fragment);
                assert!(exists, "{}: no section {link}", document.display());
            }
        }
    }
}

/// Metrics and their kinds, parsed from the server's descriptions.
fn metrics() -> BTreeMap<String, String> {
    let source = read("crates/app/src/telemetry.rs");
    let constants: BTreeMap<&str, &str> = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.strip_suffix("\";")?.split_once(": &str = \""))
        .collect();
    let metrics: BTreeMap<String, String> = source
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("metrics::describe_")?.split_once("!("))
        .map(|(kind, rest)| {
            let constant = rest.split(',').next().expect("a name");
            (constants[constant].to_owned(), kind.to_owned())
        })
        .collect();
    assert_eq!(metrics.keys().map(String::as_str).collect::<BTreeSet<_>>(), constants.into_values().collect());
    metrics
}

/// Prometheus series of a metric.
fn series(name: &str, kind: &str) -> Vec<String> {
    match kind {
        "histogram" => ["bucket", "sum", "count"].map(|suffix| format!("{name}_{suffix}")).into(),
        _ => vec![name.to_owned()],
    }
}

/// Names of Jangteo's metrics in a text.
fn names_of_metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("jangteo_")).collect()
}

fn alert_rules() -> Vec<Value> {
    let alerts: Value =
        serde_saphyr::from_str(&read(ALERTS)).unwrap_or_else(|error| panic!("{ALERTS} is not YAML: {error}"));
    let groups = alerts["groups"].as_array().expect("groups").iter();
    groups.flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

fn alert_expressions() -> Vec<String> {
    alert_rules().iter().map(|rule| rule["expr"].as_str().expect("an expression").to_owned()).collect()
}

fn dashboard_expressions() -> Vec<String> {
    let dashboard: Value =
        serde_json::from_str(&read(DASHBOARD)).unwrap_or_else(|error| panic!("{DASHBOARD} is not JSON: {error}"));
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().expect("an expression").to_owned()).collect()
}

/// Cells of the table rows of a Markdown text, including headers.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    rows.map(|row| row.split(" | ").map(str::trim).collect())
}

/// Lines of a Markdown text, each with whether it is code.
fn lines(text: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut is_code = false;
    text.lines().map(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (is_code || is_fence, line)
    })
}

/// Levels and titles of the headings of a Markdown text.
fn headings(text: &str) -> impl Iterator<Item = (usize, &str)> {
    lines(text).filter(|(is_code, _)| !is_code).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        let level = line.len() - title.len();
        title.strip_prefix(' ').filter(|_| level > 0).map(|title| (level, title))
    })
}

/// Code lines of a Markdown text, with fences and without comments.
fn code_blocks(text: &str) -> Vec<&str> {
    let code = lines(text).filter(|(is_code, _)| *is_code);
    code.map(|(_, line)| line.split_once(" #").map_or(line, |(code, _)| code).trim_end()).collect()
}

/// Link targets of a Markdown text.
fn links(text: &str) -> Vec<String> {
    let prose = lines(text).filter(|(is_code, _)| !is_code).map(|(_, line)| line);
    let targets = prose.flat_map(|line| line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)));
    targets.map(str::to_owned).collect()
}

/// The file and the section of a link target.
fn destination(document: impl AsRef<Path>, link: &str) -> (PathBuf, Option<String>) {
    if link.contains("://") {
        return (link.into(), None);
    }
    let document = document.as_ref();
    let (target, fragment) = link.split_once('#').map_or((link, None), |(target, fragment)| (target, Some(fragment)));
    let fragment = fragment.map(str::to_owned);
    if target.is_empty() {
        return (document.to_owned(), fragment);
    }
    let mut path = document.parent().expect("a file is in a folder").to_owned();
    for component in Path::new(target).components() {
        match component {
            Component::ParentDir => assert!(path.pop(), "{}: {link} is outside of the repository", document.display()),
            other => path.push(other),
        }
    }
    (path, fragment)
}

/// The link anchor of a heading.
fn anchor(title: &str) -> String {
    let allowed = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    allowed.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}
