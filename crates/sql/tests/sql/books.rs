//! The books of a database that was changed by hand.

use std::collections::BTreeSet;

use jangteo_domain::StoreError;
use jangteo_domain::id::PaymentId;
use jangteo_domain::money::Money;
use jangteo_domain::payment::Payment;
use jangteo_domain::testing::SequentialIds;
use jangteo_domain::testing::fixtures::{NOON, user, won};
use jangteo_domain::transaction::{Appended, Changes};
use time::macros::date;

use crate::server::TestDatabase;

/// The verification detects an order with two payments only if it reads both, wherever a page ends.
#[tokio::test(flavor = "multi_thread")]
async fn no_payment_is_skipped_without_the_unique_key() -> Result<(), StoreError> {
    let database = TestDatabase::mysql().await;
    database.execute("ALTER TABLE payments DROP INDEX uq_payments_order").await;
    let payment = |number| Payment {
        id: SequentialIds::id(number).into(),
        order_id: SequentialIds::id(100 + number % 3).into(),
        user_id: user("kim"),
        total: won(1),
        discount: Money::ZERO,
        amount: won(1),
        coupon_id: None,
        balance_after: Money::ZERO,
        paid_at: NOON,
        sales_day: date!(2030 - 01 - 01),
    };
    let payments: Vec<Payment> = (1..=9).map(payment).collect();
    let appended = Appended { payments: payments.clone(), ..Appended::default() };
    database.commit(Changes { appended, ..Changes::default() }).await?;

    let mut books = database.database.books().open().await?;
    let all: BTreeSet<PaymentId> = payments.iter().map(|payment| payment.id).collect();
    for limit in 1..=10 {
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = books.payments(after, limit).await?;
            seen.extend(page.rows);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert!(seen.is_sorted_by_key(|payment| payment.order_id), "by {limit}: {seen:?}");
        assert_eq!(seen.len(), payments.len(), "by {limit}: {seen:?}");
        assert_eq!(seen.iter().map(|payment| payment.id).collect::<BTreeSet<_>>(), all, "by {limit}");
    }
    Ok(())
}
