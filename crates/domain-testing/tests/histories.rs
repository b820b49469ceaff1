//! Properties of every history of a shop, with commands in any order and batches of any size.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use time::Duration;
use uuid::Uuid;

use jangteo_domain::batch::{Answer, BatchExecutor, Recording, Request};
use jangteo_domain::command::{
    Actor, AdjustPoints, AdjustStock, CancelOrder, ChangeCampaign, ChangeProduct, Command, CouponChoice,
    CreateCampaign, CreateProduct, ExpireOrder, IssueCoupon, Outcome, PayOrder, PlaceOrder, ProductChange, RefundOrder,
    Reply, RevokeCoupon, TopUpPoints,
};
use jangteo_domain::coupon::{CampaignChange, CampaignDetails, CouponFilter, CouponTerms, Validity};
use jangteo_domain::id::{CampaignId, CouponId, OrderId, ProductId, UserId, uuid_at};
use jangteo_domain::idempotency::{Fingerprint, IdempotencyKey, RequestKey};
use jangteo_domain::money::Money;
use jangteo_domain::order::{Order, OrderFilter, OrderLines, OrderStatus};
use jangteo_domain::page::Page;
use jangteo_domain::point::{EntryKind, PointEntry};
use jangteo_domain::product::ProductStatus;
use jangteo_domain::rules::ShopRules;
use jangteo_domain::stock::{MovementKind, StockMovement};
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::fixtures::{
    NOON, admin, campaign_details, customer, fixed, order_lines, percent, plan, positive, product_details, text, user,
    won,
};
use jangteo_domain::testing::{NoBackoff, PlainAnswers, PlainEvents, SequentialIds, rules};
use jangteo_domain_testing::MemoryStore;
use jangteo_domain_testing::contract::{Participants, assert_books_agree};

const USERS: usize = 3;
const PRODUCTS: usize = 3;
const CAMPAIGNS: usize = 3;

/// A command to try. Its order or coupon is that of an earlier attempt, successful or not.
#[derive(Clone, Debug)]
enum Attempt {
    TopUp { user: usize, amount: i64 },
    AdjustPoints { user: usize, amount: i64 },
    AdjustStock { product: usize, quantity: i32 },
    ChangeProduct { product: usize, price: i64, status: ProductStatus },
    ChangeCampaign { campaign: usize, quantity: u32 },
    Issue { campaign: usize, user: usize },
    Revoke { coupon: Index },
    Place { user: usize, lines: Vec<(usize, u32)>, expected_total: Option<i64> },
    Pay { order: Index, who: Who, coupon: Choice },
    Cancel { order: Index, who: Who },
    Refund { order: Index, lines: Vec<(usize, u32)>, restock: bool },
    Expire { order: Index },
}

#[derive(Clone, Copy, Debug)]
enum Who {
    Owner,
    BackOffice,
    User(usize),
}

#[derive(Clone, Debug)]
enum Choice {
    None,
    Best,
    Named(Index),
}

/// A step of a history.
#[derive(Clone, Debug)]
enum Step {
    Try(Attempt),
    /// The clock advances.
    Wait(Duration),
}

