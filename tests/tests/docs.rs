//! What the documents say is what the code does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use jangteo::http::respond::problem::ProblemCode;
use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const RUNBOOK: &str = "docs/operations/README.md";
const ALERTS: &str = "docs/operations/alerts.yml";
const DASHBOARD: &str = "docs/operations/dashboard.json";

/// A file of the repository.
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
    // Settings and reasons are written like codes; a code is what a row of the table begins with.
    let rows = text.lines().filter_map(|line| line.trim_start().strip_prefix('|')?.trim_start().strip_prefix('`'));
    let rows: BTreeSet<&str> = rows.filter_map(|row| row.split('`').next()).filter(|word| is_code(word)).collect();
    let invented: Vec<_> = rows.difference(&known).collect();
    assert!(invented.is_empty(), "docs/errors.md tells of {invented:?}, which no answer carries");
    assert_eq!(rows, known, "each code has a row of its own");
}

#[test]
fn every_problem_code_is_told_with_its_status() {
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
fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
    let series: BTreeSet<String> = metrics().iter().flat_map(|(name, kind)| series(name, kind)).collect();
    for (path, expressions) in [(ALERTS, alert_expressions()), (DASHBOARD, dashboard_expressions())] {
        assert!(!expressions.is_empty(), "{path} asks for nothing");
        for expression in expressions {
            for name in names_of_metrics(&expression) {
                assert!(series.contains(name), "{path}: there is no series {name}: {expression}");
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
fn every_metric_is_explained_in_the_runbook_and_no_other() {
    let text = read(RUNBOOK);
    let explained = rows(&text).filter(|row| row[0].starts_with("`jangteo_"));
    let explained: BTreeMap<_, _> =
        explained.map(|row| (row[0].trim_matches('`').to_owned(), row[1].to_owned())).collect();
    assert_eq!(explained, metrics());
    for name in names_of_metrics(&text) {
        assert!(explained.contains_key(name), "the runbook tells of {name}, which there is not");
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
        assert!(annotations["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{name} says nothing");
        assert_eq!(annotations["runbook_url"], format!("{RUNBOOK}#{}", anchor(&name)), "{name}");
        assert!(matches!(rule["labels"]["severity"].as_str(), Some("warning" | "critical")), "{name}");
        assert!(names.insert(name.clone()), "{name} is there twice");
    }
    assert_eq!(sections, names);
}

#[test]
fn every_setting_stands_in_the_runbook_with_its_default() {
    let source = read("crates/app/src/settings.rs");
    let (_, table) = source.split_once("\nraw_settings! {").expect("the table of settings");
    let (table, _) = table.split_once("\n}").expect("its end");
    let names: BTreeSet<&str> = table.split('"').skip(1).step_by(2).collect();
    let text = read(RUNBOOK);
    let (_, settings) = text.split_once("\n## Settings\n").expect("the settings");
    let (settings, _) = settings.split_once("\n### ").expect("what follows them");
    let documented: Vec<_> = rows(settings).filter(|row| row[0].starts_with('`')).collect();
    assert_eq!(documented.iter().map(|row| row[0].trim_matches('`')).collect::<BTreeSet<_>>(), names);
    for row in documented {
        let default = row[1].trim_matches('`');
        assert!(default == "–" || source.contains(&format!("\"{default}\"")), "{}: not {default}", row[0]);
    }
}

#[test]
fn every_mutant_is_told_of_with_the_test_that_catches_it_and_no_other() {
    let text = read("docs/testing.md");
    let told: BTreeMap<String, Vec<String>> = rows(&text)
        .filter(|row| row.len() == 3 && row[0].starts_with('`'))
        .map(|row| (row[0].trim_matches('`').to_owned(), row[1..].iter().map(|cell| (*cell).to_owned()).collect()))
        .collect();
    let folder = std::fs::read_dir(Path::new(ROOT).join("tests/mutants")).expect("a folder");
    let mutants: BTreeMap<String, Vec<String>> = folder
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let patch = read(&path);
            let line = |label: &str| patch.lines().find_map(|line| line.strip_prefix(label).map(str::to_owned));
            let missing = || panic!("{}: no line says it", path.display());
            let breaks = line("Breaks: ").unwrap_or_else(missing);
            let test = line("Caught by: ").unwrap_or_else(missing);
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
            (name, vec![breaks, format!("`{test}`")])
        })
        .collect();
    assert!(mutants.len() >= 20, "{}", mutants.len());
    assert_eq!(told, mutants);
}

#[test]
fn the_korean_readme_is_in_step_with_the_english_one() {
    const LANGUAGES: [&str; 2] = ["README.md", "docs/README.ko.md"];
    let [english, korean] = LANGUAGES.map(read);
    let levels = |text: &str| headings(text).map(|(level, _)| level).collect::<Vec<_>>();
    assert_eq!(levels(&english), levels(&korean), "the same sections");
    assert_eq!(code_blocks(&english), code_blocks(&korean), "the same commands, but for what comments say");
    let [english, korean] = LANGUAGES.map(|path| {
        // Each leads to the other.
        let other = |target: PathBuf| LANGUAGES.iter().all(|language| target != Path::new(language)).then_some(target);
        let links = links(&read(path)).into_iter().map(|link| destination(path, &link).0).collect::<Vec<_>>();
        let mut others: Vec<PathBuf> = links.iter().cloned().filter_map(other).collect();
        assert_eq!(links.len(), others.len() + 1, "{path} leads to the other language, once");
        others.sort();
        others
    });
    assert_eq!(english, korean, "the same links");
}

#[test]
fn every_link_leads_somewhere() {
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
            assert!(Path::new(ROOT).join(&target).exists(), "{}: {link} leads nowhere", document.display());
            if let Some(fragment) = fragment {
                let text = read(&target);
                let is_there = headings(&text).any(|(_, title)| anchor(title) == fragment);
                assert!(is_there, "{}: there is no section {link}", document.display());
            }
        }
    }
}

/// Every metric and its kind, as the server describes them.
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

/// The names under which Prometheus knows a metric.
fn series(name: &str, kind: &str) -> Vec<String> {
    match kind {
        "histogram" => ["bucket", "sum", "count"].map(|suffix| format!("{name}_{suffix}")).into(),
        _ => vec![name.to_owned()],
    }
}

/// The words of a text that are names of this shop's metrics.
fn names_of_metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("jangteo_")).collect()
}

