//! The table of attacks.

use comfy_table::Table;

use crate::target::{Answer, Request, Target};

/// The attacks so far, with the expected and the actual answer.
#[derive(Default)]
pub struct Report {
    rows: Vec<[String; 4]>,
    failures: usize,
}

impl Report {
    /// Adds a row. `expected` is one answer, or several separated by `or`.
    pub fn add(&mut self, attack: impl Into<String>, expected: &str, answer: &Answer) {
        let got = answer.to_string();
        let holds = expected.split(" or ").any(|one| one == got);
        let attack = attack.into();
        if !holds {
            self.failures += 1;
            eprintln!("{attack}: expected {expected}, got {got}");
        }
        let mark = if holds { "" } else { "FAILED" };
        self.rows.push([attack, expected.to_owned(), got, mark.to_owned()]);
    }

    /// Sends a request and adds its row.
    pub async fn send(&mut self, target: &Target, attack: impl Into<String>, expected: &str, request: Request) {
        let answer = target.send(&request).await;
        self.add(attack, expected, &answer);
    }

    /// The number of failed attacks, which is that of unexpected answers.
    pub fn failures(&self) -> usize {
        self.failures
    }

    pub fn count(&self) -> usize {
        self.rows.len()
    }

    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(["attack", "expected", "got", ""]);
        table.add_rows(&self.rows);
        table.to_string()
    }
}
