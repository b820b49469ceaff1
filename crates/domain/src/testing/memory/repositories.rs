//! The write ports. Every constraint of the databases is said here once more.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use crate::audit::{AuditEntry, AuditRepository};
use crate::coupon::{Coupon, CouponCampaign, CouponRepository, CouponState};
use crate::delivery::Delivery;
use crate::id::{CampaignId, CouponId, EventId, OrderId, ProductId, UserId};
use crate::idempotency::{IdempotencyRecord, IdempotencyRepository, RequestKey};
use crate::order::{Order, OrderRepository};
use crate::outbox::{OutboxEvent, OutboxRepository};
use crate::payment::{Payment, PaymentRepository, Refund};
use crate::point::{PointAccount, PointEntry, PointRepository};
use crate::product::{Product, ProductOffer, ProductRepository};
use crate::sales::{SaleCounted, SalesRepository};
use crate::stock::{Stock, StockMovement, StockRepository};
use crate::store_error::StoreError;
use crate::testing::memory::delivery::DeliveryRow;
use crate::testing::memory::tables::{check, insert, require, rows};
use crate::testing::memory::unit_of_work::{MemoryUnitOfWork, RowKey, require_held};

#[async_trait]
impl PointRepository for MemoryUnitOfWork {
    async fn ensure_many(&mut self, ids: &BTreeSet<UserId>) -> Result<(), StoreError> {
        self.run(|tables, _| {
            let accounts = Arc::make_mut(&mut tables.accounts);
            for id in ids {
                accounts.entry(id.clone()).or_insert_with(|| PointAccount::empty(id.clone()));
            }
            Ok(())
        })
    }

    async fn lock_many(&mut self, ids: &BTreeSet<UserId>) -> Result<Vec<PointAccount>, StoreError> {
        self.run(|tables, held| {
            held.extend(ids.iter().cloned().map(RowKey::Account));
            Ok(rows(&tables.accounts, ids))
        })
    }

    async fn save_many(&mut self, accounts: &[PointAccount]) -> Result<(), StoreError> {
        self.run(|tables, held| {
            for account in accounts {
                require_held(held, RowKey::Account(account.user_id.clone()))?;
                check(!account.balance.is_negative(), || format!("the balance of {} is negative", account.user_id))?;
                require(&tables.accounts, &account.user_id)?;
                Arc::make_mut(&mut tables.accounts).insert(account.user_id.clone(), account.clone());
            }
            Ok(())
        })
    }

    async fn append_entries(&mut self, entries: &[PointEntry]) -> Result<(), StoreError> {
        self.run(|tables, _| {
            for entry in entries {
                require(&tables.accounts, &entry.user_id)?;
                entry.order_id.map_or(Ok(()), |id| require(&tables.orders, &id))?;
                check(!entry.balance_after.is_negative(), || format!("{:?} leaves less than nothing", entry.id))?;
                tables.claim_id("point entries", entry.id.uuid())?;
                insert(&mut tables.entries, (entry.user_id.clone(), entry.sequence), entry.clone())?;
            }
            Ok(())
        })
    }
}

#[async_trait]
impl ProductRepository for MemoryUnitOfWork {
    async fn lock_many(&mut self, ids: &BTreeSet<ProductId>) -> Result<Vec<Product>, StoreError> {
        self.run(|tables, held| {
            held.extend(ids.iter().copied().map(RowKey::Product));
            Ok(rows(&tables.products, ids))
        })
    }

    async fn lock_offers(&mut self, ids: &BTreeSet<ProductId>) -> Result<Vec<ProductOffer>, StoreError> {
        let products = ProductRepository::lock_many(self, ids).await?;
        Ok(products.iter().map(Product::offer).collect())
    }

    async fn insert_many(&mut self, products: &[Product]) -> Result<(), StoreError> {
        self.run(|tables, held| {
            for product in products {
                insert(&mut tables.products, product.id, product.clone())?;
                held.insert(RowKey::Product(product.id));
            }
            Ok(())
        })
    }

