//! Pages of lists: limits, and cursors that fit one list only.

use std::borrow::Cow;
use std::num::IntErrorKind;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::Ref;
use utoipa::openapi::schema::{Array, ArrayBuilder};

use jangteo_domain::page::Page;

use crate::cursor_keys::{CursorKeys, TAG_LENGTH};
use crate::http::respond::problem::{FieldError, Problem, ProblemCode, Reason};

/// The default number of rows of a page.
const LIMIT_DEFAULT: u32 = 20;
/// The maximum number of rows of a page, which bounds the response.
pub const LIMIT_MAX: u32 = 100;
/// The maximum length of a cursor; a product name of 200 four-byte characters fits.
const CURSOR_LENGTH_MAX: usize = 2_048;

/// The query of a list without filters.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Maximum number of rows; values above 100 count as 100.
    #[param(minimum = 1, default = 20)]
    #[serde(default, deserialize_with = "limit")]
    pub limit: Option<i64>,
    /// `next_cursor` of the previous page.
    pub cursor: Option<String>,
}

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub struct ListResponse<T> {
    /// The rows, in the order of the list.
    #[schema(schema_with = rows_of::<T>)]
    pub data: Vec<T>,
    /// The `cursor` of the next page; `null` on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// Refers to the schema of the rows; the derived schema would copy it.
fn rows_of<T: ToSchema>() -> Array {
    ArrayBuilder::new().items(Ref::from_schema_name(T::name())).build()
}

/// A list with its filters. A cursor is valid for one of them only.
pub struct List {
    keys: Arc<CursorKeys>,
    name: String,
}

impl List {
    /// The list of that name, with all filters and the sort order.
    pub fn new(keys: &Arc<CursorKeys>, name_and_filters: impl Into<String>) -> Self {
        Self { keys: Arc::clone(keys), name: name_and_filters.into() }
    }

    /// The page to read: one row more than requested, to detect the last page.
    ///
    /// # Errors
    /// `INVALID_QUERY` for a limit below 1, `INVALID_CURSOR` for a cursor of another list.
    pub fn page<Key: DeserializeOwned>(&self, limit: Option<i64>, cursor: Option<&str>) -> Result<Page<Key>, Problem> {
        let limit = rows_max(limit, LIMIT_DEFAULT)
            .map_err(|reason| Problem::of_query(vec![FieldError { pointer: "?limit".to_owned(), reason }]))?;
        let after = cursor.map(|cursor| self.key(cursor).ok_or(ProblemCode::InvalidCursor)).transpose()?;
        Ok(Page { after, limit: limit + 1 })
    }

    /// The response with the rows of a page. The extra row is not returned: it shows that the list continues.
    pub fn answer<Row, Key: Serialize, T>(
        &self,
        limit: u32,
        rows: &[Row],
        key: impl Fn(&Row) -> Key,
        show: impl Fn(&Row) -> T,
    ) -> ListResponse<T> {
        let count = usize::try_from(limit - 1).unwrap_or(usize::MAX).min(rows.len());
        let (rows, rest) = rows.split_at(count);
        let next_cursor = rows.last().filter(|_| !rest.is_empty()).map(|last| self.cursor(&key(last)));
        ListResponse { data: rows.iter().map(show).collect(), next_cursor }
    }

    /// The tag of the list, its filters and the key; then the key.
    fn cursor<Key: Serialize>(&self, key: &Key) -> String {
        let key = serde_json::to_vec(key).expect("keys are numbers, ids and text");
        URL_SAFE_NO_PAD.encode([&self.keys.sign(&self.name, &key)[..], &key].concat())
    }

    fn key<Key: DeserializeOwned>(&self, cursor: &str) -> Option<Key> {
        let bytes = (cursor.len() <= CURSOR_LENGTH_MAX).then(|| URL_SAFE_NO_PAD.decode(cursor).ok()).flatten()?;
        let (tag, key) = bytes.split_first_chunk::<TAG_LENGTH>()?;
        if self.keys.accepts(tag, &self.name, key) { serde_json::from_slice(key).ok() } else { None }
    }
}

/// The maximum number of rows of a page by its limit: at most [`LIMIT_MAX`].
///
/// # Errors
/// [`Reason::OutOfRange`] for a limit below 1.
pub fn rows_max(limit: Option<i64>, default: u32) -> Result<u32, Reason> {
    match limit {
        None => Ok(default),
        Some(..1) => Err(Reason::OutOfRange),
        Some(limit) => Ok(u32::try_from(limit).map_or(LIMIT_MAX, |limit| limit.min(LIMIT_MAX))),
    }
}

/// Deserializes a limit. A number beyond the range of `i64` counts as its maximum.
///
/// # Errors
/// Unless it is an integer.
pub fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let written = <Cow<'de, str>>::deserialize(deserializer)?;
    if written.is_empty() {
        return Ok(None);
    }
    match written.parse::<i64>() {
        Ok(limit) => Ok(Some(limit)),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => Ok(Some(i64::MAX)),
        Err(_) => Err(D::Error::custom("invalid value: not an integer")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use rstest::rstest;

    use super::*;

    static KEYS: LazyLock<Arc<CursorKeys>> = LazyLock::new(|| Arc::new(CursorKeys::of_this_process()));

    fn list(name: &str) -> List {
        List::new(&KEYS, name)
    }

    #[test]
    fn a_cursor_decodes_to_its_key() {
        let list = list("orders of kim");
        let cursor = list.cursor(&("이름", 7_u64));
        let page: Page<(String, u64)> = list.page(None, Some(&cursor)).expect("its own cursor");
        assert_eq!(page, Page { after: Some(("이름".to_owned(), 7)), limit: 21 });
    }

    #[test]
    fn rejects_a_modified_cursor() {
        let list = list("orders of kim");
        let cursor = list.cursor(&12_345_u64);
        for index in 0..cursor.len() {
            let replacement = if cursor.as_bytes()[index] == b'A' { "B" } else { "A" };
            let mut changed = cursor.clone();
            changed.replace_range(index..=index, replacement);
            let page: Result<Page<u64>, Problem> = list.page(None, Some(&changed));
            assert_eq!(page.expect_err("a changed cursor").code(), ProblemCode::InvalidCursor);
        }
    }

    #[rstest]
    #[case("")]
    #[case("!!!")]
    #[case("AAAA")]
    fn rejects_malformed_cursors(#[case] cursor: &str) {
        let page: Result<Page<u64>, Problem> = list("orders").page(None, Some(cursor));
        assert_eq!(page.expect_err("no cursor").code(), ProblemCode::InvalidCursor);
    }

    #[test]
    fn rejects_a_cursor_of_another_list() {
        let cursor = list("orders of kim").cursor(&1_u64);
        let page: Result<Page<u64>, Problem> = list("orders of lee").page(None, Some(&cursor));
        assert_eq!(page.expect_err("another list").code(), ProblemCode::InvalidCursor);
    }

    #[rstest]
    #[case(None, Some(20))]
    #[case(Some(1), Some(1))]
    #[case(Some(100), Some(100))]
    #[case(Some(101), Some(100))]
    #[case(Some(i64::MAX), Some(100))]
    #[case(Some(0), None)]
    #[case(Some(-1), None)]
    #[case(Some(i64::MIN), None)]
    fn limits_are_1_to_100(#[case] limit: Option<i64>, #[case] expected: Option<u32>) {
        let page: Result<Page<u64>, Problem> = list("orders").page(limit, None);
        assert_eq!(page.map(|page| page.limit - 1).ok(), expected);
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let list = list("orders");
        let page: Page<u64> = list.page(Some(2), None).expect("a page");
        let answer = |rows: &[u64]| list.answer(page.limit, rows, |row| *row, |row| *row);
        assert_eq!(answer(&[1, 2, 3]).data, [1, 2]);
        assert_eq!(answer(&[1, 2, 3]).next_cursor, Some(list.cursor(&2_u64)));
        assert_eq!(answer(&[1, 2]).data, [1, 2]);
        assert_eq!(answer(&[1, 2]).next_cursor, None);
        assert_eq!(answer(&[]).next_cursor, None);
    }
}