fn alert_rules() -> Vec<Value> {
    let alerts: Value =
        serde_saphyr::from_str(&read(ALERTS)).unwrap_or_else(|error| panic!("{ALERTS} is no YAML: {error}"));
    let groups = alerts["groups"].as_array().expect("groups").iter();
    groups.flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

fn alert_expressions() -> Vec<String> {
    alert_rules().iter().map(|rule| rule["expr"].as_str().expect("an expression").to_owned()).collect()
}

fn dashboard_expressions() -> Vec<String> {
    let dashboard: Value =
        serde_json::from_str(&read(DASHBOARD)).unwrap_or_else(|error| panic!("{DASHBOARD} is no JSON: {error}"));
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().expect("an expression").to_owned()).collect()
}

/// The cells of each row of the tables in a text of Markdown, headers included.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    rows.map(|row| row.split(" | ").map(str::trim).collect())
}

/// The lines of a text of Markdown, each with whether it is code.
fn lines(text: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut is_code = false;
    text.lines().map(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (is_code || is_fence, line)
    })
}

/// The levels and titles of a text of Markdown.
fn headings(text: &str) -> impl Iterator<Item = (usize, &str)> {
    lines(text).filter(|(is_code, _)| !is_code).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        let level = line.len() - title.len();
        title.strip_prefix(' ').filter(|_| level > 0).map(|title| (level, title))
    })
}

/// The code in a text of Markdown, with the fences and without the comments.
fn code_blocks(text: &str) -> Vec<&str> {
    let code = lines(text).filter(|(is_code, _)| *is_code);
    code.map(|(_, line)| line.split_once(" #").map_or(line, |(code, _)| code).trim_end()).collect()
}

/// Where the links of a text of Markdown lead.
fn links(text: &str) -> Vec<String> {
    let prose = lines(text).filter(|(is_code, _)| !is_code).map(|(_, line)| line);
    let targets = prose.flat_map(|line| line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)));
    targets.map(str::to_owned).collect()
}

/// The file that a link in a document leads to, and the section in it.
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
            Component::ParentDir => assert!(path.pop(), "{}: {link} leads outside", document.display()),
            other => path.push(other),
        }
    }
    (path, fragment)
}

/// What a heading is called in links.
fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}