    async fn save_many(&mut self, products: &[Product]) -> Result<(), StoreError> {
        self.run(|tables, held| {
            for product in products {
                require_held(held, RowKey::Product(product.id))?;
                require(&tables.products, &product.id)?;
                Arc::make_mut(&mut tables.products).insert(product.id, product.clone());
            }
            Ok(())
        })
    }
}

#[async_trait]
impl StockRepository for MemoryUnitOfWork {
    async fn lock_many(&mut self, ids: &BTreeSet<ProductId>) -> Result<Vec<Stock>, StoreError> {
        self.run(|tables, held| {
            held.extend(ids.iter().copied().map(RowKey::Stock));
            Ok(rows(&tables.stocks, ids))
        })
    }

    async fn insert_many(&mut self, stocks: &[Stock]) -> Result<(), StoreError> {
        self.run(|tables, held| {
            for stock in stocks {
                require(&tables.products, &stock.product_id)?;
                insert(&mut tables.stocks, stock.product_id, stock.clone())?;
                held.insert(RowKey::Stock(stock.product_id));
            }
            Ok(())
        })
    }

    async fn save_many(&mut self, stocks: &[Stock]) -> Result<(), StoreError> {
        self.run(|tables, held| {
            for stock in stocks {
                require_held(held, RowKey::Stock(stock.product_id))?;
                require(&tables.stocks, &stock.product_id)?;
                Arc::make_mut(&mut tables.stocks).insert(stock.product_id, stock.clone());
            }
            Ok(())
        })
    }

    async fn append_movements(&mut self, movements: &[StockMovement]) -> Result<(), StoreError> {
        self.run(|tables, _| {
            for movement in movements {
                require(&tables.stocks, &movement.product_id)?;
                movement.order_id.map_or(Ok(()), |id| require(&tables.orders, &id))?;
                tables.claim_id("stock movements", movement.id.uuid())?;
                insert(&mut tables.movements, (movement.product_id, movement.sequence), movement.clone())?;
            }
            Ok(())
        })
    }
}

#[async_trait]
impl CouponRepository for MemoryUnitOfWork {
    async fn lock_campaigns(&mut self, ids: &BTreeSet<CampaignId>) -> Result<Vec<CouponCampaign>, StoreError> {
        self.run(|tables, held| {
            held.extend(ids.iter().copied().map(RowKey::Campaign));
            Ok(rows(&tables.campaigns, ids))
        })
    }

    async fn past_recipients(
        &mut self,
        pairs: &BTreeSet<(CampaignId, UserId)>,
    ) -> Result<BTreeSet<(CampaignId, UserId)>, StoreError> {
        self.run(|tables, _| {
            Ok(pairs.iter().filter(|pair| tables.past_recipients.contains_key(pair)).cloned().collect())
        })
    }

    async fn unused_of(&mut self, users: &BTreeSet<UserId>) -> Result<BTreeSet<CouponId>, StoreError> {
        let wanted = |coupon: &&Coupon| coupon.state == CouponState::Unused && users.contains(&coupon.user_id);
        self.run(|tables, _| Ok(tables.coupons.values().filter(wanted).map(|coupon| coupon.id).collect()))
    }

    async fn lock_many(&mut self, ids: &BTreeSet<CouponId>) -> Result<Vec<Coupon>, StoreError> {
        self.run(|tables, held| {
            held.extend(ids.iter().copied().map(RowKey::Coupon));
            Ok(rows(&tables.coupons, ids))
        })
    }

    async fn insert_campaigns(&mut self, campaigns: &[CouponCampaign]) -> Result<(), StoreError> {
        self.run(|tables, held| {
            for campaign in campaigns {
                check_issued(campaign)?;
                insert(&mut tables.campaigns, campaign.id, campaign.clone())?;
                held.insert(RowKey::Campaign(campaign.id));
            }
            Ok(())
        })
    }

