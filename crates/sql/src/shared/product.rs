use async_trait::async_trait;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Date as DateSql, Text};
use diesel_async::RunQueryDsl;
use futures_util::FutureExt as _;
use jangteo_domain::StoreError;
use jangteo_domain::id::ProductId;
use jangteo_domain::page::Page;
use jangteo_domain::product::{
    OptionValue, Product, ProductFilter, ProductKey, ProductListing, ProductQueries, ProductSort, Sku,
};
use jangteo_domain::time::Date;

use super::product_search::search;
use super::store::Store;
use super::{Db, INDEXED, IS_ON_SALE_BY_ID, THEN_JOIN, push_deadline};
use crate::bulk::Row;
use crate::deadline::Deadline;
use crate::rows::product::ProductRow;
use crate::rows::product_search::{IS_UNINDEXED, search_form};
use crate::schema::{products, stocks};
use crate::types::{Amount, Id, Integer, MoneySql};

#[async_trait]
impl ProductQueries for Store {
    async fn list(
        &self,
        filter: &ProductFilter,
        page: &Page<ProductKey>,
    ) -> Result<Vec<(ProductListing, ProductKey)>, StoreError> {
        let sort = filter.sort;
        let query = ProductList::new(filter, page)?;
        let rows = if query.text.is_some() {
            let limits = self.search_limits;
            self.search(move |connection| search(connection, query, limits).boxed()).await?
        } else {
            self.read_lagging(move |connection| async move { Ok(query.load::<ListRow>(connection).await?) }.boxed())
                .await?
        };
        rows.into_iter()
            .map(|(row, available, sold)| {
                let listing = listing(row, available)?;
                let key = key_of(&listing.product, sort, sold.0);
                Ok((listing, key))
            })
            .collect()
    }

    async fn find(&self, id: ProductId) -> Result<Option<ProductListing>, StoreError> {
        let found = self.find_lagging(move |connection| {
            async move {
                let product = products::table
                    .inner_join(stocks::table.on(stocks::product_id.eq(products::id)))
                    .filter(products::id.eq(Id(id)))
                    .select((ProductRow::as_select(), stocks::available));
                Ok(product.first::<(ProductRow, Integer<u64>)>(connection).await.optional()?)
            }
            .boxed()
        });
        found.await?.map(|(row, available)| listing(row, available)).transpose()
    }

    async fn find_many(&self, ids: &[ProductId]) -> Result<Vec<ProductListing>, StoreError> {
        let ids: Vec<Id<ProductId>> = ids.iter().copied().map(Id).collect();
        let found = self.read(move |connection| {
            async move {
                let mut found: Vec<(ProductRow, Integer<u64>)> = Vec::with_capacity(ids.len());
                for ids in ids.chunks(IDS_MAX) {
                    let products = products::table
                        .inner_join(stocks::table.on(stocks::product_id.eq(products::id)))
                        .filter(products::id.eq_any(ids))
                        .select((ProductRow::as_select(), stocks::available));
                    found.append(&mut products.load(connection).await?);
                }
                Ok(found)
            }
            .boxed()
        });
        found.await?.into_iter().map(|(row, available)| listing(row, available)).collect()
    }

    async fn find_by_skus(&self, skus: &[Sku]) -> Result<Vec<ProductListing>, StoreError> {
        let skus: Vec<String> = skus.iter().map(|sku| sku.as_str().to_owned()).collect();
        let found = self.read(move |connection| {
            async move {
                let mut found: Vec<(ProductRow, Integer<u64>)> = Vec::with_capacity(skus.len());
                for skus in skus.chunks(IDS_MAX) {
                    let products = products::table
                        .inner_join(stocks::table.on(stocks::product_id.eq(products::id)))
                        .filter(products::sku.eq_any(skus))
                        .select((ProductRow::as_select(), stocks::available));
                    found.append(&mut products.load(connection).await?);
                }
                Ok(found)
            }
            .boxed()
        });
        found.await?.into_iter().map(|(row, available)| listing(row, available)).collect()
    }
}

/// Upper bound of the keys in one list, well below either database's limit.
const IDS_MAX: usize = 1_000;

fn listing(row: ProductRow, available: Integer<u64>) -> Result<ProductListing, StoreError> {
    Ok(ProductListing { product: row.try_into()?, available: available.0 })
}

/// The position of a product in a list.
fn key_of(product: &Product, sort: ProductSort, sold: i64) -> ProductKey {
    let Product { id, details, .. } = product;
    match sort {
        ProductSort::Newest => ProductKey::Newest(*id),
        ProductSort::PriceAscending | ProductSort::PriceDescending => ProductKey::Price(details.price.get(), *id),
        ProductSort::Name => ProductKey::Name(details.name.as_str().to_owned(), *id),
        ProductSort::Popular { .. } => ProductKey::Popular(sold, *id),
    }
}

