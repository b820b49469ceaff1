//! Rows with extreme field values: smallest, largest, longest, unusual.

use jangteo_domain::coupon::{
    CampaignDetails, CampaignRecord, Coupon, CouponCampaign, CouponState, CouponTerms, Discount, Percent, Validity,
};
use jangteo_domain::id::{EventId, OrderId, ProductId, UserId};
use jangteo_domain::idempotency::{RenderedAnswer, StoredAnswer};
use jangteo_domain::money::{Money, PositiveMoney};
use jangteo_domain::order::{Order, OrderLine, OrderStatus, PaidTerms};
use jangteo_domain::outbox::OutboxEvent;
use jangteo_domain::payment::{Payment, Refund};
use jangteo_domain::point::{EntryKind, PointAccount, PointAccountRecord, PointEntry};
use jangteo_domain::product::{Options, Price, Product, ProductDetails, ProductStatus};
use jangteo_domain::stock::{MovementKind, Stock, StockMovement};
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::PlainEvents;
use jangteo_domain::testing::fixtures::{
    NOON, account_with, campaign, campaign_details, fixed, noon_plus, options, order_line, order_with, pending_order,
    percent, product_details, stored_account, stored_campaign, text, user, won, won_currency,
};
use jangteo_domain::time::{Date, Timestamp};
use time::macros::date;

use crate::contract::harness::{Seeds, answer, commit, insert, request, ten_thousandths, wide};

/// The day of most sales.
pub(super) const DAY: Date = date!(2030 - 01 - 01);

/// The highest storable sequence number.
pub(super) const SEQUENCE_MAX: u64 = i64::MAX.cast_unsigned();

/// The longest user id, with every kind of character.
pub(super) const LONGEST: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_.:|@-012345";

pub(super) fn accounts() -> [PointAccount; 3] {
    let largest = account_with(&user(LONGEST), |record| {
        record.balance = Money::MAX;
        record.entries = SEQUENCE_MAX;
        record.hash = [0xff; 32];
        record.open_orders = u32::MAX;
        record.reserved_quantity = SEQUENCE_MAX;
        record.ordered_on = Some(date!(9999 - 12 - 31));
        record.unpaid_orders = u32::MAX;
        record.updated_at = Some(Timestamp::MAX);
    });
    let smallest = account_with(&user("a"), |record| {
        record.balance = ten_thousandths(1);
        record.updated_at = Some(Timestamp::MIN);
    });
    [largest, smallest, PointAccount::empty(user("b"))]
}

/// Accounts with each other's fields.
pub(super) fn changed_accounts(accounts: &[PointAccount; 3]) -> [PointAccount; 3] {
    let mut changed = accounts.clone();
    changed.rotate_left(1);
    for (account, of) in changed.iter_mut().zip(accounts) {
        let user_id = of.user_id.clone();
        *account = stored_account(PointAccountRecord { user_id, ..PointAccountRecord::clone(account) });
    }
    changed
}

/// A ledger entry that tops up 1 won.
pub(super) fn top_up(seeds: &Seeds<'_>, owner: &UserId, sequence: u64) -> PointEntry {
    PointEntry {
        id: seeds.id(),
        user_id: owner.clone(),
        sequence,
        kind: EntryKind::TopUp,
        amount: won(1),
        balance_after: won(i64::try_from(sequence).expect("a small number")),
        order_id: None,
        at: NOON,
        hash: [0; 32],
    }
}

/// An entry of each kind. The store does not compare the kind with the other fields.
pub(super) fn entries(seeds: &Seeds<'_>, owner: &UserId, order: OrderId) -> Vec<PointEntry> {
    let smallest = ten_thousandths(1);
    let extremes = [
        (Money::MAX, Money::MAX, None, Timestamp::MIN, 0),
        (Money::MAX.negated(), Money::ZERO, Some(order), NOON, 1),
        (smallest, smallest, Some(order), NOON, 0x7f),
        (smallest.negated(), Money::ZERO, None, Timestamp::MAX, 0xff),
    ];
    let entry = |((sequence, kind), (amount, balance_after, order_id, at, hash))| PointEntry {
        kind,
        amount,
        balance_after,
        order_id,
        at,
        hash: [hash; 32],
        ..top_up(seeds, owner, sequence)
    };
    (1..).zip(EntryKind::ALL.iter().copied()).zip(extremes.into_iter().cycle()).map(entry).collect()
}

