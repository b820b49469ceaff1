//! The search for a text: equal to a substring test of every product, but without reading every product.
//!
//! 1. The first products in the order of the list: they fill the page if one in a hundred matches.
//! 2. The search index finds the candidates, which the substring test confirms. Of the text's words it takes the rarest,
//!    as in a sample: an index reads all places of a word.
//! 3. With too many candidates, as with too many products that are not indexed yet, all products in the order of the
//!    list, until the deadline.

use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;

use super::product::{ListRow, ProductList, Source, push_indexed};
use super::store::Failure;
use super::{Conn, Db, IS_INDEX_COMPLETE, index_text, is_index_exceeded};
use crate::SearchLimits;
use crate::deadline::Deadline;
use crate::rows::product_search::{IS_UNINDEXED, Word, words_to_find};

/// Maximum words of a search in the index. More select little more, and each costs.
const WORDS_MAX: usize = 3;
/// Maximum words of a text to choose from.
const CHOICE_MAX: usize = 8;

pub(super) async fn search(
    connection: &mut Conn,
    list: ProductList,
    limits: SearchLimits,
) -> Result<Vec<ListRow>, Failure> {
    let words = list.text.as_deref().map(words_to_find).unwrap_or_default();
    let deadline = Deadline::of_search();
    let from = |source| list.from(source, deadline);
    let mut first = None;
    // No index has the order of the sales: the first products cost as much as all.
    if !list.is_by_sales() {
        let rows: Vec<ListRow> = from(Source::First(limits.first.into())).load(connection).await?;
        if i64::try_from(rows.len()).is_ok_and(|rows| rows >= list.limit) {
            return Ok(rows);
        }
        first = Some(rows);
    }
    let Sampled { products, words } = sample(connection, words, limits).await?;
    match first {
        // Those were all products.
        Some(rows) if products < limits.sample.min(limits.first).into() => return Ok(rows),
        _ => {}
    }
    let source = match words {
        Some(words) if count_candidates(connection, &words, limits).await? => Source::Indexed(words),
        Some(_) | None => Source::All,
    };
    Ok(from(source).load(connection).await?)
}

struct Sampled {
    /// Number of products in the sample.
    products: i64,
    /// The query of the search index; `None` for a text without words.
    words: Option<String>,
}

/// Finds the rarest of the words.
async fn sample(connection: &mut Conn, mut words: Vec<Word>, limits: SearchLimits) -> Result<Sampled, Failure> {
    words.truncate(CHOICE_MAX);
    let texts = words.iter().map(|word| word.text()).collect();
    let counts: String = Sample { texts, limit: limits.sample.into() }.get_result(connection).await?;
    let mut counts = counts.split(',').map(|count| count.parse::<i64>().unwrap_or_default());
    let products = counts.next().unwrap_or_default();
    let mut words: Vec<(i64, Word)> = counts.zip(words).collect();
    words.sort_by_key(|(count, _)| *count);
    let words: Vec<Word> = words.into_iter().take(WORDS_MAX).map(|(_, word)| word).collect();
    Ok(Sampled { products, words: (!words.is_empty()).then(|| index_text(&words)) })
}

/// Whether the candidates are few enough to be read.
async fn count_candidates(connection: &mut Conn, words: &str, limits: SearchLimits) -> Result<bool, Failure> {
    let (candidates, unindexed) = (i64::from(limits.candidates), i64::from(limits.unindexed));
    let count = Candidates { words: words.to_owned(), candidates: candidates + 1, unindexed: unindexed + 1 };
    match count.get_result::<(i64, i64, i64)>(connection).await {
        Ok((found, left, is_complete)) => Ok(found <= candidates && left <= unindexed && is_complete == 1),
        Err(error) if is_index_exceeded(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Counts products, and those with each text, among some products: numbers separated by commas.
#[derive(Debug)]
struct Sample {
    texts: Vec<String>,
    limit: i64,
}

impl Query for Sample {
    type SqlType = Text;
}

impl QueryId for Sample {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Db> for Sample {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        out.push_sql("SELECT CONCAT_WS(',', COUNT(*)");
        for text in &self.texts {
            out.push_sql(", COALESCE(SUM(INSTR(search_text, ");
            out.push_bind_param::<Text, _>(text)?;
            out.push_sql(") > 0), 0)");
        }
        out.push_sql(") FROM (SELECT search_text FROM product_search_texts LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(") AS sample");
        Ok(())
    }
}

/// Counts the products with all words, and the products that are not indexed, each up to a limit; and whether the index
/// takes all words.
#[derive(Debug)]
struct Candidates {
    words: String,
    candidates: i64,
    unindexed: i64,
}

impl Query for Candidates {
    type SqlType = (BigInt, BigInt, BigInt);
}

impl QueryId for Candidates {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Db> for Candidates {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        out.push_sql("SELECT (SELECT COUNT(*) FROM (");
        push_indexed(&mut out, &self.words)?;
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.candidates)?;
        out.push_sql(&format!(
            ") AS found), (SELECT COUNT(*) FROM (SELECT 1 FROM product_search_texts WHERE {IS_UNINDEXED} LIMIT "
        ));
        out.push_bind_param::<BigInt, _>(&self.unindexed)?;
        out.push_sql(&format!(") AS unindexed), {IS_INDEX_COMPLETE}"));
        Ok(())
    }
}