pub(super) type ListRow = (ProductRow, Integer<u64>, Integer<i64>);

/// A page of a product list, in raw SQL: joins and conditions depend on the filter. Each sort ends with the id and is
/// that of an index; the explicit bound on its first column makes the database enter the index there.
#[derive(Debug, Clone)]
pub(super) struct ProductList {
    /// The products that may match.
    source: Source,
    /// Of a search.
    deadline: Option<Deadline>,
    all_states: bool,
    category: Option<String>,
    options: Vec<(String, Vec<String>)>,
    /// In [`search_form`].
    pub text: Option<String>,
    price_min: Option<Amount>,
    price_max: Option<Amount>,
    in_stock: bool,
    max_available: Option<i64>,
    sold_since: Option<Date>,
    order: Order,
    pub limit: i64,
}

/// The products among which a list searches. All sources have the same result, except [`First`](Self::First).
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// All, in the order of the list.
    All,
    /// The first ones in the order of the list, up to this number, before the rest of the filter.
    First(i64),
    /// Those with these words in the search index, and those that are not indexed yet.
    Indexed(String),
}

/// The sort, and the position to start after.
#[derive(Debug, Clone)]
enum Order {
    NewestFirst(Option<Id<ProductId>>),
    CheapestFirst(Option<(Amount, Id<ProductId>)>),
    DearestFirst(Option<(Amount, Id<ProductId>)>),
    ByName(Option<(String, Id<ProductId>)>),
    MostSoldFirst(Option<(i64, Id<ProductId>)>),
}

impl Order {
    fn new(sort: ProductSort, after: Option<ProductKey>) -> Result<Self, StoreError> {
        match (sort, after) {
            (ProductSort::Newest, None) => Ok(Self::NewestFirst(None)),
            (ProductSort::Newest, Some(ProductKey::Newest(id))) => Ok(Self::NewestFirst(Some(Id(id)))),
            (ProductSort::PriceAscending, None) => Ok(Self::CheapestFirst(None)),
            (ProductSort::PriceAscending, Some(ProductKey::Price(price, id))) => {
                Ok(Self::CheapestFirst(Some((Amount(price), Id(id)))))
            }
            (ProductSort::PriceDescending, None) => Ok(Self::DearestFirst(None)),
            (ProductSort::PriceDescending, Some(ProductKey::Price(price, id))) => {
                Ok(Self::DearestFirst(Some((Amount(price), Id(id)))))
            }
            (ProductSort::Name, None) => Ok(Self::ByName(None)),
            (ProductSort::Name, Some(ProductKey::Name(name, id))) => Ok(Self::ByName(Some((name, Id(id))))),
            (ProductSort::Popular { .. }, None) => Ok(Self::MostSoldFirst(None)),
            (ProductSort::Popular { .. }, Some(ProductKey::Popular(sold, id))) => {
                Ok(Self::MostSoldFirst(Some((sold, Id(id)))))
            }
            (_, Some(_)) => Err(StoreError::unexpected("a page after a key of another sort")),
        }
    }
}

impl ProductList {
    fn new(filter: &ProductFilter, page: &Page<ProductKey>) -> Result<Self, StoreError> {
        let words = |values: &[OptionValue]| values.iter().map(|value| value.as_str().to_owned()).collect();
        Ok(Self {
            source: Source::All,
            deadline: None,
            all_states: filter.all_states,
            category: filter.category.as_ref().map(|category| category.as_str().to_owned()),
            options: filter.options.iter().map(|(name, values)| (name.as_str().to_owned(), words(values))).collect(),
            text: filter.text.as_ref().map(|text| search_form(text.as_str())),
            price_min: filter.price.min.map(Amount),
            price_max: filter.price.max.map(Amount),
            in_stock: filter.in_stock,
            max_available: filter.max_available.map(|max| i64::try_from(max).unwrap_or(i64::MAX)),
            sold_since: match filter.sort {
                ProductSort::Popular { since } => Some(since),
                ProductSort::Newest
                | ProductSort::PriceAscending
                | ProductSort::PriceDescending
                | ProductSort::Name => None,
            },
            order: Order::new(filter.sort, page.after.clone())?,
            limit: page.limit.into(),
        })
    }

    /// The same list from another source.
    pub fn from(&self, source: Source, deadline: Deadline) -> Self {
        Self { source, deadline: Some(deadline), ..self.clone() }
    }

    pub fn is_by_popularity(&self) -> bool {
        self.sold_since.is_some()
    }

