//! The read ports.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::memory::MemoryStore;
use crate::memory::tables::Tables;
use jangteo_domain::audit::{AuditEntry, AuditFilter, AuditQueries};
use jangteo_domain::coupon::{Coupon, CouponCampaign, CouponFilter, CouponQueries, CouponState};
use jangteo_domain::id::{AuditEntryId, CampaignId, CouponId, OrderId, ProductId, RevocationId, UserId};
use jangteo_domain::money::Money;
use jangteo_domain::order::{DueOrder, Order, OrderFilter, OrderQueries, OrderRecord, OrderStatus, OrderTrail};
use jangteo_domain::page::{AsOf, Page};
use jangteo_domain::payment::Refund;
use jangteo_domain::point::{PointAccount, PointEntry, PointQueries};
use jangteo_domain::product::{
    Product, ProductFilter, ProductKey, ProductListing, ProductQueries, ProductSort, ProductStatus, Sku,
};
use jangteo_domain::queries::DatabaseClock;
use jangteo_domain::sales::{PopularProduct, SalesQueries};
use jangteo_domain::stock::{StockMovement, StockQueries};
use jangteo_domain::store_error::StoreError;
use jangteo_domain::time::{Date, Timestamp};
use jangteo_domain::token::{Revocation, RevocationQueries};

/// The page's rows after its key, newest first.
pub(super) fn newest_first<'a, Key: Ord + 'a, Row: Clone + 'a>(
    rows: impl DoubleEndedIterator<Item = &'a Row>,
    key: impl Fn(&Row) -> Key,
    page: &Page<Key>,
) -> Vec<Row> {
    let is_after = |row: &&Row| page.after.as_ref().is_none_or(|after| key(row) < *after);
    rows.rev().filter(is_after).take(row_count(page)).cloned().collect()
}

fn row_count<Key>(page: &Page<Key>) -> usize {
    usize::try_from(page.limit).unwrap_or(usize::MAX)
}

#[async_trait]
impl PointQueries for MemoryStore {
    async fn account(&self, user_id: &UserId) -> Result<Option<PointAccount>, StoreError> {
        let account = self.committed().accounts.get(user_id).cloned();
        Ok(account.map(PointAccount::from_stored).transpose()?)
    }

    async fn entries(&self, user_id: &UserId, page: &Page<u64>) -> Result<Vec<PointEntry>, StoreError> {
        let tables = self.committed();
        let entries = tables.entries.values().filter(|entry| entry.user_id == *user_id);
        Ok(newest_first(entries, |entry| entry.sequence, page))
    }
}

#[async_trait]
impl StockQueries for MemoryStore {
    async fn movements(&self, product_id: ProductId, page: &Page<u64>) -> Result<Vec<StockMovement>, StoreError> {
        let tables = self.committed();
        let movements = tables.movements.values().filter(|movement| movement.product_id == product_id);
        Ok(newest_first(movements, |movement| movement.sequence, page))
    }

    async fn available(&self, ids: &BTreeSet<ProductId>) -> Result<BTreeMap<ProductId, u64>, StoreError> {
        let tables = self.committed();
        let stocks = ids.iter().filter_map(|id| tables.stocks.get(id));
        Ok(stocks.map(|stock| (stock.product_id, stock.available)).collect())
    }
}

#[async_trait]
impl CouponQueries for MemoryStore {
    async fn campaigns(&self, page: &Page<CampaignId>) -> Result<Vec<CouponCampaign>, StoreError> {
        let campaigns = newest_first(self.committed().campaigns.values(), |campaign| campaign.id, page);
        campaigns.into_iter().map(|campaign| Ok(CouponCampaign::from_stored(campaign)?)).collect()
    }

    async fn campaign(&self, id: CampaignId) -> Result<Option<CouponCampaign>, StoreError> {
        let campaign = self.committed().campaigns.get(&id).cloned();
        Ok(campaign.map(CouponCampaign::from_stored).transpose()?)
    }

    async fn coupons(
        &self,
        user_id: &UserId,
        filter: CouponFilter,
        page: &Page<CouponId>,
    ) -> Result<AsOf<Vec<Coupon>>, StoreError> {
        Ok(self.coupons_of(|coupon| coupon.user_id == *user_id, filter, page))
    }

