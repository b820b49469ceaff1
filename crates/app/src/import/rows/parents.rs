use std::collections::BTreeMap;

use crate::import::columns::{Columns, Field, Format};
use crate::import::file::Sheet;
use crate::import::rows::RowReason;
use crate::import::rows::cells::{Cells, Problems, pairs};

/// The rows of a file that are no products, but the parents of some.
#[derive(Default)]
pub struct Parents<'a> {
    parents: Vec<Parent<'a>>,
    /// By SKU, and by `id:…`.
    by_key: BTreeMap<String, usize>,
    /// By the SKU of a child.
    by_child: BTreeMap<String, usize>,
}

/// A parent: the group of its children.
pub struct Parent<'a> {
    pub group: String,
    cells: Cells<'a>,
    /// The options of each child by its SKU, where the parent lists them.
    options: BTreeMap<String, BTreeMap<String, String>>,
}

impl Parent<'_> {
    pub fn cell(&self, field: Field) -> Option<&str> {
        self.cells.get(field)
    }

    /// The options of the child in the parent's list.
    pub fn options_of(&self, sku: Option<&str>) -> Option<&BTreeMap<String, String>> {
        self.options.get(sku?)
    }
}

impl<'a> Parents<'a> {
    pub fn of(sheet: &'a Sheet, columns: &'a Columns) -> Self {
        let kind = match columns.format {
            Format::WooCommerce => "variable",
            Format::Magento => "configurable",
            Format::Jangteo | Format::Shopify | Format::Plain => return Self::default(),
        };
        let mut parents = Self::default();
        for record in &sheet.records {
            let cells = Cells::of(record, columns);
            if type_of(&cells) == kind && cells.get(Field::Store).is_none() {
                parents.add(cells);
            }
        }
        parents
    }

    fn add(&mut self, cells: Cells<'a>) {
        let place = self.parents.len();
        let id = cells.get(Field::Id).map(|id| format!("id:{id}"));
        let sku = cells.get(Field::Sku).map(str::to_owned);
        let Some(group) = sku.clone().or_else(|| id.clone()) else { return };
        self.by_key.extend(sku.into_iter().chain(id).map(|key| (key, place)));
        let mut options = BTreeMap::new();
        for variation in cells.get(Field::Variations).unwrap_or_default().split('|') {
            let mut of_child = pairs(variation);
            if let Some(sku) = of_child.remove("sku") {
                self.by_child.insert(sku.clone(), place);
                options.insert(sku, of_child);
            }
        }
        self.parents.push(Parent { group, cells, options });
    }

    /// The parent of a row, if it has one; `None` for a row that is no product.
    pub fn of_row(
        &self,
        cells: &Cells<'_>,
        format: Format,
        problems: &mut Problems<'_>,
    ) -> Option<Option<&Parent<'a>>> {
        let found = |place: &usize| &self.parents[*place];
        match (format, type_of(cells).as_str()) {
            (Format::WooCommerce, "variable") | (Format::Magento, "configurable") => None,
            (Format::Magento, _) if cells.get(Field::Store).is_some() => None,
            (Format::WooCommerce, "simple") => Some(None),
            (Format::WooCommerce, "variation") => {
                let parent = cells.get(Field::Parent).and_then(|key| self.by_key.get(key));
                if parent.is_none() {
                    problems.add(Field::Parent, RowReason::ParentNotFound);
                }
                parent.map(|place| Some(found(place)))
            }
            (Format::Magento, "simple" | "virtual" | "downloadable") => {
                Some(cells.get(Field::Sku).and_then(|sku| self.by_child.get(sku)).map(found))
            }
            (Format::WooCommerce | Format::Magento, _) => {
                problems.add(Field::Type, RowReason::UnsupportedType);
                None
            }
            (Format::Jangteo | Format::Shopify | Format::Plain, _) => Some(None),
        }
    }
}

/// The type of a row, without its modifiers: `simple, virtual` is `simple`.
fn type_of(cells: &Cells<'_>) -> String {
    let written = cells.get(Field::Type).unwrap_or_default();
    written.split(',').next().unwrap_or_default().trim().to_lowercase()
}
