use async_trait::async_trait;
use diesel::QueryResult;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool};
use diesel_async::RunQueryDsl;
use futures_util::FutureExt as _;
use jangteo_domain::StoreError;
use jangteo_domain::overview::{Overview, OverviewLimits, OverviewQueries};

use super::Db;
use super::store::{Store, now};
use crate::rows::coupon::CampaignRow;
use crate::schema::coupon_campaigns;
use crate::types::{At, Integer};

/// Open orders, their items, products sold out and nearly, pending and dead events.
type Counts = (Integer<u64>, Integer<u64>, Integer<u64>, Integer<u64>, Integer<u64>, Integer<u64>);

#[async_trait]
impl OverviewQueries for Store {
    async fn overview(&self, limits: OverviewLimits) -> Result<Overview, StoreError> {
        let read = self.read_lagging(move |connection| {
            async move {
                let now = now(connection).await?;
                let count = CountShop { nearly_sold_out: limits.nearly_sold_out.into(), events: limits.events.into() };
                let counts: Counts = count.get_result(connection).await?;
                let campaigns = coupon_campaigns::table
                    .filter(coupon_campaigns::issue_closes_at.gt(At(now)))
                    .filter(coupon_campaigns::issue_opens_at.le(At(now)))
                    .filter(sql::<Bool>("(quantity - issued) * 10 <= quantity"))
                    .order((coupon_campaigns::issue_closes_at.asc(), coupon_campaigns::id.asc()))
                    .limit(limits.campaigns.into())
                    .select(CampaignRow::as_select());
                let campaigns: Vec<CampaignRow> = campaigns.load(connection).await?;
                Ok((now, counts, campaigns))
            }
            .boxed()
        });
        let (now, counts, campaigns) = read.await?;
        let (open_orders, open_quantity, sold_out, nearly_sold_out, pending_events, dead_events) = counts;
        Ok(Overview {
            now,
            open_orders: open_orders.0,
            open_quantity: open_quantity.0,
            sold_out: sold_out.0,
            nearly_sold_out: nearly_sold_out.0,
            campaigns_running_out: campaigns.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            pending_events: pending_events.0,
            dead_events: dead_events.0,
        })
    }
}

/// Counts rows by indexes on status and stock, in raw SQL: one round trip.
#[derive(Debug, Clone, Copy, QueryId)]
struct CountShop {
    nearly_sold_out: i64,
    events: i64,
}

impl Query for CountShop {
    type SqlType = (BigInt, BigInt, BigInt, BigInt, BigInt, BigInt);
}

impl QueryFragment<Db> for CountShop {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        const SOLD: &str = "SELECT COUNT(*) FROM stocks CROSS JOIN products ON products.id = stocks.product_id \
                            WHERE products.status = 'on_sale' AND stocks.available";
        out.push_sql(
            "SELECT (SELECT COUNT(*) FROM orders WHERE status = 'pending_payment'), \
             (SELECT CAST(COALESCE(SUM(order_lines.quantity), 0) AS SIGNED) FROM orders \
             JOIN order_lines ON order_lines.order_id = orders.id WHERE orders.status = 'pending_payment'), (",
        );
        out.push_sql(SOLD);
        out.push_sql(" = 0), (");
        out.push_sql(SOLD);
        out.push_sql(" BETWEEN 1 AND ");
        out.push_bind_param::<BigInt, _>(&self.nearly_sold_out)?;
        out.push_sql(")");
        for state in ["pending", "dead"] {
            out.push_sql(&format!(
                ", (SELECT COUNT(*) FROM (SELECT id FROM outbox_events WHERE state = '{state}' LIMIT "
            ));
            out.push_bind_param::<BigInt, _>(&self.events)?;
            out.push_sql(&format!(") AS {state}_events)"));
        }
        Ok(())
    }
}