    /// From a source of few products the joins follow in this order: each begins with a key, not in the list's order.
    fn push_tables<'b>(&'b self, out: &mut AstPass<'_, 'b, Db>) -> QueryResult<()> {
        let (texts, join) = match &self.source {
            Source::All => (self.text.is_some(), " JOIN "),
            Source::First(_) | Source::Indexed(_) => (false, THEN_JOIN),
        };
        match &self.source {
            Source::All => out.push_sql(" FROM products"),
            Source::First(products) => {
                out.push_sql(" FROM (SELECT products.id AS product_id FROM products");
                self.push_key_filter(out)?;
                self.push_order(out)?;
                out.push_sql(" LIMIT ");
                out.push_bind_param::<BigInt, _>(products)?;
            }
            Source::Indexed(words) => {
                out.push_sql(&format!(
                    " FROM (SELECT product_id FROM product_search_texts WHERE {IS_UNINDEXED} UNION "
                ));
                push_indexed(out, words)?;
            }
        }
        if !matches!(self.source, Source::All) {
            let join_products = "products ON products.id = product_search_texts.product_id";
            out.push_sql(&format!(
                ") AS found{join}product_search_texts ON product_search_texts.product_id = found.product_id\
                 {join}{join_products}"
            ));
        }
        out.push_sql(&format!("{join}stocks ON stocks.product_id = products.id"));
        if texts {
            out.push_sql(" JOIN product_search_texts ON product_search_texts.product_id = products.id");
        }
        if let Some(since) = &self.sold_since {
            out.push_sql(
                " LEFT JOIN (SELECT product_id, CAST(SUM(quantity) AS SIGNED) AS sold FROM daily_sales WHERE day >= ",
            );
            out.push_bind_param::<DateSql, _>(since)?;
            out.push_sql(" GROUP BY product_id) AS sales ON sales.product_id = products.id");
        }
        Ok(())
    }

    fn push_filter<'b>(&'b self, out: &mut AstPass<'_, 'b, Db>) -> QueryResult<()> {
        let is_by_id = matches!(self.order, Order::NewestFirst(_)) && self.price_min.or(self.price_max).is_none();
        self.push_status(is_by_id, out);
        self.push_category(out)?;
        self.push_prices(out)?;
        if self.in_stock {
            // As a sum, out of sight of the index of the stocks: most products are in stock, and MariaDB would sort them.
            out.push_sql(" AND stocks.available + 0 > 0");
        }
        if let Some(max) = &self.max_available {
            out.push_sql(" AND stocks.available <= ");
            out.push_bind_param::<BigInt, _>(max)?;
        }
        if let Some(deadline) = &self.deadline {
            push_deadline(out, deadline)?;
        }
        self.options.iter().try_for_each(|(name, values)| push_option(out, name, values))
    }

    /// The part of the filter that an index in the list's order decides. Any other part could read all products to find few.
    fn push_key_filter<'b>(&'b self, out: &mut AstPass<'_, 'b, Db>) -> QueryResult<()> {
        let is_by_id = matches!(self.order, Order::NewestFirst(_));
        self.push_status(is_by_id, out);
        match self.order {
            Order::NewestFirst(_) => self.push_category(out),
            Order::CheapestFirst(_) | Order::DearestFirst(_) => self.push_prices(out),
            Order::ByName(_) | Order::MostSoldFirst(_) => Ok(()),
        }
    }

    fn push_status(&self, is_by_id: bool, out: &mut AstPass<'_, '_, Db>) {
        out.push_sql(match (self.all_states, is_by_id) {
            (true, _) => " WHERE TRUE",
            (false, true) => IS_ON_SALE_BY_ID,
            (false, false) => " WHERE products.status = 'on_sale'",
        });
    }

    fn push_category<'b>(&'b self, out: &mut AstPass<'_, 'b, Db>) -> QueryResult<()> {
        if let Some(category) = &self.category {
            out.push_sql(" AND products.category = ");
            out.push_bind_param::<Text, _>(category)?;
        }
        Ok(())
    }

    fn push_prices<'b>(&'b self, out: &mut AstPass<'_, 'b, Db>) -> QueryResult<()> {
        if let Some(price) = &self.price_min {
            out.push_sql(" AND products.price >= ");
            push_money(out, price)?;
        }
        if let Some(price) = &self.price_max {
            out.push_sql(" AND products.price <= ");
            push_money(out, price)?;
        }
        Ok(())
    }

    fn push_text<'b>(&'b self, out: &mut AstPass<'_, 'b, Db>) -> QueryResult<()> {
        if let Some(text) = &self.text {
            out.push_sql(" AND INSTR(product_search_texts.search_text, ");
            out.push_bind_param::<Text, _>(text)?;
            out.push_sql(") > 0");
        }
        Ok(())
    }

    fn push_order<'b>(&'b self, out: &mut AstPass<'_, 'b, Db>) -> QueryResult<()> {
        match &self.order {
            Order::NewestFirst(after) => {
                if let Some(id) = after {
                    out.push_sql(" AND products.id < ");
                    out.push_bind_param::<Binary, _>(id)?;
                }
                out.push_sql(" ORDER BY products.id DESC");
            }
            Order::CheapestFirst(after) => {
                let after = after.as_ref().map(|(price, id)| (price, id));
                push_after(out, ("products.price", ">"), ">", after, push_money)?;
                out.push_sql(" ORDER BY products.price, products.id");
            }
            Order::DearestFirst(after) => {
                let after = after.as_ref().map(|(price, id)| (price, id));
                push_after(out, ("products.price", "<"), "<", after, push_money)?;
                out.push_sql(" ORDER BY products.price DESC, products.id DESC");
            }
            Order::ByName(after) => {
                let after = after.as_ref().map(|(name, id)| (name, id));
                push_after(out, ("products.name", ">"), ">", after, |out, name| out.push_bind_param::<Text, _>(name))?;
                out.push_sql(" ORDER BY products.name, products.id");
            }
            Order::MostSoldFirst(after) => {
                let after = after.as_ref().map(|(sold, id)| (sold, id));
                push_after(out, (SOLD, "<"), ">", after, |out, sold| out.push_bind_param::<BigInt, _>(sold))?;
                out.push_sql(" ORDER BY sold DESC, products.id");
            }
        }
        Ok(())
    }
}