    async fn coupons_of_campaign(
        &self,
        campaign_id: CampaignId,
        filter: CouponFilter,
        page: &Page<CouponId>,
    ) -> Result<AsOf<Vec<Coupon>>, StoreError> {
        Ok(self.coupons_of(|coupon| coupon.campaign_id == campaign_id, filter, page))
    }

    async fn unused(&self, user_id: &UserId) -> Result<AsOf<Vec<Coupon>>, StoreError> {
        let unused = |coupon: &&Coupon| coupon.user_id == *user_id && coupon.state == CouponState::Unused;
        Ok(AsOf { now: self.time(), value: self.committed().coupons.values().filter(unused).cloned().collect() })
    }
}

impl MemoryStore {
    fn coupons_of(
        &self,
        is_of: impl Fn(&Coupon) -> bool,
        filter: CouponFilter,
        page: &Page<CouponId>,
    ) -> AsOf<Vec<Coupon>> {
        let (now, tables) = (self.time(), self.committed());
        let wanted = |coupon: &&Coupon| {
            is_of(coupon)
                && match filter {
                    CouponFilter::Only(status) => coupon.status(now) == status,
                    CouponFilter::All => true,
                }
        };
        let coupons = tables.coupons.values().filter(wanted);
        AsOf { now, value: newest_first(coupons, |coupon| coupon.id, page) }
    }
}

/// The newest rows of an order, up to the limit.
fn newest_of<'a, Key: Ord, Row: Clone + 'a>(
    rows: impl Iterator<Item = &'a Row>,
    key: impl Fn(&Row) -> Key,
    limit: u32,
) -> Vec<Row> {
    let mut rows: Vec<Row> = rows.cloned().collect();
    rows.sort_by_key(|row| Reverse(key(row)));
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    rows
}

#[async_trait]
impl OrderQueries for MemoryStore {
    async fn find(&self, id: OrderId) -> Result<AsOf<Option<Order>>, StoreError> {
        let order = self.committed().orders.get(&id).cloned();
        Ok(AsOf { now: self.time(), value: order.map(Order::from_stored).transpose()? })
    }

    async fn list(&self, filter: &OrderFilter, page: &Page<OrderId>) -> Result<AsOf<Vec<Order>>, StoreError> {
        let tables = self.committed();
        let ids = filter.id_range();
        let wanted = |order: &&OrderRecord| {
            ids.contains(&order.id)
                && filter.user_id.as_ref().is_none_or(|user_id| order.user_id == *user_id)
                && filter.product_id.is_none_or(|id| order.lines.iter().any(|line| line.product_id == id))
                && filter.status.is_none_or(|status| order.status == status)
                && filter.from.is_none_or(|from| order.created_at >= from)
                && filter.to.is_none_or(|to| order.created_at < to)
        };
        let orders = newest_first(tables.orders.values().filter(wanted), |order| order.id, page);
        let orders = orders.into_iter().map(Order::from_stored).collect::<Result<_, _>>()?;
        Ok(AsOf { now: self.time(), value: orders })
    }

    async fn refunds(&self, order_id: OrderId, page: &Page<u32>) -> Result<Vec<Refund>, StoreError> {
        let tables = self.committed();
        let refunds = tables.refunds.values().filter(|refund| refund.order_id == order_id);
        Ok(newest_first(refunds, |refund| refund.sequence, page))
    }

    async fn trail(&self, id: OrderId, limit: u32) -> Result<AsOf<Option<OrderTrail>>, StoreError> {
        let (now, tables) = (self.time(), self.committed());
        let Some(order) = tables.orders.get(&id) else { return Ok(AsOf { now, value: None }) };
        let refunds = tables.refunds.values().filter(|refund| refund.order_id == id);
        let events = tables.deliveries.values().filter(|delivery| delivery.order_id == id);
        let movements = tables.movements.values().filter(|movement| movement.order_id == Some(id));
        let entries = tables.entries.values().filter(|entry| entry.order_id == Some(id));
        let trail = OrderTrail {
            order: Order::from_stored(order.clone())?,
            refunds: newest_of(refunds, |refund| refund.sequence, limit),
            events: newest_of(events, |event| event.sequence, limit),
            movements: newest_of(movements, |movement| movement.id, limit),
            entries: newest_of(entries, |entry| entry.id, limit),
        };
        Ok(AsOf { now, value: Some(trail) })
    }

