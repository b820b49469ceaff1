//! What the documents say is what the code does.

use std::collections::BTreeSet;

use jangteo::problem::ProblemCode;

const ERRORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");

#[test]
fn every_problem_code_is_documented_and_no_other() {
    let text = std::fs::read_to_string(ERRORS).unwrap_or_else(|error| panic!("docs/errors.md: {error}"));
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
    let text = std::fs::read_to_string(ERRORS).unwrap_or_else(|error| panic!("docs/errors.md: {error}"));
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