/// Items sold, in a list with sales.
const SOLD: &str = "COALESCE(sales.sold, 0)";

/// The products with all of these words in the search index.
pub(super) fn push_indexed<'b>(out: &mut AstPass<'_, 'b, Db>, words: &'b String) -> QueryResult<()> {
    out.push_sql(INDEXED.0);
    out.push_bind_param::<Text, _>(words)?;
    out.push_sql(INDEXED.1);
    Ok(())
}

/// Matches products with one of these values of the option.
fn push_option<'b>(out: &mut AstPass<'_, 'b, Db>, name: &'b String, values: &'b [String]) -> QueryResult<()> {
    out.push_sql(" AND EXISTS (SELECT 1 FROM product_options WHERE product_options.product_id = products.id");
    out.push_sql(" AND product_options.name = ");
    out.push_bind_param::<Text, _>(name)?;
    out.push_sql(" AND product_options.value IN (NULL");
    for value in values {
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(value)?;
    }
    out.push_sql("))");
    Ok(())
}

/// Matches rows after the last position: a later value, or the same value and a later id.
fn push_after<'b, T>(
    out: &mut AstPass<'_, 'b, Db>,
    (value, beyond): (&str, &str),
    id_beyond: &str,
    after: Option<(&'b T, &'b Id<ProductId>)>,
    push: impl Fn(&mut AstPass<'_, 'b, Db>, &'b T) -> QueryResult<()>,
) -> QueryResult<()> {
    let Some((last, last_id)) = after else { return Ok(()) };
    out.push_sql(&format!(" AND {value} {beyond}= "));
    push(out, last)?;
    out.push_sql(&format!(" AND ({value} {beyond} "));
    push(out, last)?;
    out.push_sql(&format!(" OR products.id {id_beyond} "));
    out.push_bind_param::<Binary, _>(last_id)?;
    out.push_sql(")");
    Ok(())
}

/// MySQL receives decimals as text and, without the cast, would compare them in floating point. For SQLite's integers
/// the cast has no effect.
fn push_money<'b>(out: &mut AstPass<'_, 'b, Db>, amount: &'b Amount) -> QueryResult<()> {
    out.push_sql("CAST(");
    out.push_bind_param::<MoneySql, _>(amount)?;
    out.push_sql(" AS DECIMAL(19,4))");
    Ok(())
}

impl Query for ProductList {
    type SqlType = (<ProductRow as Row>::SqlType, BigInt, BigInt);
}

impl QueryId for ProductList {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Db> for ProductList {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        if !self.options.is_empty() {
            out.unsafe_to_cache_prepared(); // As many texts as there are numbers of values.
        }
        out.push_sql("SELECT ");
        for column in ProductRow::KEYS.iter().chain(ProductRow::VALUES) {
            out.push_sql("products.");
            out.push_identifier(column.name)?;
            out.push_sql(", ");
        }
        out.push_sql("stocks.available, ");
        out.push_sql(if self.sold_since.is_some() { SOLD } else { "0" });
        out.push_sql(" AS sold");
        self.push_tables(&mut out)?;
        self.push_filter(&mut out)?;
        self.push_text(&mut out)?;
        self.push_order(&mut out)?;
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}
