use std::collections::{BTreeMap, BTreeSet};

use time::macros::date;

use jangteo_domain::coupon::{Coupon, CouponFilter, CouponState};
use jangteo_domain::id::{CampaignId, CouponId, ProductId, UserId};
use jangteo_domain::money::Money;
use jangteo_domain::order::{Order, OrderFilter, OrderLine, OrderStatus};
use jangteo_domain::point::{EntryKind, PointAccount, PointAccountRecord, PointEntry};
use jangteo_domain::product::{ProductListing, ProductStatus};
use jangteo_domain::retention::Retention;
use jangteo_domain::sales::PopularProduct;
use jangteo_domain::stock::{MovementKind, StockMovement};
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::fixtures::{account_with, rules};
use jangteo_domain::verification::verify;

use crate::contract::harness::{StoreHarness, walk};

/// The users, products and campaigns under verification.
#[derive(Clone, Default, Debug)]
#[expect(missing_docs, reason = "the fields' names say it")]
pub struct Participants {
    pub users: Vec<UserId>,
    pub products: Vec<ProductId>,
    pub campaigns: Vec<CampaignId>,
}

/// Recomputes the books from the append-only rows and compares all other rows.
///
/// # Errors
/// Those of the store.
///
/// # Panics
/// On any difference.
pub async fn assert_books_agree(harness: &dyn StoreHarness, participants: &Participants) -> Result<(), StoreError> {
    let mut books = Books::default();
    for user_id in &participants.users {
        books.read_user(harness, user_id).await?;
    }
    for product_id in &participants.products {
        books.read_product(harness, *product_id).await?;
    }
    let mut findings = Vec::new();
    verify(&mut *harness.books().open().await?, &Retention::default(), &mut (), &mut |finding| findings.push(finding))
        .await?;
    assert_eq!(findings, []);
    books.check_payments(harness).await;
    books.check_coupons(harness, &participants.campaigns).await?;
    books.check_sales(harness, &participants.products).await
}

#[derive(Default)]
struct Books {
    orders: Vec<Order>,
    entries: Vec<PointEntry>,
    coupons: Vec<Coupon>,
}

impl Books {
    async fn read_user(&mut self, harness: &dyn StoreHarness, user_id: &UserId) -> Result<(), StoreError> {
        let queries = harness.queries();
        let read = async |page| queries.points.entries(user_id, &page).await;
        let mut entries = walk(100, |entry: &PointEntry| entry.sequence, read).await?;
        entries.reverse();
        let filter = OrderFilter::of_user(user_id);
        let read = async |page| Ok(queries.orders.list(&filter, &page).await?.value);
        let orders = walk(100, |order: &Order| order.id, read).await?;
        let read = async |page| Ok(queries.coupons.coupons(user_id, CouponFilter::All, &page).await?.value);
        let coupons = walk(100, |coupon: &Coupon| coupon.id, read).await?;

        let empty = || PointAccount::empty(user_id.clone());
        let account = queries.points.account(user_id).await?.unwrap_or_else(empty);
        let open: Vec<_> = orders.iter().filter(|order| order.status == OrderStatus::PendingPayment).collect();
        let day_of = |order: &Order| rules().calendar.day_of(order.created_at);
        let ordered_on = orders.iter().map(day_of).max();
        let unpaid = orders.iter().filter(|order| order.paid.is_none() && Some(day_of(order)) == ordered_on).count();
        let expected = account_with(user_id, |record| {
            entries.iter().for_each(|entry| add_entry(record, entry));
            record.open_orders = u32::try_from(open.len()).expect("few orders");
            record.reserved_quantity = open.iter().map(|order| order.quantity()).sum();
            record.ordered_on = ordered_on;
            record.unpaid_orders = u32::try_from(unpaid).expect("few orders");
        });
        assert_eq!(account, expected, "the account agrees with its ledger and its orders");
        self.entries.extend(entries);
        self.orders.extend(orders);
        self.coupons.extend(coupons);
        Ok(())
    }