/// Details with the longest fields, with the shortest fields, and with characters that statements must escape.
pub(super) fn product_details_of_every_kind() -> [ProductDetails; 3] {
    let names: Vec<String> = (0..Options::COUNT_MAX).map(|n| format!("{n:02}{}", wide(30))).collect();
    let value = wide(255);
    let pairs: Vec<_> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
    let largest = ProductDetails {
        sku: Some(text(&wide(64))),
        name: text(&wide(200)),
        description: text(&wide(10_000)),
        category: text(&wide(64)),
        options: options(&pairs),
        item_group_id: Some(text(&wide(64))),
        price: Price::try_from(Price::MAX).expect("the highest price"),
        status: ProductStatus::Discontinued,
    };
    let smallest = ProductDetails { status: ProductStatus::Hidden, ..product_details("0", 0) };
    let quoted = ProductDetails {
        sku: Some(text("it's \\ a \"SKU\"")),
        description: text("two\nlines\tand 'quotes' \"of\" both \\ kinds; 100% _under_"),
        options: options(&[("color", "red"), ("Color", "Red"), ("크기", "큰")]),
        item_group_id: Some(text("lamps")),
        price: Price::try_from(ten_thousandths(199_999)).expect("a price"),
        ..product_details("램프 Lámpara", 1)
    };
    [largest, smallest, quoted]
}

pub(super) fn products(seeds: &Seeds<'_>) -> [Product; 3] {
    let [largest, smallest, quoted] = product_details_of_every_kind();
    let product = |details, version, created_at, updated_at| {
        let id = seeds.id();
        Product { id, details, version, created_at, updated_at }
    };
    [
        product(largest, 1, Timestamp::MIN, Timestamp::MAX),
        product(smallest, 2, NOON, NOON),
        product(quoted, SEQUENCE_MAX - 1, NOON, noon_plus(1)),
    ]
}

/// Products with each other's details. The first two do not need the SKU of the last one.
pub(super) fn changed_products(products: &[Product; 3]) -> [Product; 3] {
    let [a, b, c] = products;
    let with_sku = |details: &ProductDetails, sku| ProductDetails { sku, ..details.clone() };
    [
        a.change(with_sku(&b.details, None), noon_plus(1)),
        b.change(with_sku(&c.details, a.details.sku.clone()), Timestamp::MAX),
        c.change(with_sku(&a.details, None), NOON),
    ]
}

/// More than an adjustment allows, as orders return items.
const ITEMS_MAX: u64 = i64::MAX.unsigned_abs();

pub(super) fn stocks(products: &[ProductId; 3]) -> [Stock; 3] {
    let [a, b, c] = *products;
    let stock = |product_id, available, movements| Stock { product_id, available, movements };
    [stock(a, ITEMS_MAX, SEQUENCE_MAX), stock(b, 0, 1), stock(c, 7, 2)]
}

/// Stocks with each other's counts.
pub(super) fn changed_stocks(stocks: &[Stock; 3]) -> [Stock; 3] {
    let mut changed = stocks.clone();
    changed.rotate_left(1);
    changed.iter_mut().zip(stocks).for_each(|(stock, of)| stock.product_id = of.product_id);
    changed
}

/// A movement that adds one item.
pub(super) fn adjustment(seeds: &Seeds<'_>, product_id: ProductId, sequence: u64) -> StockMovement {
    StockMovement {
        id: seeds.id(),
        product_id,
        sequence,
        quantity: 1,
        available_after: sequence,
        kind: MovementKind::Adjustment,
        order_id: None,
        reason: Some(text("delivery")),
        at: NOON,
    }
}

pub(super) fn movements(seeds: &Seeds<'_>, product_id: ProductId, order: OrderId) -> [StockMovement; 5] {
    let largest = i64::MAX;
    let movement = |sequence, quantity, available_after, kind, at| StockMovement {
        order_id: (kind != MovementKind::Adjustment).then_some(order),
        reason: (kind == MovementKind::Adjustment).then(|| text(&wide(200))),
        quantity,
        available_after,
        kind,
        at,
        ..adjustment(seeds, product_id, sequence)
    };
    [
        movement(1, largest, ITEMS_MAX, MovementKind::Adjustment, Timestamp::MIN),
        movement(2, -largest, 0, MovementKind::Reservation, NOON),
        movement(3, 1, 1, MovementKind::Expiry, noon_plus(1)),
        movement(4, 2, 3, MovementKind::Cancellation, noon_plus(2)),
        movement(5, 3, 6, MovementKind::Refund, Timestamp::MAX),
    ]
}

