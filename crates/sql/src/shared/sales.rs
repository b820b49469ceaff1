use async_trait::async_trait;
use diesel::QueryResult;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Date as DateSql};
use diesel_async::RunQueryDsl as _;
use futures_util::FutureExt as _;
use jangteo_domain::StoreError;
use jangteo_domain::id::ProductId;
use jangteo_domain::sales::{PopularProduct, SalesQueries};
use jangteo_domain::time::Date;

use super::store::Store;
use super::{Db, THEN_JOIN};
use crate::types::{Amount, Id, Integer, MoneySql};

#[async_trait]
impl SalesQueries for Store {
    async fn popular(&self, from: Date, to: Date, limit: u32) -> Result<Vec<PopularProduct>, StoreError> {
        let query = Popular { from, to, limit: i64::from(limit) };
        let popular = self
            .read_lagging(|connection| async move { Ok(query.load::<PopularRow>(connection).await?) }.boxed())
            .await?;
        let product = |(product_id, quantity_sold, revenue): PopularRow| PopularProduct {
            product_id: product_id.0,
            quantity_sold: quantity_sold.0,
            revenue: revenue.0,
        };
        Ok(popular.into_iter().map(product).collect())
    }
}

/// The best-selling products on sale, in raw SQL: Diesel types a sum differently in each dialect.
#[derive(Debug, Clone, QueryId)]
struct Popular {
    from: Date,
    to: Date,
    limit: i64,
}

type PopularRow = (Id<ProductId>, Integer<i64>, Amount);

impl Query for Popular {
    type SqlType = (Binary, BigInt, MoneySql);
}

impl QueryFragment<Db> for Popular {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        out.push_sql(
            "SELECT sales.product_id, sales.sold, sales.earned FROM (SELECT product_id, \
             CAST(SUM(quantity) AS SIGNED) AS sold, SUM(revenue) AS earned FROM daily_sales WHERE day BETWEEN ",
        );
        out.push_bind_param::<DateSql, _>(&self.from)?;
        out.push_sql(" AND ");
        out.push_bind_param::<DateSql, _>(&self.to)?;
        // The sales are sorted before they are joined, which ends with the last row of the page.
        out.push_sql(&format!(
            " GROUP BY product_id HAVING sold > 0) AS sales{THEN_JOIN}products ON products.id = sales.product_id \
             WHERE products.status = 'on_sale' ORDER BY sales.sold DESC, sales.earned DESC, sales.product_id LIMIT "
        ));
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}
