use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::id::ProductId;
use crate::money::Money;
use crate::order::OrderRecord;
use crate::payment::Refund;
use crate::sales::SaleCounted;
use crate::store_error::StoreError;
use crate::time::Date;
use crate::verification::walk::{Orders, Refunds, Sales, Walk, refunds_of};
use crate::verification::{Finding, Verification};

/// How many days whose sales are wrong are counted anew product by product; of others only the day is told. A year
/// that is wrong has one cause, and naming it need not take all memory.
const DAYS_NAMED_MAX: usize = 31;

/// For each day a sum of all its sales, each times a number of its own product, modulo 2^128. Two equal sums mean
/// equal sales of every product, but for a chance of about 2^-64; so days can be compared without holding their
/// products. It guards against accidents: who can write the rows could also make the sums agree.
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

/// What an order adds to the daily sales: its lines once it is paid, less what was refunded. `None` where a line makes
/// no sense, which no sum can be made of.
pub(super) fn of_order(order: &OrderRecord, refunds: &[Refund]) -> Option<Vec<SaleCounted>> {
    let makes_sense = order.lines.iter().all(|line| {
        let total = line.unit_price.checked_mul(line.quantity);
        !line.discount_share.is_negative() && total.is_some_and(|total| line.discount_share <= total)
    });
    let Some(paid) = &order.paid else { return Some(Vec::new()) };
    makes_sense.then(|| {
        let sold = order.lines.iter().map(|line| SaleCounted::of_line(line, paid.sales_day));
        let refunded = refunds.iter().flat_map(|refund| &refund.lines);
        let refunded = refunded.map(|line| SaleCounted::of_refund(line, paid.sales_day));
        sold.chain(refunded).collect()
    })
}

/// The daily sales against what the orders came to.
pub(super) async fn verify(audit: &mut Verification<'_>, sold: &DailySums) -> Result<(), StoreError> {
    let kept = kept(audit).await?;
    let mut wrong_days = kept.days_that_differ(sold);
    let unnamed = match wrong_days.iter().nth(DAYS_NAMED_MAX).copied() {
        Some(day) => wrong_days.split_off(&day),
        None => BTreeSet::new(),
    };
    for ((day, product_id), Difference { quantity, revenue }) in differences(audit, &wrong_days).await? {
        let revenue = Money::from_ten_thousandths(revenue);
        let what = format!("the paid orders come to {quantity} pieces and {revenue:?} more than is counted");
        audit.find(Finding::Sales { day, product_id: Some(product_id), what });
    }
    for day in unnamed {
        let what = "the paid orders come to something else".to_owned();
        audit.find(Finding::Sales { day, product_id: None, what });
    }
    Ok(())
}

/// What the daily sales lack, to be added to them, in order of days and products; nothing where they are right. An
/// order that makes no sense is a finding.
pub(super) async fn missing(audit: &mut Verification<'_>) -> Result<Vec<SaleCounted>, StoreError> {
    let mut sold = DailySums::default();
    let mut orders = Walk::<Orders>::new();
    let mut refunds = Walk::<Refunds>::new();
    while let Some(order) = orders.next(audit).await? {
        let own = refunds_of(audit, &mut refunds, order.id).await?;
        match of_order(&order, &own) {
            Some(sales) => sales.iter().for_each(|sale| sold.add(sale)),
            None => audit.find(Finding::Order { order_id: order.id, what: "its lines make no sense".to_owned() }),
        }
    }
    let wrong_days = kept(audit).await?.days_that_differ(&sold);
    let difference = |((day, product_id), difference): ((Date, ProductId), Difference)| {
        let revenue = Money::from_ten_thousandths(difference.revenue)
            .ok_or_else(|| StoreError::corrupt(format!("the sales of {day} are beyond what can be counted")))?;
        Ok(SaleCounted { day, product_id, quantity: difference.quantity, revenue })
    };
    differences(audit, &wrong_days).await?.into_iter().map(difference).collect()
}

/// What the daily sales say.
async fn kept(audit: &mut Verification<'_>) -> Result<DailySums, StoreError> {
    let mut kept = DailySums::default();
    let mut sales = Walk::<Sales>::new();
    while let Some(sale) = sales.next(audit).await? {
        kept.add(&sale);
    }
    Ok(kept)
}

/// By how much the orders come to more than is counted.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Difference {
    quantity: i64,
    /// In 1/10,000.
    revenue: i64,
}

/// Counts these days anew, product by product: only days that are wrong cost this.
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