fn any_attempt() -> impl Strategy<Value = Attempt> {
    let any_choice = prop_oneof![
        1 => Just(Choice::None),
        3 => Just(Choice::Best),
        3 => any::<Index>().prop_map(Choice::Named),
    ];
    let any_status = prop::sample::select(vec![ProductStatus::OnSale, ProductStatus::OnSale, ProductStatus::Hidden]);
    let any_who =
        || prop_oneof![8 => Just(Who::Owner), 1 => Just(Who::BackOffice), 1 => (0..USERS).prop_map(Who::User)];
    let any_lines = prop::collection::vec((0..PRODUCTS, 1_u32..6), 1..4);
    let few_lines = prop::collection::vec((0..PRODUCTS, 1_u32..3), 1..3);
    prop_oneof![
        4 => (0..USERS, 1_i64..7_000).prop_map(|(user, amount)| Attempt::TopUp { user, amount }),
        1 => (0..USERS, -2_000_i64..2_000).prop_map(|(user, amount)| Attempt::AdjustPoints { user, amount }),
        3 => (0..PRODUCTS, -9_i32..20).prop_map(|(product, quantity)| Attempt::AdjustStock { product, quantity }),
        1 => (0..PRODUCTS, 0_i64..900, any_status)
            .prop_map(|(product, price, status)| Attempt::ChangeProduct { product, price, status }),
        1 => (0..CAMPAIGNS, 0_u32..5).prop_map(|(campaign, quantity)| Attempt::ChangeCampaign { campaign, quantity }),
        7 => (0..CAMPAIGNS, 0..USERS).prop_map(|(campaign, user)| Attempt::Issue { campaign, user }),
        1 => any::<Index>().prop_map(|coupon| Attempt::Revoke { coupon }),
        5 => (0..USERS, any_lines, prop::option::weighted(0.1, 0_i64..2_000))
            .prop_map(|(user, lines, expected_total)| Attempt::Place { user, lines, expected_total }),
        9 => (any::<Index>(), any_who(), any_choice)
            .prop_map(|(order, who, coupon)| Attempt::Pay { order, who, coupon }),
        3 => (any::<Index>(), any_who()).prop_map(|(order, who)| Attempt::Cancel { order, who }),
        5 => (any::<Index>(), few_lines, any::<bool>())
            .prop_map(|(order, lines, restock)| Attempt::Refund { order, lines, restock }),
        3 => any::<Index>().prop_map(|order| Attempt::Expire { order }),
    ]
}

fn any_history() -> impl Strategy<Value = Vec<Step>> {
    let any_wait = (2_i64..9).prop_map(|minutes| Step::Wait(Duration::minutes(minutes)));
    let any_step = prop_oneof![14 => any_attempt().prop_map(Step::Try), 1 => any_wait];
    prop::collection::vec(any_step, 0..80)
}

/// The ids of the opening's rows: those of all rows are numbered in the order of the commands, in batches of any size.
fn product_id(number: usize) -> ProductId {
    made(number)
}

fn campaign_id(number: usize) -> CampaignId {
    made(PRODUCTS + number)
}

fn made<Id: From<Uuid>>(number: usize) -> Id {
    uuid_at(NOON, u64::try_from(number + 1).expect("a small number")).into()
}

/// The id of no row.
fn unknown<Id: From<Uuid>>() -> Id {
    Uuid::max().into()
}

fn user_id(number: usize) -> UserId {
    user(&format!("user-{number}"))
}

fn participants() -> Participants {
    Participants {
        users: (0..USERS).map(user_id).collect(),
        products: (0..PRODUCTS).map(product_id).collect(),
        campaigns: (0..CAMPAIGNS).map(campaign_id).collect(),
    }
}

/// Limits that are often reached.
fn tight_rules() -> ShopRules {
    ShopRules { top_up_max: won(6_000), balance_max: won(9_000), open_orders_max: 2, ..rules() }
}

fn campaigns() -> [CampaignDetails; CAMPAIGNS] {
    let terms = |discount| CouponTerms { min_order_amount: Some(positive(700)), ..campaign_details(discount, 1).terms };
    let short = CampaignDetails { validity: Validity::Days(1), ..campaign_details(percent(33), 3) };
    [
        campaign_details(fixed(450), 2),
        short,
        CampaignDetails {
            terms: terms(percent(7)),
            validity: Validity::Until(NOON.saturating_add(Duration::minutes(25))),
            ..campaign_details(fixed(1), 2)
        },
    ]
}

/// The commands that set up the shop.
fn opening() -> Vec<Command> {
    let price = |number: usize| 222 * i64::try_from(number).expect("a small number");
    let product = |number| CreateProduct { details: product_details("lamp", price(number)) }.into();
    let campaign = |details| CreateCampaign { plan: plan(details) }.into();
    let fill = |number| AdjustStock { product_id: product_id(number), quantity: 10, reason: text("delivery") }.into();
    let products = (0..PRODUCTS).map(product);
    products.chain(campaigns().into_iter().map(campaign)).chain((0..PRODUCTS).map(fill)).collect()
}

