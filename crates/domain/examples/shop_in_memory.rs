//! A shop on the store in memory: a top-up, a product, a coupon, an order and its payment.
//!
//! `cargo run -p jangteo-domain --example shop_in_memory`

use std::error::Error;

use jangteo_domain::command::{
    AdjustStock, CouponChoice, CreateCampaign, CreateProduct, IssueCoupon, PayOrder, PlaceOrder, TopUpPoints,
};
use jangteo_domain::id::{CampaignId, CouponId, OrderId, ProductId};
use jangteo_domain::order::Order;
use jangteo_domain::payment::Payment;
use jangteo_domain::testing::fixtures::{
    campaign_details, customer, order_lines, percent, plan, positive, product_details, text, user,
};
use jangteo_domain::testing::rules;
use jangteo_domain::{Command, Reply};
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

/// Fills the shop, and buys two lamps with the best coupon there is.
async fn trade() -> Result<(Order, Payment), Box<dyn Error>> {
    let store = MemoryStore::new();
    let shop = TestShop::new(store.factory());
    let kim = user("kim");

    // The caller makes the ids, so that later commands can name what earlier ones create.
    let product_id = ProductId::next(&*shop.ids);
    let campaign_id = CampaignId::next(&*shop.ids);
    let coupon_id = CouponId::next(&*shop.ids);
    let order_id = OrderId::next(&*shop.ids);

    shop.run(Command::TopUpPoints(TopUpPoints { user_id: kim.clone(), amount: positive(50_000) })).await??;
    shop.run(Command::CreateProduct(CreateProduct { product_id, details: product_details("lamp", 12_000) })).await??;
    shop.run(Command::AdjustStock(AdjustStock { product_id, quantity: 5, reason: text("delivery") })).await??;
    let campaign = CreateCampaign { campaign_id, plan: plan(campaign_details(percent(10), 100)) };
    shop.run(Command::CreateCampaign(campaign)).await??;
    shop.run(Command::IssueCoupon(IssueCoupon { coupon_id, campaign_id, user_id: kim.clone() })).await??;
    let lines = order_lines(&[(product_id, 2)]);
    shop.run(Command::PlaceOrder(PlaceOrder { order_id, user_id: kim.clone(), lines, expected_total: None })).await??;
    let pay = PayOrder { order_id, actor: customer(&kim), coupon: CouponChoice::Best };
    let Reply::OrderPaid(payment) = shop.run(Command::PayOrder(pay)).await?? else {
        return Err("a payment is answered with the payment".into());
    };

    // The read ports return what was committed.
    let order = store.queries().orders.find(order_id).await?.value.ok_or("the order is stored")?;
    Ok((order, payment))
}

#[cfg(test)]
mod tests {
    use jangteo_domain::testing::fixtures::won;

    use super::*;

    #[tokio::test]
    async fn two_lamps_are_bought_at_a_discount() {
        let (order, payment) = trade().await.expect("a shop that works");
        assert_eq!((order.total, payment.discount), (won(24_000), won(2_400)));
        assert_eq!((payment.amount, payment.balance_after), (won(21_600), won(28_400)));
    }

    #[test]
    fn the_example_runs() {
        main().expect("a shop that works");
    }
}