    async fn save_campaigns(&mut self, campaigns: &[CouponCampaign]) -> Result<(), StoreError> {
        self.run(|tables, held| {
            for campaign in campaigns {
                require_held(held, RowKey::Campaign(campaign.id))?;
                check_issued(campaign)?;
                require(&tables.campaigns, &campaign.id)?;
                Arc::make_mut(&mut tables.campaigns).insert(campaign.id, campaign.clone());
            }
            Ok(())
        })
    }

    async fn insert_many(&mut self, coupons: &[Coupon]) -> Result<(), StoreError> {
        self.run(|tables, held| {
            for coupon in coupons {
                require(&tables.campaigns, &coupon.campaign_id)?;
                insert(&mut tables.past_recipients, (coupon.campaign_id, coupon.user_id.clone()), coupon.id)?;
                insert(&mut tables.coupons, coupon.id, coupon.clone())?;
                held.insert(RowKey::Coupon(coupon.id));
            }
            Ok(())
        })
    }

    async fn save_many(&mut self, coupons: &[Coupon]) -> Result<(), StoreError> {
        self.run(|tables, held| {
            for coupon in coupons {
                require_held(held, RowKey::Coupon(coupon.id))?;
                if let CouponState::Used { order_id, .. } = coupon.state {
                    require(&tables.orders, &order_id)?;
                }
                require(&tables.coupons, &coupon.id)?;
                let rows = Arc::make_mut(&mut tables.coupons);
                rows.entry(coupon.id).and_modify(|row| row.state = coupon.state);
            }
            Ok(())
        })
    }
}

fn check_issued(campaign: &CouponCampaign) -> Result<(), StoreError> {
    check(campaign.issued <= campaign.details.quantity, || format!("too many coupons of {} are issued", campaign.id))
}

#[async_trait]
impl OrderRepository for MemoryUnitOfWork {
    async fn lock_many(&mut self, ids: &BTreeSet<OrderId>) -> Result<Vec<Order>, StoreError> {
        self.run(|tables, held| {
            held.extend(ids.iter().copied().map(RowKey::Order));
            Ok(rows(&tables.orders, ids))
        })
    }

    async fn insert_many(&mut self, orders: &[Order]) -> Result<(), StoreError> {
        self.run(|tables, held| {
            for order in orders {
                for line in &order.lines {
                    require(&tables.products, &line.product_id)?;
                }
                insert(&mut tables.orders, order.id, order.clone())?;
                held.insert(RowKey::Order(order.id));
            }
            Ok(())
        })
    }

    async fn save_many(&mut self, orders: &[Order]) -> Result<(), StoreError> {
        self.run(|tables, held| {
            for order in orders {
                require_held(held, RowKey::Order(order.id))?;
                require(&tables.orders, &order.id)?;
                let rows = Arc::make_mut(&mut tables.orders);
                rows.entry(order.id).and_modify(|row| {
                    row.status = order.status;
                    row.paid.clone_from(&order.paid);
                    row.refunded = order.refunded;
                    row.refunds = order.refunds;
                });
            }
            Ok(())
        })
    }

    async fn save_lines(&mut self, orders: &[Order]) -> Result<(), StoreError> {
        self.run(|tables, held| {
            for order in orders {
                require_held(held, RowKey::Order(order.id))?;
                require(&tables.orders, &order.id)?;
                let rows = Arc::make_mut(&mut tables.orders);
                rows.entry(order.id).and_modify(|row| copy_progress_of_lines(order, row));
            }
            Ok(())
        })
    }
}

fn copy_progress_of_lines(order: &Order, row: &mut Order) {
    for line in &order.lines {
        for row in row.lines.iter_mut().filter(|row| row.product_id == line.product_id) {
            row.discount_share = line.discount_share;
            row.refunded_quantity = line.refunded_quantity;
        }
    }
}

