//! The target of `make fuzz`: a parser of literals that is independent of their writer.

use std::str::from_utf8;

use super::Literals;
use crate::types::SqlValues as _;

/// Values, separated by the byte 255, are written as literals and parsed back: text as text, and the rest as bytes.
///
/// # Panics
/// If a value is not the same afterwards, or ends before its literal or after it.
pub fn literals(data: &[u8]) {
    let values: Vec<&[u8]> = data.split(|byte| *byte == u8::MAX).collect();
    let mut written = String::new();
    let mut literals = Literals::new(&mut written);
    for value in &values {
        match from_utf8(value) {
            Ok(text) => literals.text(text),
            Err(_) => literals.bytes(value),
        }
    }
    let mut rest = written.as_str();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix(',').unwrap_or_else(|| panic!("no end of a literal: {written:?}"));
        }
        let parsed = match rest.strip_prefix('x') {
            Some(rest) => read_bytes(rest),
            None => read_text(rest).map(|(text, rest)| (text.into_bytes(), rest)),
        };
        let (parsed, after) = parsed.unwrap_or_else(|| panic!("no literal: {written:?}"));
        assert_eq!(parsed, *value, "{written:?}");
        rest = after;
    }
    assert!(rest.is_empty(), "{written:?}");
}

/// Parses a text literal as the server does in the session's SQL mode: its value and the rest of the statement.
pub(super) fn read_text(statement: &str) -> Option<(String, &str)> {
    let mut content = String::new();
    let mut rest = statement.strip_prefix('\'')?.chars();
    loop {
        match rest.next()? {
            '\'' if rest.as_str().starts_with('\'') => {
                rest.next();
                content.push('\'');
            }
            '\'' => return Some((content, rest.as_str())),
            '\\' => content.push(match rest.next()? {
                '0' => '\0',
                'n' => '\n',
                other => other,
            }),
            other => content.push(other),
        }
    }
}

fn read_bytes(statement: &str) -> Option<(Vec<u8>, &str)> {
    let (digits, rest) = statement.strip_prefix('\'')?.split_once('\'')?;
    let pairs = digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(from_utf8(pair).ok()?, 16).ok());
    Some((pairs.collect::<Option<_>>()?, rest))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn earlier_inputs_find_nothing() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus/literals");
        let inputs = std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
        let mut count = 0;
        for input in inputs {
            let path = input.expect("an entry").path();
            super::literals(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
            count += 1;
        }
        assert!(count > 10, "{count} inputs");
    }
}