    /// A stock is the sum of its movements: deliveries less reserved and sold items.
    async fn read_product(&mut self, harness: &dyn StoreHarness, product_id: ProductId) -> Result<(), StoreError> {
        let queries = harness.queries();
        let read = async |page| queries.stocks.movements(product_id, &page).await;
        let mut movements = walk(100, |movement: &StockMovement| movement.sequence, read).await?;
        movements.reverse();
        let mut available = 0_u64;
        for (sequence, movement) in (1..).zip(&movements) {
            available = available.checked_add_signed(movement.quantity).expect("a stock is never below zero");
            assert_eq!((movement.sequence, movement.available_after), (sequence, available));
            assert_eq!(movement.order_id.is_none(), movement.kind == MovementKind::Adjustment);
        }
        let listing = queries.products.find(product_id).await?.expect("a product");
        assert_eq!(listing.available, available, "the stock is the sum of its movements");

        let adjustments = movements.iter().filter(|movement| movement.kind == MovementKind::Adjustment);
        let delivered: i64 = adjustments.map(|movement| movement.quantity).sum();
        let lines = self.orders.iter().filter(|order| reserves_or_sold(order)).flat_map(|order| &order.lines);
        let taken: i64 = of_product(lines, product_id).map(|line| i64::from(line.quantity)).sum();
        let refunds = harness.refunds().await;
        let restocked = refunds.iter().filter(|refund| refund.restocked).flat_map(|refund| &refund.lines);
        let restocked = restocked.filter(|line| line.product_id == product_id);
        let gone = taken - restocked.map(|line| i64::from(line.quantity)).sum::<i64>();
        assert_eq!(
            available.cast_signed(),
            delivered - gone,
            "the stock is the deliveries less reserved and sold items"
        );
        Ok(())
    }

    /// A paid order has one payment, one debit and one event; each refund has its own credit and event.
    async fn check_payments(&self, harness: &dyn StoreHarness) {
        let payments = harness.payments().await;
        let refunds = harness.refunds().await;
        let events = harness.outbox_events().await;
        for order in &self.orders {
            let payment: Vec<_> = payments.iter().filter(|payment| payment.order_id == order.id).collect();
            let mut refunds: Vec<_> = refunds.iter().filter(|refund| refund.order_id == order.id).collect();
            refunds.sort_by_key(|refund| refund.sequence);
            let mut events: Vec<_> = events.iter().filter(|event| event.order_id == order.id).collect();
            events.sort_by_key(|event| event.sequence);
            let paid = order.paid.as_ref();
            assert_eq!(payment.len(), usize::from(paid.is_some()), "{order:?}");
            assert!(refunds.iter().map(|refund| refund.sequence).eq(1..=order.refunds), "{refunds:?}");
            assert_eq!(events.len(), payment.len() + refunds.len());
            assert!(events.iter().zip(1..).all(|(event, sequence)| event.sequence == sequence), "{events:?}");

            let entries = |kind| self.entries.iter().filter(move |e| e.order_id == Some(order.id) && e.kind == kind);
            let debits: Vec<_> = entries(EntryKind::Payment).map(|entry| entry.amount.negated()).collect();
            assert_eq!(debits, paid.map(|paid| paid.amount).into_iter().collect::<Vec<_>>());
            let credits: Vec<_> = entries(EntryKind::Refund).map(|entry| entry.amount).collect();
            assert_eq!(credits, refunds.iter().map(|refund| refund.amount).collect::<Vec<_>>());
            assert_eq!(sum(credits), order.refunded);

            if let (Some(paid), [payment]) = (paid, &payment[..]) {
                assert_eq!((payment.id, payment.user_id.clone()), (paid.payment_id, order.user_id.clone()));
                assert_eq!((payment.discount, payment.amount), (paid.discount, paid.amount));
                assert_eq!((payment.total, payment.paid_at), (order.total, paid.at));
                assert_eq!(payment.coupon_id, paid.coupon_id);
                assert_eq!(sum([paid.discount, paid.amount]), order.total);
                assert_eq!(sum(order.lines.iter().map(|line| line.discount_share)), paid.discount);
                assert!(order.refunded <= paid.amount);
            }
            let quantities = |product_id| {
                let lines = refunds.iter().flat_map(|refund| &refund.lines);
                lines.filter(|line| line.product_id == product_id).map(|line| line.quantity).sum::<u32>()
            };
            assert!(order.lines.iter().all(|line| line.refunded_quantity == quantities(line.product_id)));
            assert!(order.lines.iter().all(|line| line.refunded_quantity <= line.quantity));
        }
        assert_eq!(payments.len(), self.orders.iter().filter(|order| order.paid.is_some()).count());
    }