/// The orders and coupons of earlier attempts, under an unknown id where the attempt failed.
#[derive(Default)]
struct Made {
    orders: Vec<(OrderId, UserId)>,
    coupons: Vec<CouponId>,
}

impl Made {
    fn record(&mut self, attempt: &Attempt, outcome: Outcome) {
        match (attempt, outcome) {
            (Attempt::Place { .. }, Ok(Reply::OrderPlaced { order, .. })) => {
                self.orders.push((order.id, order.user_id.clone()));
            }
            (Attempt::Place { user, .. }, _) => self.orders.push((unknown(), user_id(*user))),
            (Attempt::Issue { .. }, Ok(Reply::CouponIssued { coupon, .. })) => self.coupons.push(coupon.id),
            (Attempt::Issue { .. }, _) => self.coupons.push(unknown()),
            _ => {}
        }
    }

    fn order(&self, index: &Index) -> OrderId {
        if self.orders.is_empty() { unknown() } else { index.get(&self.orders).0 }
    }

    fn coupon(&self, index: &Index) -> CouponId {
        if self.coupons.is_empty() { unknown() } else { *index.get(&self.coupons) }
    }

    fn actor(&self, order: &Index, who: Who) -> Actor {
        match who {
            Who::Owner if self.orders.is_empty() => customer(&user_id(0)),
            Who::Owner => customer(&order.get(&self.orders).1),
            Who::BackOffice => admin(),
            Who::User(number) => customer(&user_id(number)),
        }
    }

    fn command(&self, attempt: &Attempt) -> Command {
        match attempt {
            Attempt::TopUp { user, amount } => {
                TopUpPoints { user_id: user_id(*user), amount: positive(*amount) }.into()
            }
            Attempt::AdjustPoints { user, amount } => {
                AdjustPoints { user_id: user_id(*user), amount: won(*amount), reason: text("counted") }.into()
            }
            Attempt::AdjustStock { product, quantity } => {
                AdjustStock { product_id: product_id(*product), quantity: *quantity, reason: text("counted") }.into()
            }
            Attempt::ChangeProduct { product, price, status } => {
                let price = Some(product_details("lamp", *price).price);
                let change = ProductChange { price, status: Some(*status), ..ProductChange::default() };
                ChangeProduct { product_id: product_id(*product), expected_version: None, change }.into()
            }
            Attempt::ChangeCampaign { campaign, quantity } => {
                let change = CampaignChange { quantity: Some(*quantity), ..CampaignChange::default() };
                ChangeCampaign { campaign_id: campaign_id(*campaign), change }.into()
            }
            Attempt::Issue { campaign, user } => {
                IssueCoupon { campaign_id: campaign_id(*campaign), user_id: user_id(*user) }.into()
            }
            Attempt::Revoke { coupon } => RevokeCoupon { coupon_id: self.coupon(coupon) }.into(),
            Attempt::Place { user, lines, expected_total } => {
                PlaceOrder { user_id: user_id(*user), lines: lines_of(lines), expected_total: expected_total.map(won) }
                    .into()
            }
            Attempt::Refund { order, lines, restock } => RefundOrder {
                order_id: self.order(order),
                lines: lines_of(lines),
                restock: *restock,
                reason: text("broken"),
            }
            .into(),
            Attempt::Pay { order, who, coupon } => PayOrder {
                order_id: self.order(order),
                actor: self.actor(order, *who),
                coupon: match coupon {
                    Choice::None => CouponChoice::None,
                    Choice::Best => CouponChoice::Best,
                    Choice::Named(index) => CouponChoice::Named(self.coupon(index)),
                },
            }
            .into(),
            Attempt::Cancel { order, who } => {
                CancelOrder { order_id: self.order(order), actor: self.actor(order, *who) }.into()
            }
            Attempt::Expire { order } => ExpireOrder { order_id: self.order(order) }.into(),
        }
    }
}