    async fn due(&self, after: Option<DueOrder>, limit: u32) -> Result<Vec<DueOrder>, StoreError> {
        let (now, tables) = (self.time(), self.committed());
        let due = |order: &&OrderRecord| order.status == OrderStatus::PendingPayment && now >= order.expires_at;
        let due = tables.orders.values().filter(due);
        let due = due.map(|order| DueOrder { expires_at: order.expires_at, id: order.id });
        let mut due: Vec<_> = due.filter(|due| Some(*due) > after).collect();
        due.sort_unstable();
        due.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(due)
    }
}

#[async_trait]
impl SalesQueries for MemoryStore {
    async fn popular(&self, from: Date, to: Date, limit: u32) -> Result<Vec<PopularProduct>, StoreError> {
        let tables = self.committed();
        let mut popular: Vec<_> = sales_between(&tables, from, to)
            .into_iter()
            .map(|(product_id, (quantity_sold, revenue))| PopularProduct { product_id, quantity_sold, revenue })
            .filter(|sold| sold.quantity_sold > 0 && is_on_sale(&tables.products[&sold.product_id]))
            .collect();
        popular.sort_by_key(|sold| (Reverse(sold.quantity_sold), Reverse(sold.revenue), sold.product_id));
        popular.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(popular)
    }
}

fn sales_between(tables: &Tables, from: Date, to: Date) -> BTreeMap<ProductId, (i64, Money)> {
    let mut sales: BTreeMap<ProductId, (i64, Money)> = BTreeMap::new();
    for ((day, product_id), (quantity, revenue)) in tables.sales.iter() {
        if (from..=to).contains(day) {
            let sum = sales.entry(*product_id).or_default();
            sum.0 += quantity;
            sum.1 = sum.1.checked_add(*revenue).expect("a test's revenue is in range");
        }
    }
    sales
}

fn is_on_sale(product: &Product) -> bool {
    product.details.status == ProductStatus::OnSale
}

#[async_trait]
impl DatabaseClock for MemoryStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.time())
    }
}

#[async_trait]
impl ProductQueries for MemoryStore {
    async fn list(
        &self,
        filter: &ProductFilter,
        page: &Page<ProductKey>,
    ) -> Result<Vec<(ProductListing, ProductKey)>, StoreError> {
        let tables = self.committed();
        let sold = match filter.sort {
            ProductSort::Popular { since } => sales_between(&tables, since, Date::MAX),
            ProductSort::Newest | ProductSort::PriceAscending | ProductSort::PriceDescending | ProductSort::Name => {
                BTreeMap::new()
            }
        };
        let mut rows: Vec<_> = tables
            .products
            .values()
            .map(|product| listing(&tables, product))
            .filter(|listing| passes(filter, listing))
            .map(|listing| {
                let key = key_of(filter.sort, &listing.product, &sold);
                (listing, key)
            })
            .collect();
        rows.sort_by(|(_, a), (_, b)| compare(filter.sort, a, b));
        let is_after = |key: &ProductKey| {
            page.after.as_ref().is_none_or(|after| compare(filter.sort, after, key) == Ordering::Less)
        };
        Ok(rows.into_iter().filter(|(_, key)| is_after(key)).take(row_count(page)).collect())
    }

    async fn find(&self, id: ProductId) -> Result<Option<ProductListing>, StoreError> {
        let tables = self.committed();
        Ok(tables.products.get(&id).map(|product| listing(&tables, product)))
    }

    async fn find_many(&self, ids: &[ProductId]) -> Result<Vec<ProductListing>, StoreError> {
        let tables = self.committed();
        let products = ids.iter().filter_map(|id| tables.products.get(id));
        Ok(products.map(|product| listing(&tables, product)).collect())
    }

