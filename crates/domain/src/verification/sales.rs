use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::id::ProductId;
use crate::order::Order;
use crate::sales::SaleCounted;
use crate::store_error::StoreError;
use crate::time::Date;
use crate::verification::walk::{Orders, Refunds, Sales, Walk};
use crate::verification::{Audit, Finding};

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

/// The sales of an order as it was paid, before any refund; none of an order whose lines make no sense, which is a
/// finding of its own.
pub(super) fn of_order(order: &Order) -> impl Iterator<Item = SaleCounted> {
    let makes_sense = order.lines.iter().all(|line| {
        let total = line.unit_price.checked_mul(line.quantity);
        !line.discount_share.is_negative() && total.is_some_and(|total| line.discount_share <= total)
    });
    order.paid.iter().filter(move |_| makes_sense).flat_map(|paid| SaleCounted::of_payment(order, paid.sales_day))
}

/// The daily sales against what the orders came to.
pub(super) async fn verify(audit: &mut Audit<'_>, sold: DailySums) -> Result<(), StoreError> {
    let mut kept = DailySums::default();
    let mut sales = Walk::<Sales>::new();
    while let Some(sale) = sales.next(audit).await? {
        audit.expect(sale.quantity >= 0 && !sale.revenue.is_negative(), || Finding::Sales {
            day: sale.day,
            product_id: sale.product_id,
            what: format!("{} pieces for {:?}", sale.quantity, sale.revenue),
        });
        kept.add(&sale);
    }
    for day in kept.days_that_differ(&sold) {
        name_products(audit, day).await?;
    }
    Ok(())
}

/// Counts one day anew, product by product: only days that are wrong cost this.
async fn name_products(audit: &mut Audit<'_>, wrong_day: Date) -> Result<(), StoreError> {
    let mut counted: BTreeMap<ProductId, (i64, i64)> = BTreeMap::new();
    let mut count = |sale: &SaleCounted, sign: i64| {
        let (quantity, revenue) = counted.entry(sale.product_id).or_default();
        *quantity = quantity.saturating_add(sign * sale.quantity);
        *revenue = revenue.saturating_add(sign * sale.revenue.ten_thousandths());
    };
    let mut orders = Walk::<Orders>::new();
    let mut refunds = Walk::<Refunds>::new();
    while let Some(order) = orders.next(audit).await? {
        let refunds_of_it = refunds.take_while(audit, |refund| refund.order_id <= order.id).await?;
        let Some(paid) = order.paid.as_ref().filter(|paid| paid.sales_day == wrong_day) else { continue };
        of_order(&order).for_each(|sale| count(&sale, 1));
        let own = refunds_of_it.iter().filter(|refund| refund.order_id == order.id);
        own.flat_map(|refund| SaleCounted::of_refund(&refund.lines, paid.sales_day)).for_each(|sale| count(&sale, 1));
    }
    let mut sales = Walk::<Sales>::new();
    while let Some(sale) = sales.next(audit).await? {
        if sale.day == wrong_day {
            count(&sale, -1);
        }
    }
    for (product_id, (quantity, revenue)) in counted.into_iter().filter(|(_, difference)| *difference != (0, 0)) {
        let what = format!("the paid orders come to {quantity} pieces and {revenue}/10000 more than is counted");
        audit.find(Finding::Sales { day: wrong_day, product_id, what });
    }
    Ok(())
}