fn lines_of(lines: &[(usize, u32)]) -> OrderLines {
    let line = |(product, quantity): &(usize, u32)| (product_id(*product), *quantity);
    order_lines(&lines.iter().map(line).collect::<Vec<_>>())
}

/// Commands, and the time that passes after them.
type Act = (Vec<Command>, Duration);

/// The commands of a history, with the ids of a shop that runs them one by one. A new act starts where time passes, and
/// where a command is on an order of the same act: a caller learns its id from the answer.
async fn acts(history: &[Step]) -> Vec<Act> {
    let shop = Shop::new();
    shop.play(&[(opening(), Duration::ZERO)], &[usize::MAX]).await;
    let mut acts = vec![(opening(), Duration::ZERO)];
    let mut made = Made::default();
    let mut known = 0;
    for step in history {
        match step {
            Step::Try(attempt) => {
                let command = made.command(attempt);
                let is_new = |id| made.orders[known..].iter().any(|(new, _)| *new == id);
                if command.rule().order_id().is_some_and(is_new) {
                    acts.push((vec![], Duration::ZERO));
                    known = made.orders.len();
                }
                made.record(attempt, shop.decide(command.clone()).await);
                acts.last_mut().expect("at least one act").0.push(command);
            }
            Step::Wait(duration) => {
                shop.store.advance(*duration);
                acts.last_mut().expect("at least one act").1 = *duration;
                acts.push((vec![], Duration::ZERO));
                known = made.orders.len();
            }
        }
    }
    acts
}

/// Whether the status transition is possible.
fn moves_forward(from: OrderStatus, to: OrderStatus) -> bool {
    match from {
        OrderStatus::PendingPayment => true,
        OrderStatus::Paid => {
            matches!(to, OrderStatus::Paid | OrderStatus::PartiallyRefunded | OrderStatus::Refunded)
        }
        OrderStatus::PartiallyRefunded => matches!(to, OrderStatus::PartiallyRefunded | OrderStatus::Refunded),
        OrderStatus::Expired | OrderStatus::Cancelled | OrderStatus::Refunded => from == to,
    }
}

fn sum(amounts: impl IntoIterator<Item = Money>) -> Money {
    Money::checked_sum(amounts).expect("in range")
}

/// All rows of a shop, read through its queries and the store's accessors.
struct Books {
    balances: BTreeMap<UserId, (Money, u32)>,
    entries: Vec<PointEntry>,
    movements: Vec<StockMovement>,
    available: BTreeMap<ProductId, u64>,
    orders: Vec<Order>,
    /// The number of coupons per campaign.
    coupons: BTreeMap<CampaignId, usize>,
}

impl Books {
    async fn read(store: &MemoryStore) -> Result<Self, StoreError> {
        let queries = store.queries();
        let product_ids: BTreeSet<_> = (0..PRODUCTS).map(product_id).collect();
        let mut books = Self {
            balances: BTreeMap::new(),
            entries: vec![],
            movements: vec![],
            available: queries.stocks.available(&product_ids).await?,
            orders: vec![],
            coupons: BTreeMap::new(),
        };
        for product_id in product_ids {
            books.movements.extend(queries.stocks.movements(product_id, &whole()).await?);
        }
        for user in (0..USERS).map(user_id) {
            let account = queries.points.account(&user).await?;
            let balance = account.map_or((Money::ZERO, 0), |account| (account.balance, account.open_orders));
            books.balances.insert(user.clone(), balance);
            books.entries.extend(queries.points.entries(&user, &whole()).await?);
            books.orders.extend(queries.orders.list(&OrderFilter::of_user(&user), &whole()).await?.value);
            for coupon in queries.coupons.coupons(&user, CouponFilter::All, &whole()).await?.value {
                *books.coupons.entry(coupon.campaign_id).or_default() += 1;
            }
        }
        Ok(books)
    }
}

