//! Headers of files, and the fields that they stand for.

/// The system that wrote a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Our own export.
    Jangteo,
    Shopify,
    WooCommerce,
    Magento,
    Plain,
}

impl Format {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jangteo => "jangteo",
            Self::Shopify => "shopify",
            Self::WooCommerce => "woocommerce",
            Self::Magento => "magento",
            Self::Plain => "plain",
        }
    }

    /// By headers that only this system has together.
    fn of(headers: &[String]) -> Self {
        let has = |name: &str| headers.iter().any(|header| normalized(header) == name);
        if has("product_id") && has("item_group_id") {
            Self::Jangteo
        } else if has("handle") && has("variant price") {
            Self::Shopify
        } else if has("type") && has("regular price") {
            Self::WooCommerce
        } else if has("product_type") && has("sku") {
            Self::Magento
        } else {
            Self::Plain
        }
    }
}

/// The meaning of a column. Options are numbered from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Field {
    Sku,
    ProductId,
    Group,
    Name,
    Description,
    Category,
    Price,
    Stock,
    Status,
    Published,
    /// A JSON object.
    Options,
    /// `name=value,…`
    Attributes,
    OptionName(u8),
    OptionValue(u8),
    /// The kind of a row: product, parent, variation.
    Type,
    /// The key of a parent that is no SKU.
    Id,
    Parent,
    /// The children of a parent, with their options.
    Variations,
    /// The store view of a row.
    Store,
}

/// The largest number of an option.
const OPTIONS_MAX: u8 = 20;

/// Fields by their names, with their headers in lower case; the first that a file has counts.
const FIELDS: &[(Field, &str, &[&str])] = &[
    (Field::Sku, "sku", &["sku", "variant sku", "상품코드", "상품 코드", "품목코드", "자체상품코드"]),
    (Field::ProductId, "product_id", &["product_id"]),
    (Field::Group, "item_group_id", &["item_group_id", "handle", "상품그룹", "품목그룹", "그룹"]),
    (Field::Name, "name", &["name", "title", "product name", "상품명"]),
    (Field::Description, "description", &["description", "body (html)", "상품설명", "상세설명", "상품 상세설명"]),
    (Field::Category, "category", &["category", "categories", "product category", "카테고리", "분류", "상품분류"]),
    (Field::Price, "price", &["price", "variant price", "regular price", "판매가", "판매가격", "가격"]),
    (Field::Stock, "stock", &["stock", "variant inventory qty", "qty", "quantity", "재고", "재고수량", "재고량"]),
    (Field::Status, "status", &["status", "상태", "판매상태", "진열상태"]),
    (Field::Published, "published", &["published", "product_online"]),
    (Field::Options, "options", &["options"]),
    (Field::Attributes, "attributes", &["additional_attributes", "옵션"]),
];

/// Fields of single systems, before those of all.
const OF_SHOPIFY: &[(Field, &str, &[&str])] = &[(Field::Category, "category", &["type", "product category"])];
const OF_WOOCOMMERCE: &[(Field, &str, &[&str])] =
    &[(Field::Type, "type", &["type"]), (Field::Id, "id", &["id"]), (Field::Parent, "parent", &["parent"])];
const OF_MAGENTO: &[(Field, &str, &[&str])] = &[
    (Field::Type, "type", &["product_type"]),
    (Field::Variations, "variations", &["configurable_variations"]),
    (Field::Store, "store", &["store_view_code"]),
];

impl Field {
    /// The name in `--map`, and in messages.
    pub fn name(self) -> String {
        match self {
            Self::OptionName(number) => format!("option{number}_name"),
            Self::OptionValue(number) => format!("option{number}_value"),
            field => {
                let mut tables = [FIELDS, OF_WOOCOMMERCE, OF_MAGENTO].into_iter().flatten();
                let row = tables.find(|(known, ..)| *known == field);
                row.expect("each field is in a table").1.to_owned()
            }
        }
    }

    /// The field with that name; those of single systems have no meaning elsewhere.
    pub fn of_name(name: &str) -> Option<Self> {
        let numbered = (1..=OPTIONS_MAX).flat_map(|number| [Self::OptionName(number), Self::OptionValue(number)]);
        FIELDS.iter().map(|(field, ..)| *field).chain(numbered).find(|field| field.name() == name)
    }

    /// The names for `--map`.
    pub fn names() -> String {
        let names: Vec<&str> = FIELDS.iter().map(|(_, name, _)| *name).collect();
        format!("{}, option1_name, option1_value, …", names.join(", "))
    }
}

/// The headers of a file, with the field of each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Columns {
    pub format: Format,
    pub columns: Vec<(String, Option<Field>)>,
}

impl Columns {
    /// Guesses the fields.
    pub fn guess(headers: Vec<String>) -> Self {
        let format = Format::of(&headers);
        let of_format = match format {
            Format::Shopify => OF_SHOPIFY,
            Format::WooCommerce => OF_WOOCOMMERCE,
            Format::Magento => OF_MAGENTO,
            Format::Jangteo | Format::Plain => &[],
        };
        let mut columns: Vec<(String, Option<Field>)> = headers.into_iter().map(|header| (header, None)).collect();
        for (field, _, names) in of_format.iter().chain(FIELDS) {
            if columns.iter().any(|(_, taken)| *taken == Some(*field)) {
                continue;
            }
            let free = |name: &&&str| {
                columns.iter().position(|(header, taken)| taken.is_none() && normalized(header) == **name)
            };
            if let Some(place) = names.iter().find_map(|name| free(&name)) {
                columns[place].1 = Some(*field);
            }
        }
        for (header, field) in &mut columns {
            if field.is_none() {
                *field = option_column(&normalized(header));
            }
        }
        Self { format, columns }
    }

    /// Sets the field of a column; `None` ignores it. The field leaves the column that had it.
    ///
    /// # Errors
    /// No such column.
    pub fn map(&mut self, header: &str, field: Option<Field>) -> Result<(), UnknownColumn> {
        let place = self.columns.iter().position(|(known, _)| normalized(known) == normalized(header));
        let place = place.ok_or_else(|| UnknownColumn(header.to_owned()))?;
        let had_it = self.columns.iter_mut().filter(|(_, taken)| taken.is_some() && *taken == field);
        had_it.for_each(|(_, taken)| *taken = None);
        self.columns[place].1 = field;
        Ok(())
    }

    pub fn place(&self, field: Field) -> Option<usize> {
        self.columns.iter().position(|(_, taken)| *taken == Some(field))
    }

    /// The header of a field.
    pub fn header(&self, field: Field) -> Option<&str> {
        self.place(field).map(|place| self.columns[place].0.as_str())
    }
}

/// A column that the file does not have.
#[derive(Debug, thiserror::Error)]
#[error("the file has no column {0:?}")]
pub struct UnknownColumn(String);

/// `Option1 Name`, `Attribute 1 value(s)`, `옵션1 값`.
fn option_column(header: &str) -> Option<Field> {
    let rest = ["option", "attribute", "옵션"].into_iter().find_map(|prefix| header.strip_prefix(prefix))?;
    let rest = rest.trim_start();
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let number = rest[..digits].parse::<u8>().ok().filter(|number| (1..=OPTIONS_MAX).contains(number))?;
    match rest[digits..].trim_start_matches(['_', ' ']) {
        "name" | "이름" | "명" => Some(Field::OptionName(number)),
        "value" | "value(s)" | "값" => Some(Field::OptionValue(number)),
        _ => None,
    }
}

fn normalized(header: &str) -> String {
    header.trim().to_lowercase()
}
