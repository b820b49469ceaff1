//! Products from other systems: files, their rows, and the commands that bring the catalog to them.
//!
//! | module | contents |
//! |---|---|
//! | `file` | bytes to cells: encoding, separator, lines |
//! | `columns` | headers to fields, and the system that wrote the file |
//! | `rows` | cells to rows of `POST /v1/admin/products/bulk` |
//! | `text` | HTML as text, derived SKUs, cells that spreadsheets take for formulas |
//! | `row`, `details` | a row, checked |
//! | `plan` | checked rows to commands, by comparison with the catalog |
//!
//! `tests/golden/import` has a file of each system, with the rows that this parser and the console's make of it.

pub mod columns;
pub mod details;
pub mod file;
pub mod plan;
pub mod row;
pub mod rows;
pub mod text;

#[cfg(test)]
mod tests;