/// A page of all rows.
fn whole<Key>() -> Page<Key> {
    Page { after: None, limit: u32::MAX }
}

/// Asserts the invariants of a shop's rows.
async fn assert_conserved(store: &MemoryStore) -> Result<Vec<Order>, StoreError> {
    let Books { balances, entries, movements, available, orders, coupons } = Books::read(store).await?;
    let moved = |kind| sum(entries.iter().filter(|entry| entry.kind == kind).map(|entry| entry.amount));
    assert!(balances.values().all(|(balance, _)| !balance.is_negative()));
    let total = sum(balances.values().map(|(balance, _)| *balance));
    assert_eq!(total, sum(entries.iter().map(|entry| entry.amount)), "the entries add up to the balances");
    let (payments, refunds) = (store.payments(), store.refunds());
    assert_eq!(moved(EntryKind::Payment).negated(), sum(payments.iter().map(|payment| payment.amount)));
    assert_eq!(moved(EntryKind::Refund), sum(refunds.iter().map(|refund| refund.amount)));

    for product_id in (0..PRODUCTS).map(product_id) {
        let of_product = movements.iter().filter(|movement| movement.product_id == product_id);
        let adjusted = of_product.filter(|movement| movement.kind == MovementKind::Adjustment);
        let delivered: i64 = adjusted.map(|movement| movement.quantity).sum();
        let ended = [OrderStatus::Expired, OrderStatus::Cancelled];
        let reserved_or_sold = orders.iter().filter(|order| !ended.contains(&order.status));
        let lines = reserved_or_sold.flat_map(|order| &order.lines).filter(|line| line.product_id == product_id);
        let taken: i64 = lines.map(|line| i64::from(line.quantity)).sum();
        let restocked = refunds.iter().filter(|refund| refund.restocked).flat_map(|refund| &refund.lines);
        let restocked = restocked.filter(|line| line.product_id == product_id);
        let gone = taken - restocked.map(|line| i64::from(line.quantity)).sum::<i64>();
        assert_eq!(available.get(&product_id).copied().map(u64::cast_signed), Some(delivered - gone));
    }
    for id in (0..CAMPAIGNS).map(campaign_id) {
        let campaign = store.queries().coupons.campaign(id).await?.expect("the shop opened with it");
        assert!(campaign.issued <= campaign.details.quantity);
        assert_eq!(usize::try_from(campaign.issued), Ok(coupons.get(&id).copied().unwrap_or_default()));
    }
    for (user, (_, counted)) in balances {
        let open = orders.iter().filter(|order| order.user_id == user && order.status == OrderStatus::PendingPayment);
        let open = u32::try_from(open.count()).expect("few orders");
        assert_eq!(counted, open);
        assert!(open <= tight_rules().open_orders_max);
    }
    Ok(orders)
}

/// A shop on an in-memory store.
struct Shop {
    store: MemoryStore,
    executor: BatchExecutor,
}

impl Shop {
    fn new() -> Self {
        let store = MemoryStore::new();
        let executor = BatchExecutor {
            factory: store.factory(),
            rules: Arc::new(tight_rules()),
            ids: Arc::new(SequentialIds::new()),
            events: Arc::new(PlainEvents),
            backoff: Arc::new(NoBackoff),
        };
        Self { store, executor }
    }

    async fn run(&self, requests: &[Request]) -> Vec<Answer> {
        let commits = self.store.commits();
        let answers = self.executor.execute(requests).await;
        assert!(self.store.commits() - commits <= 1, "a batch is one transaction");
        answers.into_iter().map(|answer| answer.expect("the store works")).collect()
    }

    /// Runs a command as a batch of one.
    async fn decide(&self, command: Command) -> Outcome {
        match self.run(&[Request::new(command)]).await.pop() {
            Some(Answer::Decided { outcome, .. }) => outcome,
            other => panic!("without a key the answer is {other:?}"),
        }
    }