pub(super) fn campaign_details_of_every_kind() -> [CampaignDetails; 4] {
    let smallest = PositiveMoney::try_from(ten_thousandths(1)).expect("positive");
    let largest = PositiveMoney::try_from(Price::MAX).expect("positive");
    let terms = |discount, min_order_amount| CouponTerms { name: text(&wide(200)), discount, min_order_amount };
    let all = Percent::try_from(100).expect("a percentage");
    let details = |terms, validity| CampaignDetails { terms, validity, ..campaign_details(fixed(1), 1) };
    [
        CampaignDetails {
            terms: terms(Discount::Fixed { amount: largest }, Some(largest)),
            quantity: u32::MAX,
            issue_opens_at: Timestamp::MIN,
            issue_closes_at: Timestamp::MAX,
            validity: Validity::Days(Validity::DAYS_MAX),
        },
        details(terms(Discount::Fixed { amount: smallest }, None), Validity::Until(Timestamp::MAX)),
        details(terms(Discount::Percent { percent: all, cap: Some(largest) }, Some(smallest)), Validity::Days(1)),
        details(terms(percent(1), None), Validity::Until(noon_plus(1))),
    ]
}

/// Fully issued campaigns of every kind of details.
pub(super) fn campaigns(seeds: &Seeds<'_>) -> [CouponCampaign; 4] {
    campaign_details_of_every_kind().map(|details| {
        let issued = details.quantity;
        stored_campaign(CampaignRecord { issued, ..CampaignRecord::clone(&campaign(seeds.id(), details)) })
    })
}

/// Campaigns with every mutable field changed.
pub(super) fn changed_campaigns(campaigns: &[CouponCampaign; 4]) -> [CouponCampaign; 4] {
    campaigns.each_ref().map(|campaign| {
        let details = campaign.details.clone();
        stored_campaign(CampaignRecord {
            details: CampaignDetails { issue_closes_at: noon_plus(9), quantity: u32::MAX, ..details },
            issued: u32::MAX,
            updated_at: Timestamp::MAX,
            ..CampaignRecord::clone(campaign)
        })
    })
}

pub(super) async fn seed_campaign(seeds: &Seeds<'_>, quantity: u32) -> Result<CouponCampaign, StoreError> {
    let campaign = campaign(seeds.id(), campaign_details(fixed(1_000), quantity));
    commit(seeds.harness, insert([campaign.clone()])).await?;
    Ok(campaign)
}

/// A coupon of a campaign, without its checks.
pub(super) fn coupon(
    seeds: &Seeds<'_>,
    campaign: &CouponCampaign,
    owner: &UserId,
    state: CouponState,
    valid_until: Timestamp,
) -> Coupon {
    Coupon {
        id: seeds.id(),
        campaign_id: campaign.id,
        user_id: owner.clone(),
        terms: campaign.details.terms.clone(),
        state,
        valid_until,
        issued_at: NOON,
    }
}

/// Coupons of one user in these states, each of its own new campaign.
async fn seed_coupons(seeds: &Seeds<'_>, owner: &UserId, states: [CouponState; 4]) -> Result<[Coupon; 4], StoreError> {
    let campaigns = [(); 4].map(|()| campaign(seeds.id(), campaign_details(fixed(1), 9)));
    commit(seeds.harness, insert(campaigns.clone())).await?;
    let mut states = states.into_iter().zip(&campaigns);
    Ok(campaign_details_of_every_kind().map(|details| {
        let (state, campaign) = states.next().expect("four states");
        Coupon { terms: details.terms, ..coupon(seeds, campaign, owner, state, Timestamp::MAX) }
    }))
}

/// Coupons in every state with all kinds of terms, unlike their campaigns', and the same coupons with each other's
/// states. Their campaigns and orders are stored.
pub(super) async fn coupons(seeds: &Seeds<'_>, owner: &UserId) -> Result<([Coupon; 4], [Coupon; 4]), StoreError> {
    let [order] = seeds.orders_of(owner).await?;
    let used = CouponState::Used { order_id: order.id, at: noon_plus(1) };
    let mut states = [CouponState::Unused, used, CouponState::Revoked, CouponState::Unused];
    let mut coupons = seed_coupons(seeds, owner, states).await?;
    coupons[0].issued_at = Timestamp::MIN;
    let mut changed = coupons.clone();
    states.rotate_right(1);
    changed.iter_mut().zip(states).for_each(|(coupon, state)| coupon.state = state);
    Ok((coupons, changed))
}

