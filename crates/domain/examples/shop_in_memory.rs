//! A shop on the in-memory store: a top-up, a product, a coupon, an order and its payment.
//!
//! `cargo run -p jangteo-domain --example shop_in_memory`

use std::error::Error;

use jangteo_domain::Reply;
use jangteo_domain::command::CouponChoice;
use jangteo_domain::order::Order;
use jangteo_domain::payment::Payment;
use jangteo_domain::testing::fixtures::{campaign_details, percent, product_details};
use jangteo_domain::testing::rules;
use jangteo_domain_testing::{MemoryStore, TestShop};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (order, payment) = trade().await?;
    let currency = rules().currency;
    let show = |amount| format!("{} {}", currency.show(amount), currency.code());
    for line in &order.lines {
        println!("{:>3} × {:<20} {:>12}", line.quantity, line.name, show(line.line_total()));
    }
    println!("{:<26} {:>12}", "discount", show(payment.discount));
    println!("{:<26} {:>12}", "paid", show(payment.amount));
    println!("{:<26} {:>12}", "points left", show(payment.balance_after));
    Ok(())
}

/// Fills the shop and buys two lamps with the best coupon.
async fn trade() -> Result<(Order, Payment), Box<dyn Error>> {
    let store = MemoryStore::new();
    let shop = TestShop::new(store.factory());
    // The shop makes the ids.
    let kim = shop.user("kim", 50_000).await?;
    let lamp = shop.product(product_details("lamp", 12_000), 5).await?;
    let campaign = shop.campaign(campaign_details(percent(10), 100)).await?;
    shop.coupon(campaign, &kim).await?;
    let order_id = shop.order(&kim, &[(lamp, 2)]).await?;
    let Reply::OrderPaid(payment) = shop.pay(order_id, &kim, CouponChoice::Best).await?? else {
        return Err("the reply to a payment is the payment".into());
    };

    // The read ports return committed data.
    let order = store.queries().orders.find(order_id).await?.value.ok_or("the order is stored")?;
    Ok((order, payment))
}

#[cfg(test)]
mod tests {
    use jangteo_domain::testing::fixtures::won;

    use super::*;

    #[tokio::test]
    async fn two_lamps_are_bought_at_a_discount() {
        let (order, payment) = trade().await.expect("a working shop");
        assert_eq!((order.total, payment.discount), (won(24_000), won(2_400)));
        assert_eq!((payment.amount, payment.balance_after), (won(21_600), won(28_400)));
    }

    #[test]
    fn the_example_runs() {
        main().expect("a working shop");
    }
}
