//! Cells to rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::import::columns::{Columns, Field, Format};
use crate::import::file::{Record, Sheet};
use crate::import::text::{derived_sku, group_id, of_html};

mod cells;
mod parents;

use cells::{Cells, Problems};
use parents::Parents;

/// A row of a file, as a row of `POST /v1/admin/products/bulk`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ImportedRow {
    pub line: usize,
    pub row: Map<String, Value>,
}

/// A defect of a row, which is left out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RowError {
    pub line: usize,
    /// The header as written; `None` where the file has no such column.
    pub column: Option<String>,
    pub reason: RowReason,
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, reason } = self;
        match column {
            Some(column) => write!(f, "line {line}, {column}: {}", reason.text()),
            None => write!(f, "line {line}: {}", reason.text()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RowReason {
    TooManyCells,
    UnsupportedType,
    ParentNotFound,
    InvalidOptions,
    NoKey,
    DuplicateKey,
    Missing,
    DecimalComma,
    NotANumber,
    UnknownStatus,
}

impl RowReason {
    /// A sentence for people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::TooManyCells => "more cells than headers",
            Self::UnsupportedType => "a type of product that cannot be imported",
            Self::ParentNotFound => "the file has no such parent",
            Self::InvalidOptions => "not a JSON object of texts",
            Self::NoKey => "neither SKU nor group",
            Self::DuplicateKey => "an earlier row has this key",
            Self::Missing => "missing",
            Self::DecimalComma => "a comma: write decimals with a point, and no separator of thousands",
            Self::NotANumber => "not a number",
            Self::UnknownStatus => "not a status",
        }
    }
}

/// The rows of a file.
#[derive(Debug)]
pub struct Imported {
    pub rows: Vec<ImportedRow>,
    pub errors: Vec<RowError>,
}

/// The rows of the sheet, and the defects of those left out; each in the order of the file.
pub fn rows_of(sheet: &Sheet, columns: &Columns) -> Imported {
    let parents = Parents::of(sheet, columns);
    let mut imported = Imported { rows: Vec::new(), errors: Vec::new() };
    let mut keys = BTreeSet::new();
    let mut groups: BTreeMap<String, BTreeMap<Field, String>> = BTreeMap::new();
    for record in &sheet.records {
        let mut problems = Problems::new(record.line, columns);
        let row = row_of(record, columns, &parents, &mut groups, &mut problems);
        let Some(row) = row else {
            imported.errors.extend(problems.into_vec());
            continue;
        };
        let key = row.get("sku").or_else(|| row.get("product_id"));
        match key {
            Some(key) if problems.is_empty() && !keys.insert(key.to_string()) => {
                problems.add(Field::Sku, RowReason::DuplicateKey);
            }
            Some(_) | None => {}
        }
        if problems.is_empty() {
            imported.rows.push(ImportedRow { line: record.line, row });
        } else {
            imported.errors.extend(problems.into_vec());
        }
    }
    imported
}

/// The fields that a row inherits from the first row of its group.
const INHERITED: [Field; 5] = [Field::Name, Field::Description, Field::Category, Field::Status, Field::Published];

/// The members of a row; `None` for a row that is no product.
fn row_of(
    record: &Record,
    columns: &Columns,
    parents: &Parents,
    groups: &mut BTreeMap<String, BTreeMap<Field, String>>,
    problems: &mut Problems<'_>,
) -> Option<Map<String, Value>> {
    if record.cells.len() > columns.columns.len() {
        problems.add_without_column(RowReason::TooManyCells);
        return None;
    }
    let mut cells = Cells::of(record, columns);
    let parent = parents.of_row(&cells, columns.format, problems)?;
    let group = match &parent {
        Some(parent) => Some(parent.group.clone()),
        None => cells.take(Field::Group),
    };
    match (&parent, &group) {
        (Some(parent), _) => INHERITED[..3].iter().for_each(|field| cells.inherit(*field, parent.cell(*field))),
        (None, Some(group)) if columns.format != Format::Jangteo => {
            let of_group = groups.entry(group.clone()).or_default();
            for field in INHERITED.into_iter().chain(cells.option_names()) {
                cells.inherit(field, of_group.get(&field).map(String::as_str));
                if let Some(text) = cells.get(field) {
                    of_group.entry(field).or_insert_with(|| text.to_owned());
                }
            }
        }
        (None, _) => {}
    }
    if columns.format == Format::Shopify && cells.is_picture() {
        return None;
    }
    let options = match parent.as_ref().and_then(|parent| parent.options_of(cells.get(Field::Sku))) {
        Some(options) => options.clone(),
        None => cells.options(problems),
    };
    let mut row = Map::new();
    let mut put = |name: &str, value: Option<Value>| drop(value.map(|value| row.insert(name.to_owned(), value)));
    let product_id = cells.get(Field::ProductId).map(str::to_owned);
    let sku = match (cells.get(Field::Sku), &group, &product_id) {
        (Some(sku), ..) => Some(sku.to_owned()),
        (None, Some(group), None) => Some(derived_sku(group, &options)),
        (None, ..) => None,
    };
    if sku.is_none() && product_id.is_none() {
        problems.add(Field::Sku, RowReason::NoKey);
    }
    put("product_id", product_id.map(Value::from));
    put("sku", sku.map(Value::from));
    put("item_group_id", group.map(|group| group_id(&group).into()));
    let name = cells.get(Field::Name);
    if name.is_none() {
        problems.add(Field::Name, RowReason::Missing);
    }
    put("name", name.map(Value::from));
    put("description", description(&cells, columns.format).map(Value::from));
    put("category", category(&cells, columns.format).map(Value::from));
    put("options", (!options.is_empty()).then(|| json!(options)));
    put("price", cells.price(problems).map(Value::from));
    put("stock", cells.stock(problems).map(Value::from));
    put("status", cells.status(problems).map(Value::from));
    Some(row)
}

fn description(cells: &Cells<'_>, format: Format) -> Option<String> {
    let written = cells.get(Field::Description)?;
    let text = match format {
        Format::Shopify | Format::Magento => of_html(written),
        Format::WooCommerce => of_html(&written.replace("\\n", "\n")),
        Format::Jangteo | Format::Plain => written.to_owned(),
    };
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The first category of the list.
fn category(cells: &Cells<'_>, format: Format) -> Option<String> {
    let written = cells.get(Field::Category)?;
    let category = match format {
        Format::Jangteo | Format::Shopify | Format::Plain => written.to_owned(),
        Format::WooCommerce => {
            // `\,` is a comma within a name.
            let first = written.replace("\\,", "\u{1f}");
            first.split(',').next().unwrap_or_default().replace('\u{1f}', ",")
        }
        Format::Magento => {
            let first = written.split(',').next().unwrap_or_default();
            first.strip_prefix("Default Category").map_or(first, |rest| rest.trim_start_matches('/')).to_owned()
        }
    };
    Some(category.trim().to_owned()).filter(|category| !category.is_empty())
}
