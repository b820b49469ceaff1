use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use time::Duration;

use jangteo_domain::audit::Subject;
use jangteo_domain::batch::{Answer, Request};
use jangteo_domain::command::{
    AdjustStock, CancelOrder, ChangeCampaign, ChangeProduct, Command, CouponChoice, CreateCampaign, CreateProduct,
    ExpireOrder, IssueCoupon, Outcome, PayOrder, PlaceOrder, ProductChange, PutProduct, RefundOrder, Reply,
    RevokeCoupon, TopUpPoints,
};
use jangteo_domain::coupon::{CampaignChange, Coupon, CouponRejection, CouponState};
use jangteo_domain::id::{BatchId, UserId};
use jangteo_domain::order::{Order, OrderRejection, OrderStatus};
use jangteo_domain::point::PointAccount;
use jangteo_domain::product::ProductDetails;
use jangteo_domain::rejection::Rejection;
use jangteo_domain::rules::ShopRules;
use jangteo_domain::stock::StockRejection;
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::fixtures::{
    admin, campaign_details, customer, fixed, order_lines, percent, plan, positive, product_details, text, user, won,
};
use jangteo_domain::testing::rules;
use jangteo_domain::transaction::{First, FirstKeys, UnitOfWork, UnitOfWorkFactory};

use crate::contract::books::{Participants, assert_books_agree};
use crate::contract::harness::{StoreHarness, TestResult, row};
use crate::{TestShop, place};

/// An order paid with a coupon and cancelled leaves balance and coupon unchanged, and the books agree.
pub async fn a_paid_and_cancelled_order_leaves_rows_that_agree(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::new(harness.factory());
    let lamp = shop.lamp(12_000, 5).await?;
    let chair = shop.lamp(3_333, 7).await?;
    let kim = shop.user("kim", 100_000).await?;
    let campaign = shop.campaign(campaign_details(percent(15), 2)).await?;
    let coupon = shop.coupon(campaign, &kim).await?;
    let participants =
        Participants { users: vec![kim.clone()], products: vec![lamp, chair], campaigns: vec![campaign] };
    let id = shop.order(&kim, &[(chair, 2), (lamp, 1)]).await?;
    assert_books_agree(harness, &participants).await?;

    // 18,666 less 15 %: 2,799.9, half up 2,800.
    let paid = shop.pay(id, &kim, CouponChoice::Best).await?.expect("an order that can be paid");
    let Reply::OrderPaid(payment) = paid else { panic!("a payment, not {paid:?}") };
    assert_eq!((payment.discount, payment.amount), (won(2_800), won(15_866)));
    assert_eq!((payment.coupon_id, payment.balance_after), (Some(coupon), won(84_134)));
    let stored = row::<Order>(harness, id).await?;
    assert_eq!((stored.status, stored.lines[0].discount_share), (OrderStatus::Paid, won(1_000)));
    assert_books_agree(harness, &participants).await?;

    shop.cancel(id, &kim).await?.expect("a paid order can be cancelled");
    assert_eq!(row::<Order>(harness, id).await?.status, OrderStatus::Refunded);
    assert_eq!(row::<PointAccount>(harness, kim.clone()).await?.balance, won(100_000));
    assert_eq!(row::<Coupon>(harness, coupon).await?.state, CouponState::Unused);
    assert_books_agree(harness, &participants).await
}

/// Rules with an immediate payment deadline: a test does not wait for the database's clock.
fn rules_of_orders_due_at_once() -> ShopRules {
    ShopRules { order_ttl: Duration::ZERO, ..rules() }
}

/// An expired order returns its items, once.
pub async fn an_expired_order_leaves_rows_that_agree(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::with_rules(harness.factory(), rules_of_orders_due_at_once());
    let lamp = shop.lamp(12_000, 5).await?;
    let kim = shop.user("kim", 100_000).await?;
    let participants = Participants { users: vec![kim.clone()], products: vec![lamp], campaigns: vec![] };
    let id = shop.order(&kim, &[(lamp, 5)]).await?;
    assert!(shop.pay(id, &kim, CouponChoice::None).await?.is_err(), "past its deadline");
    assert_books_agree(harness, &participants).await?;

    let due = async || harness.queries().orders.due(None, 10).await;
    assert_eq!(due().await?.into_iter().map(|order| order.id).collect::<Vec<_>>(), [id]);
    assert_eq!(shop.expire(id).await?, Ok(Reply::OrderExpired(id)));
    assert!(shop.expire(id).await?.is_err(), "it has expired already");
    assert_eq!(due().await?, []);
    let available = harness.queries().products.find(lamp).await?.map(|listing| listing.available);
    assert_eq!((available, row::<Order>(harness, id).await?.status), (Some(5), OrderStatus::Expired));
    assert_books_agree(harness, &participants).await
}

async fn execute(shop: &TestShop, commands: Vec<Command>) -> Result<Vec<Outcome>, StoreError> {
    let requests: Vec<_> = commands.into_iter().map(Request::new).collect();
    let answers = shop.executor.execute(&requests).await;
    let outcome = |answer| match answer {
        Answer::Decided { outcome, rendered: _ } => outcome,
        Answer::Replayed(_) | Answer::KeyReused => panic!("no key was sent"),
    };
    answers.into_iter().map(|answer| answer.map(outcome)).collect()
}