/// An order in each status, with every optional field. Products, user and coupon are stored.
pub(super) async fn orders_in_every_status(seeds: &Seeds<'_>) -> Result<Vec<Order>, StoreError> {
    let [owner] = seeds.users(["owner"]).await?;
    let [a, b, c] = seeds.lamps().await?;
    let smallest = ten_thousandths(1);
    // Lines stay in the order of the request, here not sorted by product.
    let lines = vec![
        OrderLine {
            name: wide(200),
            unit_price: Price::MAX,
            quantity: 1_000,
            discount_share: won(5),
            refunded_quantity: 999,
            ..order_line(c, 1, 1)
        },
        OrderLine { unit_price: smallest, ..order_line(a, 1, 1) },
        OrderLine { name: "두 번째 'line'".to_owned(), ..order_line(b, 1, 0) },
    ];
    let campaign = seed_campaign(seeds, 1).await?;
    let coupon = coupon(seeds, &campaign, &owner, CouponState::Unused, Timestamp::MAX);
    commit(seeds.harness, insert([coupon.clone()])).await?;

    let order = |status, discount: Option<Money>, sales_day| {
        let order = pending_order(seeds.id(), &owner, lines.clone(), NOON);
        order_with(&order, |record| {
            record.status = status;
            record.paid = discount.map(|discount| PaidTerms {
                payment_id: seeds.id(),
                discount,
                amount: order.total.checked_sub(discount).expect("in range"),
                coupon_id: (!discount.is_zero()).then_some(coupon.id),
                at: noon_plus(1),
                sales_day,
            });
        })
    };
    let total = pending_order(seeds.id(), &owner, lines.clone(), NOON).total;
    let paid_in_full = Some(Money::ZERO);
    Ok(vec![
        order_with(&order(OrderStatus::PendingPayment, None, DAY), |record| {
            record.created_at = Timestamp::MIN;
            record.expires_at = Timestamp::MAX;
        }),
        order(OrderStatus::Expired, None, DAY),
        order(OrderStatus::Cancelled, None, DAY),
        order(OrderStatus::Paid, paid_in_full, date!(1970 - 01 - 01)),
        order_with(&order(OrderStatus::PartiallyRefunded, Some(won(5)), date!(9999 - 12 - 31)), |record| {
            record.refunded = smallest;
            record.refunds = 3;
        }),
        order_with(&order(OrderStatus::Refunded, Some(total), date!(2030 - 02 - 28)), |record| record.refunds = 1),
    ])
}

/// The order as placed.
pub(super) fn unpaid(order: &Order) -> Order {
    let lines =
        order.lines.iter().map(|line| OrderLine { discount_share: Money::ZERO, refunded_quantity: 0, ..line.clone() });
    order_with(&pending_order(order.id, &order.user_id, lines.collect(), NOON), |record| {
        record.created_at = order.created_at;
        record.expires_at = order.expires_at;
    })
}

pub(super) fn payment(seeds: &Seeds<'_>, order: &Order) -> Payment {
    Payment {
        id: seeds.id(),
        order_id: order.id,
        user_id: order.user_id.clone(),
        total: order.total,
        discount: Money::ZERO,
        amount: order.total,
        coupon_id: None,
        balance_after: Money::ZERO,
        paid_at: noon_plus(1),
        sales_day: DAY,
    }
}

pub(super) fn refund(seeds: &Seeds<'_>, order: &Order, sequence: u32, at: Timestamp) -> Refund {
    Refund {
        id: seeds.id(),
        order_id: order.id,
        sequence,
        amount: won(1),
        restocked: true,
        reason: text("망가짐 \"broken\" 🎈"),
        lines: vec![],
        at,
    }
}

pub(super) fn paid_event(seeds: &Seeds<'_>, order: &Order, at: Timestamp) -> OutboxEvent {
    let id: EventId = seeds.id();
    let event = OutboxEvent::order_paid(id, order, &payment(seeds, order), won_currency(), &PlainEvents);
    OutboxEvent { at, ..event }
}

pub(super) fn refunded_event(seeds: &Seeds<'_>, order: &Order, refunds: u32, at: Timestamp) -> OutboxEvent {
    let refund = refund(seeds, order, refunds, at);
    OutboxEvent::order_refunded(seeds.id(), order, &refund, won_currency(), &PlainEvents)
}

/// Answers with the longest head and body, with empty ones, and with every kind of character.
pub(super) fn stored_answers() -> Vec<StoredAnswer> {
    let stored = |key, head: String, body: String, at| StoredAnswer {
        request: request(key, key.wrapping_add(100)),
        answer: RenderedAnswer { head, body },
        at,
    };
    let [head_max, body_max] = [RenderedAnswer::HEAD_LENGTH_MAX, RenderedAnswer::BODY_LENGTH_MAX];
    vec![
        stored(0, wide(head_max / 4), "{\"name\":\"램프 'lamp' \\\"🎈\\\"\\n\"}".to_owned(), Timestamp::MIN),
        stored(1, String::new(), String::new(), NOON),
        stored(2, "a".repeat(head_max), wide(body_max / 4), NOON),
        stored(3, "1 409 /orders/1?a=%20".to_owned(), " \t\r\n ".to_owned(), Timestamp::MAX),
        answer(0xff),
    ]
}