    async fn find_by_skus(&self, skus: &[Sku]) -> Result<Vec<ProductListing>, StoreError> {
        let tables = self.committed();
        let products = skus.iter().filter_map(|sku| tables.product_of_sku(sku));
        Ok(products.map(|product| listing(&tables, product)).collect())
    }
}

fn listing(tables: &Tables, product: &Product) -> ProductListing {
    let available = tables.stocks.get(&product.id).map_or(0, |stock| stock.available);
    ProductListing { product: product.clone(), available }
}

fn passes(filter: &ProductFilter, listing: &ProductListing) -> bool {
    let details = &listing.product.details;
    let price = details.price.get();
    let holds = |wanted: &str, text: &str| text.to_lowercase().contains(&wanted.to_lowercase());
    let has_option =
        |name, values: &[_]| details.options.iter().any(|(has, value)| has == name && values.contains(value));

    (filter.all_states || is_on_sale(&listing.product))
        && filter.category.as_ref().is_none_or(|category| details.category == *category)
        && filter.options.iter().all(|(name, values)| has_option(name, values))
        && filter.text.as_ref().is_none_or(|text| {
            holds(text.as_str(), details.name.as_str()) || holds(text.as_str(), details.description.as_str())
        })
        && filter.price.min.is_none_or(|min| price >= min)
        && filter.price.max.is_none_or(|max| price <= max)
        && (!filter.in_stock || listing.available > 0)
        && filter.max_available.is_none_or(|max| listing.available <= max)
}

fn key_of(sort: ProductSort, product: &Product, sold: &BTreeMap<ProductId, (i64, Money)>) -> ProductKey {
    match sort {
        ProductSort::Newest => ProductKey::Newest(product.id),
        ProductSort::PriceAscending | ProductSort::PriceDescending => {
            ProductKey::Price(product.details.price.get(), product.id)
        }
        ProductSort::Name => ProductKey::Name(product.details.name.as_str().to_owned(), product.id),
        ProductSort::Popular { .. } => {
            ProductKey::Popular(sold.get(&product.id).map_or(0, |(quantity, _)| (*quantity).max(0)), product.id)
        }
    }
}

/// Compares two positions in a list. Panics on a key of another sort.
fn compare(sort: ProductSort, a: &ProductKey, b: &ProductKey) -> Ordering {
    match (sort, a, b) {
        (ProductSort::Newest, ProductKey::Newest(a), ProductKey::Newest(b)) => b.cmp(a),
        (ProductSort::PriceAscending, ProductKey::Price(a, a_id), ProductKey::Price(b, b_id)) => {
            (a, a_id).cmp(&(b, b_id))
        }
        (ProductSort::PriceDescending, ProductKey::Price(a, a_id), ProductKey::Price(b, b_id)) => {
            (b, b_id).cmp(&(a, a_id))
        }
        (ProductSort::Name, ProductKey::Name(a, a_id), ProductKey::Name(b, b_id)) => (a, a_id).cmp(&(b, b_id)),
        (ProductSort::Popular { .. }, ProductKey::Popular(a, a_id), ProductKey::Popular(b, b_id)) => {
            (b, a_id).cmp(&(a, b_id))
        }
        _ => panic!("{a:?} and {b:?} are not keys of {sort:?}"),
    }
}

#[async_trait]
impl AuditQueries for MemoryStore {
    async fn list(&self, filter: &AuditFilter, page: &Page<AuditEntryId>) -> Result<Vec<AuditEntry>, StoreError> {
        let tables = self.committed();
        let wanted = |entry: &&AuditEntry| {
            filter.actor.as_ref().is_none_or(|actor| entry.actor == *actor)
                && filter.subject_id.as_ref().is_none_or(|subject_id| entry.subject_id == *subject_id)
        };
        Ok(newest_first(tables.audit.values().filter(wanted), |entry| entry.id, page))
    }
}

#[async_trait]
impl RevocationQueries for MemoryStore {
    async fn all(&self) -> Result<Vec<Revocation>, StoreError> {
        Ok(self.committed().revocations.values().cloned().collect())
    }

    async fn list(&self, page: &Page<RevocationId>) -> Result<Vec<Revocation>, StoreError> {
        Ok(newest_first(self.committed().revocations.values(), |revocation| revocation.id, page))
    }
}
