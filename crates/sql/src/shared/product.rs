use async_trait::async_trait;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Date as DateSql, Text};
use diesel_async::{AsyncConnection as _, RunQueryDsl};
use futures_util::FutureExt as _;
use jangteo_domain::StoreError;
use jangteo_domain::id::ProductId;
use jangteo_domain::page::Page;
use jangteo_domain::product::{
    OptionValue, Product, ProductFilter, ProductKey, ProductListing, ProductQueries, ProductSort, Sku,
};
use jangteo_domain::time::Date;

use super::product_search::search;
use super::store::{Failure, Store};
use super::{Conn, Db, INDEXED, IS_ON_SALE_BY_ID, THEN_JOIN, push_deadline};
use crate::SearchLimits;
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
        let (sort, limits) = (filter.sort, self.search_limits);
        let parts = parts(filter, page)?;
        let rows = if filter.text.is_some() {
            self.search(move |connection| load(connection, parts, limits).boxed()).await?
        } else {
            self.read_lagging(move |connection| load(connection, parts, limits).boxed()).await?
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

/// The parts of a list, each in its order. By popularity these are the products that sold, found by their sales, and then
/// the others in the order of a key, so that no page sorts all products.
fn parts(filter: &ProductFilter, page: &Page<ProductKey>) -> Result<Vec<ProductList>, StoreError> {
    let orders = Order::of_parts(filter.sort, page.after.clone())?;
    Ok(orders.into_iter().map(|order| ProductList::new(filter, order, page.limit.into())).collect())
}

/// Fills one page from the parts, in one snapshot: a sale moves a product to another part.
async fn load(connection: &mut Conn, parts: Vec<ProductList>, limits: SearchLimits) -> Result<Vec<ListRow>, Failure> {
    if let [part] = &*parts {
        return load_part(connection, part.clone(), limits).await;
    }
    let load = connection.transaction(async move |connection| {
        let mut rows = Vec::new();
        for part in parts {
            let missing = part.limit - i64::try_from(rows.len()).unwrap_or(i64::MAX);
            if missing > 0 {
                rows.append(&mut load_part(connection, ProductList { limit: missing, ..part }, limits).await?);
            }
        }
        Ok(rows)
    });
    load.await
}

async fn load_part(connection: &mut Conn, part: ProductList, limits: SearchLimits) -> Result<Vec<ListRow>, Failure> {
    match part.text {
        Some(_) => search(connection, part, limits).await,
        None => Ok(part.load(connection).await?),
    }
}

pub(super) type ListRow = (ProductRow, Integer<u64>, Integer<i64>);

/// A part of a product list, in raw SQL: joins and conditions depend on the filter. Each sort ends with the id and is
/// that of an index, except that of the sales; the explicit bound on its first column makes the database enter the index
/// there.
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
    /// The products that sold since that day.
    MostSoldFirst(Date, Option<(i64, Id<ProductId>)>),
    /// The products that did not sell since that day, oldest first.
    Unsold(Date, Option<Id<ProductId>>),
}

impl Order {
    fn of_parts(sort: ProductSort, after: Option<ProductKey>) -> Result<Vec<Self>, StoreError> {
        Ok(match (sort, after) {
            (ProductSort::Newest, None) => vec![Self::NewestFirst(None)],
            (ProductSort::Newest, Some(ProductKey::Newest(id))) => vec![Self::NewestFirst(Some(Id(id)))],
            (ProductSort::PriceAscending, None) => vec![Self::CheapestFirst(None)],
            (ProductSort::PriceAscending, Some(ProductKey::Price(price, id))) => {
                vec![Self::CheapestFirst(Some((Amount(price), Id(id))))]
            }
            (ProductSort::PriceDescending, None) => vec![Self::DearestFirst(None)],
            (ProductSort::PriceDescending, Some(ProductKey::Price(price, id))) => {
                vec![Self::DearestFirst(Some((Amount(price), Id(id))))]
            }
            (ProductSort::Name, None) => vec![Self::ByName(None)],
            (ProductSort::Name, Some(ProductKey::Name(name, id))) => vec![Self::ByName(Some((name, Id(id))))],
            (ProductSort::Popular { since }, None) => {
                vec![Self::MostSoldFirst(since, None), Self::Unsold(since, None)]
            }
            (ProductSort::Popular { since }, Some(ProductKey::Popular(sold, id))) if sold <= 0 => {
                vec![Self::Unsold(since, Some(Id(id)))]
            }
            (ProductSort::Popular { since }, Some(ProductKey::Popular(sold, id))) => {
                vec![Self::MostSoldFirst(since, Some((sold, Id(id)))), Self::Unsold(since, None)]
            }
            (_, Some(_)) => return Err(StoreError::unexpected("a page after a key of another sort")),
        })
    }

