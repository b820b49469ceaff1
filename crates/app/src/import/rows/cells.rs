use std::borrow::Cow;
use std::collections::BTreeMap;

use jangteo_domain::product::ProductStatus;

use crate::import::columns::{Columns, Field};
use crate::import::file::Record;
use crate::import::rows::{RowError, RowReason};
use crate::import::text::status_word;

/// The defects of one row.
pub struct Problems<'a> {
    line: usize,
    columns: &'a Columns,
    errors: Vec<RowError>,
}

impl<'a> Problems<'a> {
    pub fn new(line: usize, columns: &'a Columns) -> Self {
        Self { line, columns, errors: Vec::new() }
    }

    pub fn add(&mut self, field: Field, reason: RowReason) {
        let column = self.columns.header(field).map(str::to_owned);
        self.errors.push(RowError { line: self.line, column, reason });
    }

    pub fn add_without_column(&mut self, reason: RowReason) {
        self.errors.push(RowError { line: self.line, column: None, reason });
    }

    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    pub fn into_vec(self) -> Vec<RowError> {
        self.errors
    }
}

/// The cells of a row by field, inherited ones included. Blank cells are absent.
pub struct Cells<'a> {
    columns: &'a Columns,
    cells: BTreeMap<Field, Cow<'a, str>>,
}

impl<'a> Cells<'a> {
    pub fn of(record: &'a Record, columns: &'a Columns) -> Self {
        let filled = columns.columns.iter().zip(&record.cells).filter(|(_, cell)| !cell.is_empty());
        let cells = filled.filter_map(|((_, field), cell)| Some(((*field)?, Cow::Borrowed(cell.as_str())))).collect();
        Self { columns, cells }
    }

    pub fn get(&self, field: Field) -> Option<&str> {
        self.cells.get(&field).map(|cell| &**cell)
    }

    pub fn take(&mut self, field: Field) -> Option<String> {
        self.cells.remove(&field).map(Cow::into_owned)
    }

    /// Fills a blank cell.
    pub fn inherit(&mut self, field: Field, text: Option<&str>) {
        if let Some(text) = text {
            self.cells.entry(field).or_insert_with(|| text.to_owned().into());
        }
    }

    /// The columns of option names.
    pub fn option_names(&self) -> Vec<Field> {
        let fields = self.columns.columns.iter().filter_map(|(_, field)| *field);
        fields.filter(|field| matches!(field, Field::OptionName(_))).collect()
    }

    /// Whether the row adds only a picture to a product (Shopify).
    pub fn is_picture(&self) -> bool {
        [Field::Sku, Field::Price, Field::OptionValue(1)].into_iter().all(|field| self.get(field).is_none())
    }

    /// The options in numbered columns, a JSON object and `name=value` pairs.
    pub fn options(&self, problems: &mut Problems<'_>) -> BTreeMap<String, String> {
        let mut options = BTreeMap::new();
        if let Some(json) = self.get(Field::Options) {
            match serde_json::from_str(json) {
                Ok(read) => options = read,
                Err(_) => problems.add(Field::Options, RowReason::InvalidOptions),
            }
        }
        options.extend(pairs(self.get(Field::Attributes).unwrap_or_default()));
        for (field, value) in &self.cells {
            if let Field::OptionValue(number) = field
                && let Some(name) = self.get(Field::OptionName(*number))
                && (name, &**value) != ("Title", "Default Title")
            {
                options.insert(name.to_owned(), value.replace("\\,", ","));
            }
        }
        options
    }

    pub fn price(&self, problems: &mut Problems<'_>) -> Option<String> {
        let Some(written) = self.get(Field::Price) else {
            problems.add(Field::Price, RowReason::Missing);
            return None;
        };
        let (whole, decimals) = written.split_once('.').map_or((written, None), |(whole, rest)| (whole, Some(rest)));
        let is_number = is_digits(whole) && decimals.is_none_or(is_digits);
        if !is_number {
            problems.add(Field::Price, defect_of_number(written));
        }
        is_number.then(|| written.to_owned())
    }

    /// Items in stock; a shop that sold more than it had has none.
    pub fn stock(&self, problems: &mut Problems<'_>) -> Option<u64> {
        let written = self.get(Field::Stock)?;
        let unsigned = written.strip_prefix('-').unwrap_or(written);
        let (whole, decimals) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let items = whole.parse::<u64>().ok().filter(|_| is_digits(whole));
        let is_whole = !decimals.is_empty() && decimals.bytes().all(|digit| digit == b'0');
        let items = items.filter(|_| is_whole).map(|items| if written.starts_with('-') { 0 } else { items });
        if items.is_none() {
            problems.add(Field::Stock, defect_of_number(written));
        }
        items
    }

    pub fn status(&self, problems: &mut Problems<'_>) -> Option<&'static str> {
        let mut read = |field, words: fn(&str) -> Option<ProductStatus>| {
            let written = self.get(field)?.to_lowercase();
            let status = words(&written);
            if status.is_none() {
                problems.add(field, RowReason::UnknownStatus);
            }
            status
        };
        let (status, published) = (read(Field::Status, status_of), read(Field::Published, published_as));
        // A product that is not published is not on sale, and one without a status is on sale where it is published.
        let shown = match status {
            Some(ProductStatus::OnSale) | None => published.or(status),
            Some(ProductStatus::Hidden | ProductStatus::Discontinued) => status,
        };
        shown.map(status_word)
    }
}

/// `name=value,…`; parts without a name continue the value before them.
pub fn pairs(written: &str) -> BTreeMap<String, String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for part in written.split(',') {
        match (part.split_once('='), pairs.last_mut()) {
            (Some((name, value)), _) => pairs.push((name.trim().to_owned(), value.trim().to_owned())),
            (None, Some((_, value))) => {
                value.push(',');
                value.push_str(part);
            }
            (None, None) => {}
        }
    }
    pairs.into_iter().filter(|(name, value)| !name.is_empty() && !value.is_empty()).collect()
}

fn status_of(written: &str) -> Option<ProductStatus> {
    match written {
        "on_sale" | "active" | "판매중" | "진열" => Some(ProductStatus::OnSale),
        "hidden" | "draft" | "숨김" | "미진열" => Some(ProductStatus::Hidden),
        "discontinued" | "archived" | "판매중지" | "판매종료" => Some(ProductStatus::Discontinued),
        _ => None,
    }
}

fn published_as(written: &str) -> Option<ProductStatus> {
    match written {
        "true" | "1" | "yes" => Some(ProductStatus::OnSale),
        "false" | "0" | "-1" | "2" | "no" => Some(ProductStatus::Hidden),
        _ => None,
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn defect_of_number(written: &str) -> RowReason {
    if written.contains(',') { RowReason::DecimalComma } else { RowReason::NotANumber }
}
