use std::io;

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpResponse, get};
use futures_util::stream;

use jangteo_domain::page::Page;
use jangteo_domain::product::{PriceRange, ProductFilter, ProductKey, ProductListing, ProductSort};
use jangteo_domain::{Currency, StoreError};

use crate::error_chain::chain;
use crate::http::deadline::Deadline;
use crate::http::extract::body::Nothing;
use crate::http::extract::caller::Admin;
use crate::http::extract::query::ApiQuery;
use crate::http::respond::problem::Problem;
use crate::http::state::AppState;
use crate::import::text;

/// The rows that are in memory at a time.
const PAGE_ROWS: u32 = 200;
/// Without it, spreadsheets take UTF-8 for an older encoding.
const BYTE_ORDER_MARK: &str = "\u{feff}";
const COLUMNS: [&str; 14] = [
    "product_id",
    "sku",
    "item_group_id",
    "name",
    "description",
    "category",
    "options",
    "price",
    "currency",
    "stock",
    "status",
    "version",
    "created_at",
    "updated_at",
];

/// Export all products
///
/// Returns all products in all states as a CSV file in UTF-8, newest first, for `jangteo import products` and spreadsheets:
/// a cell that a spreadsheet would run as a formula begins with an apostrophe. The file is read while it is sent; a
/// connection that is closed early has an incomplete file.
#[utoipa::path(
    tag = "admin",
    responses((status = 200, content_type = "text/csv", body = String)),
)]
#[get("/products/export")]
pub async fn export_products(
    _admin: Admin,
    state: Data<AppState>,
    _query: ApiQuery<Nothing>,
    deadline: Deadline,
) -> Result<HttpResponse, Problem> {
    // A database that does not respond is a problem; after the head it can only end the connection.
    let first = deadline.read(read_page(&state, None)).await?;
    let currency = state.rules.currency;
    let head = csv_bytes([COLUMNS.map(str::to_owned)], BYTE_ORDER_MARK);
    let pages = stream::unfold((state, Some(Ok(first))), move |(state, page)| async move {
        match page? {
            // An empty chunk would end the response by itself.
            Ok(rows) if rows.is_empty() => None,
            Ok(rows) => {
                let bytes = csv_bytes(rows.iter().map(|(listing, _)| cells(listing, currency)), "");
                let next = match rows.last() {
                    Some((_, key)) => Some(read_page(&state, Some(key.clone())).await),
                    None => None,
                };
                Some((Ok(bytes), (state, next)))
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "export of products incomplete");
                Some((Err(io::Error::other(error)), (state, None)))
            }
        }
    });
    let body = stream::once(async { Ok::<_, io::Error>(head) });
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")))
        .insert_header((CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"products.csv\"")))
        .streaming(stream::StreamExt::chain(body, pages)))
}

async fn read_page(
    state: &AppState,
    after: Option<ProductKey>,
) -> Result<Vec<(ProductListing, ProductKey)>, StoreError> {
    let filter = ProductFilter {
        all_states: true,
        category: None,
        options: Vec::new(),
        text: None,
        price: PriceRange::default(),
        in_stock: false,
        max_available: None,
        sort: ProductSort::Newest,
    };
    state.queries.products.list(&filter, &Page { after, limit: PAGE_ROWS }).await
}

/// The cells of a product, in the order of [`COLUMNS`].
fn cells(listing: &ProductListing, currency: Currency) -> [String; COLUMNS.len()] {
    let (product, details) = (&listing.product, &listing.product.details);
    let options = details.options.iter();
    let options: serde_json::Map<_, _> =
        options.map(|(name, value)| (name.as_str().to_owned(), value.as_str().into())).collect();
    let at = |at: jangteo_domain::Timestamp| {
        let format = time::format_description::well_known::Rfc3339;
        at.to_offset_date_time().format(&format).expect("a timestamp's years are those of RFC 3339")
    };
    [
        product.id.to_string(),
        details.sku.as_ref().map(|sku| text::escaped(sku.as_str())).unwrap_or_default(),
        details.item_group_id.as_ref().map(|group| text::escaped(group.as_str())).unwrap_or_default(),
        text::escaped(details.name.as_str()),
        text::escaped(details.description.as_str()),
        text::escaped(details.category.as_str()),
        if options.is_empty() { String::new() } else { serde_json::Value::Object(options).to_string() },
        currency.show(details.price.get()).to_string(),
        currency.code().to_owned(),
        listing.available.to_string(),
        text::status_word(details.status).to_owned(),
        product.version.to_string(),
        at(product.created_at),
        at(product.updated_at),
    ]
}

fn csv_bytes<const N: usize>(rows: impl IntoIterator<Item = [String; N]>, before: &str) -> Bytes {
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(before.as_bytes().to_vec());
    rows.into_iter().for_each(|row| writer.write_record(row).expect("a vector takes all bytes"));
    writer.into_inner().expect("a vector takes all bytes").into()
}