/// A rejected command does not affect the other commands of its batch.
pub async fn a_rejected_command_affects_no_other(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::new(harness.factory());
    let lamp = shop.lamp(1_000, 1).await?;
    let [kim, lee] = [shop.user("kim", 5_000).await?, shop.user("lee", 5_000).await?];
    let place = |user| place(user, &[(lamp, 1)]).into();
    let top_up = |user_id, amount| TopUpPoints { user_id, amount: positive(amount) }.into();
    let commands =
        vec![top_up(kim.clone(), 1), place(&kim), top_up(lee.clone(), 2_000_000), place(&lee), top_up(lee.clone(), 2)];
    let outcomes = execute(&shop, commands).await?;
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, false, true]);
    assert!(matches!(outcomes[3], Err(Rejection::Stock(StockRejection::OutOfStock { .. }))));

    assert_eq!(row::<PointAccount>(harness, kim.clone()).await?.balance, won(5_001));
    assert_eq!(row::<PointAccount>(harness, lee.clone()).await?.balance, won(5_002));
    let participants = Participants { users: vec![kim, lee], products: vec![lamp], campaigns: vec![] };
    assert_books_agree(harness, &participants).await
}

/// Counts units of work.
struct Counting {
    factory: Arc<dyn UnitOfWorkFactory>,
    begun: AtomicU32,
}

#[async_trait]
impl UnitOfWorkFactory for Counting {
    async fn begin(&self, id: BatchId, keys: &FirstKeys) -> Result<(Box<dyn UnitOfWork>, First), StoreError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.factory.begin(id, keys).await
    }

    async fn committed(&self, id: BatchId) -> Result<bool, StoreError> {
        self.factory.committed(id).await
    }
}

/// Commands of all kinds, each on rows of the earlier ones, fit one transaction up to the next whose caller needs an
/// answer: the executor need not split a batch.
pub async fn batches_of_every_command_leave_rows_that_agree(harness: &dyn StoreHarness) -> TestResult {
    let factory = Arc::new(Counting { factory: harness.factory(), begun: AtomicU32::new(0) });
    let shop = TestShop::new(factory.clone());
    let [kim, lee] = ["kim", "lee"].map(user);
    let commands = vec![
        TopUpPoints { user_id: kim.clone(), amount: positive(5_000) }.into(),
        CreateProduct { details: product_details("lamp", 1_000) }.into(),
        CreateCampaign { plan: plan(campaign_details(fixed(100), 1)) }.into(),
    ];
    let created = execute(&shop, commands).await?;
    let [Ok(_), Ok(Reply::ProductCreated { product, .. }), Ok(Reply::CampaignCreated(campaign))] = &created[..] else {
        panic!("a product and a campaign, not {created:?}");
    };
    let (product_id, campaign_id) = (product.id, campaign.id);

    let place = || PlaceOrder { expected_total: Some(won(900)), ..place(&kim, &[(product_id, 1)]) }.into();
    let issue = |user: &UserId| IssueCoupon { campaign_id, user_id: user.clone() }.into();
    let price = Some(product_details("lamp", 900).price);
    let change = ProductChange { price, ..ProductChange::default() };
    let change_price = ChangeProduct { product_id, expected_version: Some(1), change };
    let commands = vec![
        AdjustStock { product_id, quantity: 10, reason: text("delivery") }.into(),
        change_price.into(),
        put_stool(1).into(),
        put_stool(2).into(),
        issue(&kim),
        ChangeCampaign { campaign_id, change: CampaignChange { quantity: Some(2), ..CampaignChange::default() } }
            .into(),
        issue(&lee),
        place(),
        place(),
        place(),
        place(),
        place(),
    ];
    let placed = execute(&shop, commands).await?;
    let subjects: Vec<_> = placed.iter().flatten().map(Reply::subject).collect();
    use Subject::{Coupon as C, Order as O, Product as P};
    let [_, _, P(stool), P(same), C(kims), _, C(lees), O(paid), O(second_paid), O(cancelled), O(refunded), O(open)] =
        subjects[..]
    else {
        panic!("coupons and orders, not {placed:?}");
    };
    assert_eq!(stool, same, "the second command finds the product of the first");

    let pay = |order_id, coupon| PayOrder { order_id, actor: customer(&kim), coupon }.into();
    let cancel = |order_id| CancelOrder { order_id, actor: admin() }.into();
    let lines = order_lines(&[(product_id, 1)]);
    let commands = vec![
        RevokeCoupon { coupon_id: lees }.into(),
        pay(refunded, CouponChoice::Named(kims)),
        cancel(refunded),
        cancel(cancelled),
        pay(paid, CouponChoice::Best),
        pay(second_paid, CouponChoice::Best),
        RefundOrder { order_id: paid, lines, restock: false, reason: text("broken") }.into(),
        ExpireOrder { order_id: open }.into(),
    ];
    let outcomes = execute(&shop, commands).await?;
    let rejected: Vec<_> = (0..).zip(&outcomes).filter(|(_, outcome)| outcome.is_err()).collect();
    let not_due = Err(Rejection::Order(OrderRejection::NotDue));
    assert_eq!(rejected, [(7, &not_due)]);
    assert_eq!(factory.begun.load(Ordering::SeqCst), 3, "one transaction for each batch");

    let balance = row::<PointAccount>(harness, kim.clone()).await?.balance;
    assert_eq!(balance, won(5_000 - 900), "one order stayed paid; the coupon was used for another");
    let status = async |id| Ok::<_, StoreError>(row::<Order>(harness, id).await?.status);
    assert_eq!(status(second_paid).await?, OrderStatus::Paid);
    assert_eq!(status(paid).await?, OrderStatus::Refunded);
    assert_eq!(status(cancelled).await?, OrderStatus::Cancelled);
    assert_eq!(status(refunded).await?, OrderStatus::Refunded);
    assert_eq!(status(open).await?, OrderStatus::PendingPayment);
    let (users, campaigns) = (vec![kim, lee], vec![campaign_id]);
    assert_books_agree(harness, &Participants { users, products: vec![product_id, stool], campaigns }).await
}