#[async_trait]
impl PaymentRepository for MemoryUnitOfWork {
    async fn insert_many(&mut self, payments: &[Payment]) -> Result<(), StoreError> {
        self.run(|tables, _| {
            for payment in payments {
                require(&tables.orders, &payment.order_id)?;
                tables.claim_id("payments", payment.id.uuid())?;
                insert(&mut tables.payments, payment.order_id, payment.clone())?;
            }
            Ok(())
        })
    }

    async fn insert_refunds(&mut self, refunds: &[Refund]) -> Result<(), StoreError> {
        self.run(|tables, _| {
            for refund in refunds {
                require(&tables.orders, &refund.order_id)?;
                tables.claim_id("refunds", refund.id.uuid())?;
                insert(&mut tables.refunds, (refund.order_id, refund.sequence), refund.clone())?;
            }
            Ok(())
        })
    }
}

#[async_trait]
impl SalesRepository for MemoryUnitOfWork {
    async fn add_many(&mut self, sales: &[SaleCounted]) -> Result<(), StoreError> {
        self.run(|tables, _| {
            for sale in sales {
                require(&tables.products, &sale.product_id)?;
                let rows = Arc::make_mut(&mut tables.sales);
                let (quantity, revenue) = rows.entry((sale.day, sale.product_id)).or_default();
                let out_of_range = || StoreError::unexpected(format!("the sales of {} are out of range", sale.day));
                *quantity = quantity.checked_add(sale.quantity).ok_or_else(out_of_range)?;
                *revenue = revenue.checked_add(sale.revenue).ok_or_else(out_of_range)?;
            }
            Ok(())
        })
    }
}

#[async_trait]
impl OutboxRepository for MemoryUnitOfWork {
    async fn append_many(&mut self, events: &[OutboxEvent]) -> Result<(), StoreError> {
        self.run(|tables, _| {
            for event in events {
                require(&tables.orders, &event.order_id)?;
                insert(&mut tables.outbox, (event.order_id, event.sequence), event.clone())?;
                insert(&mut tables.deliveries, event.id, DeliveryRow::of(event))?;
            }
            Ok(())
        })
    }

    async fn lock_many(&mut self, ids: &BTreeSet<EventId>) -> Result<Vec<Delivery>, StoreError> {
        self.run(|tables, held| {
            held.extend(ids.iter().copied().map(RowKey::Event));
            Ok(rows(&tables.deliveries, ids).into_iter().map(DeliveryRow::into_delivery).collect())
        })
    }

    async fn save_many(&mut self, deliveries: &[Delivery]) -> Result<(), StoreError> {
        self.run(|tables, held| {
            for delivery in deliveries {
                require_held(held, RowKey::Event(delivery.event_id))?;
                require(&tables.deliveries, &delivery.event_id)?;
                Arc::make_mut(&mut tables.deliveries).insert(delivery.event_id, DeliveryRow::at_rest(delivery.clone()));
            }
            Ok(())
        })
    }
}

#[async_trait]
impl AuditRepository for MemoryUnitOfWork {
    async fn append_many(&mut self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        self.run(|tables, _| {
            for entry in entries {
                insert(&mut tables.audit, entry.id, entry.clone())?;
            }
            Ok(())
        })
    }
}

#[async_trait]
impl IdempotencyRepository for MemoryUnitOfWork {
    async fn find_many(&mut self, keys: &BTreeSet<RequestKey>) -> Result<Vec<IdempotencyRecord>, StoreError> {
        self.run(|tables, _| Ok(rows(&tables.answered, keys)))
    }

    async fn insert_many(&mut self, records: &[IdempotencyRecord]) -> Result<(), StoreError> {
        self.run(|tables, _| {
            for record in records {
                insert(&mut tables.answered, record.claim.key, record.clone())?;
            }
            Ok(())
        })
    }
}
