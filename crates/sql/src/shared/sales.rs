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

use super::Db;
use super::store::Store;
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
            "SELECT daily_sales.product_id, CAST(SUM(daily_sales.quantity) AS SIGNED) AS sold, \
             SUM(daily_sales.revenue) AS earned \
             FROM daily_sales JOIN products ON products.id = daily_sales.product_id \
             WHERE products.status = 'on_sale' AND daily_sales.day BETWEEN ",
        );
        out.push_bind_param::<DateSql, _>(&self.from)?;
        out.push_sql(" AND ");
        out.push_bind_param::<DateSql, _>(&self.to)?;
        out.push_sql(
            " GROUP BY daily_sales.product_id HAVING sold > 0 ORDER BY sold DESC, earned DESC, daily_sales.product_id \
             LIMIT ",
        );
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}