    /// A campaign counts its coupons, a user has at most one, and a used coupon belongs to one paid order.
    async fn check_coupons(&self, harness: &dyn StoreHarness, campaigns: &[CampaignId]) -> Result<(), StoreError> {
        for id in campaigns {
            let campaign = harness.queries().coupons.campaign(*id).await?.expect("a campaign");
            let owners: Vec<_> =
                self.coupons.iter().filter(|coupon| coupon.campaign_id == *id).map(|coupon| &coupon.user_id).collect();
            assert_eq!(usize::try_from(campaign.issued), Ok(owners.len()));
            assert!(campaign.issued <= campaign.details.quantity);
            assert_eq!(owners.iter().collect::<BTreeSet<_>>().len(), owners.len(), "one each");
        }
        let used = self.coupons.iter().filter_map(|coupon| match coupon.state {
            CouponState::Used { order_id, .. } => Some((coupon.id, order_id)),
            CouponState::Unused | CouponState::Revoked => None,
        });
        let used: BTreeMap<CouponId, _> = used.collect();
        for order in &self.orders {
            let Some(coupon_id) = order.paid.as_ref().and_then(|paid| paid.coupon_id) else {
                continue;
            };
            if matches!(order.status, OrderStatus::Paid | OrderStatus::PartiallyRefunded) {
                assert_eq!(used.get(&coupon_id), Some(&order.id), "the coupon of a paid order is used");
            }
        }
        for (coupon_id, order_id) in used {
            let order = self.orders.iter().find(|order| order.id == order_id).expect("the order that used a coupon");
            let of_order = order.paid.as_ref().and_then(|paid| paid.coupon_id);
            assert_eq!(of_order, Some(coupon_id), "a used coupon belongs to a paid order");
        }
        Ok(())
    }

    /// The daily sales equal those of the orders.
    async fn check_sales(&self, harness: &dyn StoreHarness, products: &[ProductId]) -> Result<(), StoreError> {
        let mut recount: BTreeMap<ProductId, (i64, Money)> = BTreeMap::new();
        for line in self.orders.iter().filter(|order| order.paid.is_some()).flat_map(|order| &order.lines) {
            let (quantity, revenue) = recount.entry(line.product_id).or_default();
            *quantity += i64::from(line.quantity) - i64::from(line.refunded_quantity);
            *revenue = sum([*revenue, line.paid_amount()]);
        }
        for line in harness.refunds().await.iter().flat_map(|refund| &refund.lines) {
            let (_, revenue) = recount.entry(line.product_id).or_default();
            *revenue = sum([*revenue, line.amount.negated()]);
        }
        let sold = |(product_id, (quantity_sold, revenue))| PopularProduct { product_id, quantity_sold, revenue };
        let mut expected: Vec<_> = recount.into_iter().map(sold).filter(|sold| sold.quantity_sold > 0).collect();
        let listings = harness.queries().products.find_many(products).await?;
        let hidden = |listing: &ProductListing| listing.product.details.status != ProductStatus::OnSale;
        let hidden: BTreeSet<_> = listings.iter().filter(|l| hidden(l)).map(|listing| listing.product.id).collect();
        expected.retain(|sold| !hidden.contains(&sold.product_id));
        let limit = u32::try_from(products.len()).expect("few products") + 1;
        let sales = harness.queries().sales;
        let mut counted = sales.popular(date!(1970 - 01 - 01), date!(9999 - 12 - 31), limit).await?;
        expected.sort_by_key(|sold| sold.product_id);
        counted.sort_by_key(|sold| sold.product_id);
        assert_eq!(counted, expected);
        Ok(())
    }
}

/// Adds the next entry of an account.
fn add_entry(account: &mut PointAccountRecord, entry: &PointEntry) {
    let balance = sum([account.balance, entry.amount]);
    assert_eq!(entry.sequence, account.entries + 1, "a ledger has no gaps");
    assert_eq!(entry.balance_after, balance, "a ledger has a running balance");
    assert_eq!(entry.hash, entry.hash_after(&account.hash), "a ledger's hashes are chained");
    assert!(!balance.is_negative());
    account.balance = balance;
    account.entries = entry.sequence;
    account.hash = entry.hash;
    account.updated_at = Some(entry.at);
}

/// Whether the order's items are out of stock: reserved or sold, not returned.
fn reserves_or_sold(order: &Order) -> bool {
    match order.status {
        OrderStatus::Expired | OrderStatus::Cancelled => false,
        OrderStatus::PendingPayment | OrderStatus::Paid | OrderStatus::PartiallyRefunded | OrderStatus::Refunded => {
            true
        }
    }
}

fn of_product<'a>(
    lines: impl Iterator<Item = &'a OrderLine>,
    product_id: ProductId,
) -> impl Iterator<Item = &'a OrderLine> {
    lines.filter(move |line| line.product_id == product_id)
}

fn sum(amounts: impl IntoIterator<Item = Money>) -> Money {
    Money::checked_sum(amounts).expect("an amount in range")
}