    /// Runs a history in batches of the given sizes, in turn; a batch ends where time passes.
    async fn play(&self, acts: &[Act], sizes: &[usize]) -> Vec<Answer> {
        let mut sizes = sizes.iter().copied().cycle();
        let mut answers = vec![];
        for (commands, duration) in acts {
            let mut rest = &commands.iter().cloned().map(Request::new).collect::<Vec<_>>()[..];
            while !rest.is_empty() {
                let (batch, later) = rest.split_at(sizes.next().expect("a cycle").clamp(1, rest.len()));
                answers.extend(self.run(batch).await);
                rest = later;
            }
            self.store.advance(*duration);
        }
        answers
    }
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// After each command value is conserved, limits are respected, orders only move forward, and a rejected command
    /// has no effect.
    #[test]
    fn value_is_conserved_after_every_command(history in any_history()) {
        wait(async {
            let shop = Shop::new();
            let mut statuses: BTreeMap<OrderId, OrderStatus> = BTreeMap::new();
            let mut to_open = opening().len();
            for (commands, duration) in acts(&history).await {
                for command in commands {
                    let before = shop.store.snapshot();
                    let outcome = shop.decide(command).await;
                    if outcome.is_err() {
                        prop_assert_eq!(shop.store.snapshot(), before);
                    }
                    to_open = to_open.saturating_sub(1);
                    if to_open > 0 {
                        continue; // The shop is not set up yet.
                    }
                    for order in assert_conserved(&shop.store).await.expect("the store works") {
                        let before = statuses.insert(order.id, order.status).unwrap_or(OrderStatus::PendingPayment);
                        prop_assert!(moves_forward(before, order.status), "{before:?} to {:?}", order.status);
                    }
                }
                shop.store.advance(duration);
            }
            Ok(())
        })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Answers and rows are independent of the batch sizes.
    #[test]
    fn batches_of_any_size_have_the_same_effect(history in any_history(), sizes in prop::collection::vec(1_usize..20, 1..6)) {
        wait(async {
            let acts = acts(&history).await;
            let [one_by_one, cut, whole] = [(); 3].map(|()| Shop::new());
            let expected = one_by_one.play(&acts, &[1]).await;
            for (shop, sizes) in [(&cut, &sizes[..]), (&whole, &[usize::MAX])] {
                prop_assert_eq!(&shop.play(&acts, sizes).await, &expected);
                prop_assert_eq!(shop.store.snapshot(), one_by_one.store.snapshot());
            }
            Ok(())
        })?;
    }

    /// A rejected command changes no row, and the books agree after every batch.
    #[test]
    fn the_books_agree_after_every_batch(history in any_history(), size in 1_usize..20) {
        wait(async {
            let shop = Shop::new();
            let mut opened = false;
            for (commands, duration) in acts(&history).await {
                let requests: Vec<_> = commands.into_iter().map(Request::new).collect();
                for batch in requests.chunks(if opened { size } else { usize::MAX }) {
                    opened = true;
                    let before = shop.store.snapshot();
                    let answers = shop.run(batch).await;
                    if answers.iter().all(|answer| matches!(answer, Answer::Decided { outcome: Err(_), .. })) {
                        prop_assert_eq!(shop.store.snapshot(), before);
                    }
                    assert_books_of_shop_agree(&shop.store).await;
                }
                shop.store.advance(duration);
            }
            Ok(())
        })?;
    }

    /// Each request is sent with a key, and then all again in other batches: nothing changes, and every answer is equal
    /// to the byte, except that of a missing row.
    #[test]
    fn a_repeated_history_has_no_second_effect(history in any_history(), size in 1_usize..20, again in 1_usize..20) {
        wait(async {
            let shop = Shop::new();
            let mut keys = 0_u128..;
            let mut keyed = |command| {
                let key = RequestKey(keys.next().expect("few requests").to_be_bytes());
                let idempotency = Some(IdempotencyKey { key, fingerprint: Fingerprint([1; 16]) });
                let recording = Recording { idempotency, audited_as: None, renderer: Arc::new(PlainAnswers) };
                Request { command, recording: Some(recording) }
            };
            let mut first = vec![];
            for (commands, duration) in acts(&history).await {
                let requests: Vec<_> = commands.into_iter().map(&mut keyed).collect();
                for batch in requests.chunks(size) {
                    first.extend(batch.iter().cloned().zip(shop.run(batch).await));
                }
                shop.store.advance(duration);
            }
            let stored: Vec<_> = first.into_iter().filter_map(|(request, answer)| match answer {
                Answer::Decided { outcome: Err(rejection), rendered } if !rejection.is_stored() => {
                    assert_eq!(rendered, None, "a missing row may exist later");
                    None
                }
                Answer::Decided { rendered, .. } => {
                    let rendered = rendered.expect("a stored answer is rendered");
                    Some((request, Answer::Replayed(rendered)))
                }
                Answer::Replayed(_) | Answer::KeyReused => panic!("each request has a key of its own"),
            }).collect();
            let before = shop.store.snapshot();
            for batch in stored.chunks(again) {
                let (requests, expected): (Vec<_>, Vec<_>) = batch.iter().cloned().unzip();
                prop_assert_eq!(shop.run(&requests).await, expected);
            }
            prop_assert_eq!(shop.store.snapshot(), before);
            Ok(())
        })?;
    }
}

async fn assert_books_of_shop_agree(store: &MemoryStore) {
    let result: Result<(), StoreError> = assert_books_agree(store, &participants()).await;
    result.expect("the store works");
}

/// The generator reaches every outcome of the properties above.
#[test]
fn histories_reach_every_outcome() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut see = |outcome: String| *seen.entry(outcome).or_default() += 1;
    for _ in 0..250 {
        let history = any_history().new_tree(&mut runner).expect("a history").current();
        let shop = Shop::new();
        let answers = wait(async { shop.play(&acts(&history).await, &[usize::MAX]).await });
        for answer in answers {
            match answer {
                Answer::Decided { outcome: Ok(_), .. } => see("success".to_owned()),
                Answer::Decided { outcome: Err(rejection), .. } => {
                    see(format!("{rejection:?}").split([' ', '{']).next().unwrap_or_default().to_owned())
                }
                Answer::Replayed(_) | Answer::KeyReused => panic!("no key was sent"),
            }
        }
        for user in (0..USERS).map(user_id) {
            let orders = wait(shop.store.queries().orders.list(&OrderFilter::of_user(&user), &whole()))
                .expect("the store works");
            for order in orders.value {
                let coupon = order.paid.as_ref().is_some_and(|paid| paid.coupon_id.is_some());
                see(format!("{:?} {}", order.status, if coupon { "with a coupon" } else { "without a coupon" }));
            }
        }
    }
    for wanted in [
        "success",
        "Order(NotFound)",
        "Order(NotDue)",
        "Order(Expired)",
        "Order(AlreadyCancelled)",
        "Order(PriceChanged",
        "Order(TooManyOpenOrders",
        "Stock(OutOfStock",
        "Product(NotOnSale",
        "Payment(OrderAlreadyPaid)",
        "Payment(OrderCancelled)",
        "Payment(OrderExpired)",
        "Point(InsufficientPoints",
        "Point(TopUpLimitExceeded",
        "Point(BalanceLimitExceeded",
        "Coupon(AlreadyIssued)",
        "Coupon(SoldOut)",
        "Coupon(NotFound)",
        "Coupon(NotUsable",
        "Coupon(QuantityLowered",
        "Paid with a coupon",
        "Paid without a coupon",
        "Refunded with a coupon",
        "Refunded without a coupon",
        "PartiallyRefunded with a coupon",
        "PartiallyRefunded without a coupon",
        "Order(NotPaid)",
        "Order(RefundTooLarge",
        "Expired without a coupon",
        "Cancelled without a coupon",
        "PendingPayment without a coupon",
    ] {
        assert!(seen.get(wanted).is_some_and(|count| *count >= 3), "{wanted} is hardly reached: {seen:#?}");
    }
}