/// The product of the SKU `stool`, with 3 items.
fn put_stool(price: i64) -> PutProduct {
    let ProductDetails { name, description, category, options, item_group_id, price, .. } =
        product_details("stool", price);
    let (sku, status) = (text("stool"), None);
    PutProduct { sku, name, description, category, options, item_group_id, price, status, stock: 3 }
}

/// Concurrent executors that put one SKU create one product, with its stock once.
pub async fn concurrent_puts_of_one_sku_create_one_product(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::new(harness.factory());
    let put = async |price| execute(&shop, vec![put_stool(price).into(), put_stool(price).into()]).await;
    let batches = join_all((1..=4).map(put)).await;
    let outcomes: Vec<_> = batches.into_iter().collect::<Result<Vec<_>, StoreError>>()?.concat();
    let created = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Reply::ProductCreated { .. }))).count();
    let changed = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Reply::ProductChanged { .. }))).count();
    assert_eq!((created, changed), (1, 3), "{outcomes:?}");
    let found = harness.queries().products.find_by_skus(&[text("stool")]).await?;
    let [listing] = &found[..] else { panic!("one product, not {found:?}") };
    assert_eq!((listing.available, listing.product.version), (3, 4));
    let products = vec![listing.product.id];
    assert_books_agree(harness, &Participants { users: vec![], products, campaigns: vec![] }).await
}

/// Many buyers, few items, several concurrent executors: exactly the available items are sold.
pub async fn concurrent_buyers_get_exactly_the_stock(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::new(harness.factory());
    let lamp = shop.lamp(1_000, 5).await?;
    let users: Vec<_> = (0..12).map(|n| user(&format!("user-{n}"))).collect();
    let buy = async |buyers: &[UserId]| {
        let place = |buyer| place(buyer, &[(lamp, 1)]).into();
        execute(&shop, buyers.iter().map(place).collect()).await
    };
    let batches = join_all(users.chunks(3).map(buy)).await;
    let outcomes: Vec<_> = batches.into_iter().collect::<Result<Vec<_>, StoreError>>()?.concat();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
    assert!(
        outcomes
            .iter()
            .flat_map(|outcome| outcome.as_ref().err())
            .all(|rejection| { matches!(rejection, Rejection::Stock(StockRejection::OutOfStock { .. })) })
    );
    let available = harness.queries().products.find(lamp).await?.map(|listing| listing.available);
    assert_eq!(available, Some(0));
    assert_books_agree(harness, &Participants { users, products: vec![lamp], campaigns: vec![] }).await
}

/// Many users, each twice, few coupons, several concurrent executors: all coupons are issued, one per user.
pub async fn concurrent_users_get_exactly_the_coupons(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::new(harness.factory());
    let campaign_id = shop.campaign(campaign_details(fixed(1), 5)).await?;
    let users: Vec<_> = (0..8).map(|n| user(&format!("user-{n}"))).collect();
    let take = async |users: &[UserId]| {
        let issue = |user_id: &UserId| IssueCoupon { campaign_id, user_id: user_id.clone() }.into();
        execute(&shop, users.iter().map(issue).collect()).await
    };
    let rounds = users.chunks(4).chain(users.chunks(4));
    let batches = join_all(rounds.map(take)).await;
    let outcomes: Vec<_> = batches.into_iter().collect::<Result<Vec<_>, StoreError>>()?.concat();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
    assert!(outcomes.iter().flat_map(|outcome| outcome.as_ref().err()).all(|rejection| {
        matches!(rejection, Rejection::Coupon(CouponRejection::AlreadyIssued | CouponRejection::SoldOut))
    }));
    let campaign = harness.queries().coupons.campaign(campaign_id).await?.expect("the campaign");
    assert_eq!(campaign.issued, 5);
    assert_books_agree(harness, &Participants { users, products: vec![], campaigns: vec![campaign_id] }).await
}
