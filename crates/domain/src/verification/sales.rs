use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::id::ProductId;
use crate::money::Money;
use crate::order::OrderRecord;
use crate::payment::Refund;
use crate::sales::SaleCounted;
use crate::store_error::StoreError;
use crate::time::Date;
use crate::verification::finding::Finding;
use crate::verification::run::Verification;
use crate::verification::text::Text;
use crate::verification::walk::{Orders, Refunds, Sales, Walk, refunds_of};

/// Wrong days that are recomputed by product; later ones are reported by day only. This bounds the memory of a
/// verification of many wrong days, which usually have one cause.
const DAYS_NAMED_MAX: usize = 31;

/// For each day the sum of its sales, each weighted by a number of its product, modulo 2^128. Equal sums mean equal
/// sales of every product, except with a probability of about 2^-64; so days are compared without a list of their
/// products. The sums detect accidents, not a deliberate change of the rows.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct DailySums(BTreeMap<Date, (u128, u128)>);

impl DailySums {
    pub(super) fn add(&mut self, sale: &SaleCounted) {
        let weight = weight(sale.product_id);
        let (quantity, revenue) = self.0.entry(sale.day).or_default();
        *quantity = quantity.wrapping_add(weight.wrapping_mul(i128::from(sale.quantity).cast_unsigned()));
        let amount = i128::from(sale.revenue.ten_thousandths()).cast_unsigned();
        *revenue = revenue.wrapping_add(weight.wrapping_mul(amount));
    }

    fn days_that_differ(&self, other: &Self) -> BTreeSet<Date> {
        let sum = |sums: &Self, day: &Date| sums.0.get(day).copied().unwrap_or_default();
        let days = self.0.keys().chain(other.0.keys());
        days.filter(|day| sum(self, day) != sum(other, day)).copied().collect()
    }
}

fn weight(product_id: ProductId) -> u128 {
    let digest = Sha256::digest(product_id.uuid().as_bytes());
    let bytes: [u8; 16] = digest[..16].try_into().expect("SHA-256 has 32 bytes");
    u128::from_be_bytes(bytes)
}

/// The daily sales of an order: its lines once it is paid, net of refunds. `None` for an invalid line.
pub(super) fn of_order(order: &OrderRecord, refunds: &[Refund]) -> Option<Vec<SaleCounted>> {
    let is_valid = order.lines.iter().all(|line| {
        let total = line.unit_price.checked_mul(line.quantity);
        !line.discount_share.is_negative() && total.is_some_and(|total| line.discount_share <= total)
    });
    let Some(paid) = &order.paid else { return Some(Vec::new()) };
    is_valid.then(|| {
        let sold = order.lines.iter().map(|line| SaleCounted::of_line(line, paid.sales_day));
        let refunded = refunds.iter().flat_map(|refund| &refund.lines);
        let refunded = refunded.map(|line| SaleCounted::of_refund(line, paid.sales_day));
        sold.chain(refunded).collect()
    })
}

/// Compares the daily sales with the sales of the orders.
pub(super) async fn verify(audit: &mut Verification<'_>, sold: &DailySums) -> Result<(), StoreError> {
    let stored = stored(audit).await?;
    let mut wrong_days = stored.days_that_differ(sold);
    let unnamed = match wrong_days.iter().nth(DAYS_NAMED_MAX).copied() {
        Some(day) => wrong_days.split_off(&day),
        None => BTreeSet::new(),
    };
    for ((day, product_id), Difference { quantity, revenue }) in differences(audit, &wrong_days).await? {
        let revenue = Money::from_ten_thousandths(revenue).text();
        let description =
            format!("the paid orders differ from the daily sales by {quantity} items and {revenue} in revenue");
        audit.find(Finding::Sales { day, product_id: Some(product_id), description });
    }
    for day in unnamed {
        let description = "the paid orders differ from the daily sales".to_owned();
        audit.find(Finding::Sales { day, product_id: None, description });
    }
    Ok(())
}

/// The difference to add to the daily sales, by day and product; empty if they are correct. An invalid order is a
/// finding.
pub(super) async fn missing(audit: &mut Verification<'_>) -> Result<Vec<SaleCounted>, StoreError> {
    let mut sold = DailySums::default();
    let mut orders = Walk::<Orders>::default();
    let mut refunds = Walk::<Refunds>::default();
    while let Some(order) = orders.next(audit).await? {
        let own = refunds_of(audit, &mut refunds, order.id).await?;
        match of_order(&order, &own) {
            Some(sales) => sales.iter().for_each(|sale| sold.add(sale)),
            None => audit.find(Finding::Order { order_id: order.id, description: "a line is invalid".to_owned() }),
        }
    }
    let wrong_days = stored(audit).await?.days_that_differ(&sold);
    let difference = |((day, product_id), difference): ((Date, ProductId), Difference)| {
        let revenue = Money::from_ten_thousandths(difference.revenue)
            .ok_or_else(|| StoreError::corrupt(format!("the sales of {day} are out of range")))?;
        Ok(SaleCounted { day, product_id, quantity: difference.quantity, revenue })
    };
    differences(audit, &wrong_days).await?.into_iter().map(difference).collect()
}

/// The sums of the stored daily sales.
async fn stored(audit: &mut Verification<'_>) -> Result<DailySums, StoreError> {
    let mut stored = DailySums::default();
    let mut sales = Walk::<Sales>::default();
    while let Some(sale) = sales.next(audit).await? {
        stored.add(&sale);
    }
    Ok(stored)
}

/// The sales of the orders minus the stored ones.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Difference {
    quantity: i64,
    /// In 1/10,000.
    revenue: i64,
}

/// Recomputes these days by product. Reads all orders a second time, so only for wrong days.
async fn differences(
    audit: &mut Verification<'_>,
    days: &BTreeSet<Date>,
) -> Result<BTreeMap<(Date, ProductId), Difference>, StoreError> {
    let mut differences: BTreeMap<(Date, ProductId), Difference> = BTreeMap::new();
    if days.is_empty() {
        return Ok(differences);
    }
    let mut count = |sale: &SaleCounted, sign: i64| {
        if days.contains(&sale.day) {
            let difference = differences.entry((sale.day, sale.product_id)).or_default();
            difference.quantity = difference.quantity.saturating_add(sale.quantity.saturating_mul(sign));
            difference.revenue = difference.revenue.saturating_add(sign.saturating_mul(sale.revenue.ten_thousandths()));
        }
    };
    let mut orders = Walk::<Orders>::again();
    let mut refunds = Walk::<Refunds>::again();
    while let Some(order) = orders.next(audit).await? {
        let own = refunds_of(audit, &mut refunds, order.id).await?;
        of_order(&order, &own).iter().flatten().for_each(|sale| count(sale, 1));
    }
    let mut sales = Walk::<Sales>::again();
    while let Some(sale) = sales.next(audit).await? {
        count(&sale, -1);
    }
    differences.retain(|_, difference| *difference != Difference::default());
    Ok(differences)
}