    fn is_by_id(&self) -> bool {
        matches!(self, Self::NewestFirst(_) | Self::Unsold(..))
    }
}

impl ProductList {
    fn new(filter: &ProductFilter, order: Order, limit: i64) -> Self {
        let words = |values: &[OptionValue]| values.iter().map(|value| value.as_str().to_owned()).collect();
        Self {
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
            order,
            limit,
        }
    }

    /// The same list from another source.
    pub fn from(&self, source: Source, deadline: Deadline) -> Self {
        Self { source, deadline: Some(deadline), ..self.clone() }
    }

    pub fn is_by_sales(&self) -> bool {
        matches!(self.order, Order::MostSoldFirst(..))
    }

    /// From a source of few products, as from the sales in their order, the joins follow in this order: each begins with a
    /// key, not in another order of the list.
    fn push_tables<'b>(&'b self, out: &mut AstPass<'_, 'b, Db>) -> QueryResult<()> {
        let (texts, join) = match &self.source {
            Source::All if self.is_by_sales() => (self.text.is_some(), THEN_JOIN),
            Source::All => (self.text.is_some(), " JOIN "),
            Source::First(_) | Source::Indexed(_) => (false, THEN_JOIN),
        };
        match (&self.source, &self.order) {
            (Source::All, Order::MostSoldFirst(since, _)) => {
                out.push_sql(" FROM (");
                push_sales(out, since)?;
                out.push_sql(&format!(") AS sales{join}products ON products.id = sales.product_id"));
            }
            (Source::All, _) => out.push_sql(" FROM products"),
            (Source::First(products), _) => {
                out.push_sql(" FROM (SELECT products.id AS product_id FROM products");
                self.push_key_filter(out)?;
                self.push_order(out)?;
                out.push_sql(" LIMIT ");
                out.push_bind_param::<BigInt, _>(products)?;
            }
            (Source::Indexed(words), _) => {
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
            out.push_sql(&format!("{join}product_search_texts ON product_search_texts.product_id = products.id"));
        }
        if let (Source::Indexed(_), Order::MostSoldFirst(since, _)) = (&self.source, &self.order) {
            out.push_sql(&format!("{join}("));
            push_sales(out, since)?;
            out.push_sql(") AS sales ON sales.product_id = products.id");
        }
        Ok(())
    }

    fn push_filter<'b>(&'b self, out: &mut AstPass<'_, 'b, Db>) -> QueryResult<()> {
        let is_by_id = self.order.is_by_id() && self.price_min.or(self.price_max).is_none();
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
        if let Order::Unsold(since, _) = &self.order {
            out.push_sql(" AND products.id NOT IN (SELECT product_id FROM (");
            push_sales(out, since)?;
            out.push_sql(") AS sales)");
        }
        if let Some(deadline) = &self.deadline {
            push_deadline(out, deadline)?;
        }
        self.options.iter().try_for_each(|(name, values)| push_option(out, name, values))
    }

    /// The part of the filter that an index in the list's order decides. Any other part could read all products to find few.
    fn push_key_filter<'b>(&'b self, out: &mut AstPass<'_, 'b, Db>) -> QueryResult<()> {
        self.push_status(self.order.is_by_id(), out);
        match self.order {
            Order::NewestFirst(_) | Order::Unsold(..) => self.push_category(out),
            Order::CheapestFirst(_) | Order::DearestFirst(_) => self.push_prices(out),
            Order::ByName(_) | Order::MostSoldFirst(..) => Ok(()),
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
            Order::MostSoldFirst(_, after) => {
                let after = after.as_ref().map(|(sold, id)| (sold, id));
                push_after(out, ("sales.sold", "<"), ">", after, |out, sold| out.push_bind_param::<BigInt, _>(sold))?;
                out.push_sql(" ORDER BY sales.sold DESC, sales.product_id");
            }
            Order::Unsold(_, after) => {
                if let Some(id) = after {
                    out.push_sql(" AND products.id > ");
                    out.push_bind_param::<Binary, _>(id)?;
                }
                out.push_sql(" ORDER BY products.id");
            }
        }
        Ok(())
    }
}

/// The products that sold since that day, with the items sold.
fn push_sales<'b>(out: &mut AstPass<'_, 'b, Db>, since: &'b Date) -> QueryResult<()> {
    out.push_sql("SELECT product_id, CAST(SUM(quantity) AS SIGNED) AS sold FROM daily_sales WHERE day >= ");
    out.push_bind_param::<DateSql, _>(since)?;
    out.push_sql(" GROUP BY product_id HAVING sold > 0");
    Ok(())
}

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
        out.push_sql(if self.is_by_sales() { "sales.sold" } else { "0" });
        out.push_sql(" AS sold");
        self.push_tables(&mut out)?;
        self.push_filter(&mut out)?;
        self.push_text(&mut out)?;
        self.push_order(&mut out)?;
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}
