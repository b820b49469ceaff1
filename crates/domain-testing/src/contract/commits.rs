use futures_util::future::{Either, join, select};

use jangteo_domain::audit::{AuditChain, AuditEntry};
use jangteo_domain::coupon::CouponState;
use jangteo_domain::id::{BatchId, CampaignId, UserId};
use jangteo_domain::order::Order;
use jangteo_domain::point::PointAccount;
use jangteo_domain::product::Product;
use jangteo_domain::sales::SaleCounted;
use jangteo_domain::stock::Stock;
use jangteo_domain::store_error::StoreError;
use jangteo_domain::testing::batch_id;
use jangteo_domain::testing::fixtures::{
    NOON, account_with, campaign, campaign_details, fixed, noon_plus, order_line, pending_order, product_details, text,
    user, won,
};
use jangteo_domain::time::Timestamp;
use jangteo_domain::token::{Revocation, RevokedTokens};
use jangteo_domain::transaction::{Appended, Changes, FirstKeys, LockSet, ProductDepth, RowChanges};

use crate::contract::harness::{
    Keys, Seeds, TestResult, TransactionHarness, View, answer, append, assert_conflict, begin, commit, commit_as,
    pause, rows, set, view,
};
use crate::contract::lockable::count;
use crate::contract::samples;

/// A row of every table, in one transaction.
pub(super) struct Everything {
    pub user_id: UserId,
    pub order: Order,
    pub product: Product,
    pub campaign_id: CampaignId,
    pub changes: Changes,
}

impl Everything {
    /// The same ids each time.
    pub fn new(harness: &dyn TransactionHarness) -> Self {
        let seeds = Seeds::new(harness);
        let user_id = user("kim");
        let product = Product::create(seeds.id(), product_details("lamp", 1_000), NOON);
        let campaign = campaign(seeds.id(), campaign_details(fixed(1), 1));
        let coupon = samples::coupon(&seeds, &campaign, &user_id, CouponState::Unused, Timestamp::MAX);
        let order = pending_order(seeds.id(), &user_id, vec![order_line(product.id, 1, 1_000)], NOON);
        let account = account_with(&user_id, |record| {
            record.balance = won(1);
            record.entries = 1;
        });
        let sale = SaleCounted { day: samples::DAY, product_id: product.id, quantity: 1, revenue: won(1) };
        let changes = Changes {
            orders: RowChanges::inserted([order.clone()]),
            campaigns: RowChanges::inserted([campaign.clone()]),
            coupons: RowChanges::inserted([coupon]),
            products: RowChanges::inserted([product.clone()]),
            stocks: RowChanges::inserted([Stock { available: 5, movements: 1, ..Stock::empty(product.id) }]),
            accounts: RowChanges::inserted([account]),
            events: RowChanges::default(),
            audit_chains: RowChanges::inserted([AuditChain::empty(user("root"))]),
            appended: Appended {
                point_entries: vec![samples::top_up(&seeds, &user_id, 1)],
                stock_movements: vec![samples::adjustment(&seeds, product.id, 1)],
                payments: vec![samples::payment(&seeds, &order)],
                refunds: vec![samples::refund(&seeds, &order, 1, NOON)],
                sales: [sale].into_iter().collect(),
                outbox: vec![samples::paid_event(&seeds, &order, NOON)],
                audit: vec![audit_entry(&seeds)],
                revocations: vec![revocation(&seeds)],
                answers: vec![answer(1)],
            },
        };
        Self { user_id, order, product, campaign_id: campaign.id, changes }
    }

    /// The keys of all lockable rows.
    fn keys(&self) -> Keys {
        let events = self.changes.appended.outbox.iter().map(|event| event.id);
        let locks = LockSet {
            campaigns: set([self.campaign_id]),
            past_recipients: set([(self.campaign_id, self.user_id.clone())]),
            unused_coupons_of: set([self.user_id.clone()]),
            products: [(self.product.id, ProductDepth::Whole)].into(),
            stocks: set([self.product.id]),
            accounts: set([self.user_id.clone()]),
            events: set(events),
            audit_chains: set([user("root")]),
            ..LockSet::default()
        };
        Keys { first: FirstKeys { answers: set([answer(1).request.key]), orders: set([self.order.id]) }, locks }
    }

    /// The number of these rows in the store.
    async fn stored(&self, harness: &dyn TransactionHarness) -> Result<usize, StoreError> {
        let found: View = view(harness, &self.keys()).await?;
        let received = found.1.past_recipients.values().filter(|received| **received).count();
        Ok(count(&found) + found.0.answers.values().flatten().count() + received)
    }
}

const ALL: usize = 10;

pub(super) fn audit_entry(seeds: &Seeds<'_>) -> AuditEntry {
    AuditEntry {
        id: seeds.id(),
        at: NOON,
        actor: user("root"),
        action: "create_product".to_owned(),
        subject_kind: "product".to_owned(),
        subject_id: "1".to_owned(),
        reason: None,
        body: "{}".to_owned(),
        request_id: None,
        address: None,
        link: None,
    }
}

pub(super) fn revocation(seeds: &Seeds<'_>) -> Revocation {
    Revocation { id: seeds.id(), tokens: RevokedTokens::One(text("t-1")), expires_at: noon_plus(1), at: NOON }
}

/// A dropped unit of work stores nothing, and its keys are free again.
pub async fn a_dropped_unit_of_work_stores_nothing(harness: &dyn TransactionHarness) -> TestResult {
    let everything = Everything::new(harness);
    let Keys { first, locks } = everything.keys();
    let id = batch_id();
    let (mut unit_of_work, _) = harness.factory().begin(id, &first).await?;
    unit_of_work.lock(&locks).await?;
    drop(unit_of_work);
    assert_eq!(everything.stored(harness).await?, 0);
    commit_as(harness, id, everything.changes.clone()).await?;
    assert_eq!(everything.stored(harness).await?, ALL);
    Ok(())
}

/// The next unit of work finds all committed rows.
pub async fn a_committed_unit_of_work_is_visible_to_the_next(harness: &dyn TransactionHarness) -> TestResult {
    let everything = Everything::new(harness);
    assert_eq!(everything.stored(harness).await?, 0);
    commit(harness, everything.changes.clone()).await?;
    assert_eq!(everything.stored(harness).await?, ALL);
    Ok(())
}

/// Append-only changes are committed to every table.
pub async fn append_only_changes_are_stored(harness: &dyn TransactionHarness) -> TestResult {
    let everything = Everything::new(harness);
    let appended = everything.changes.appended.clone();
    commit(harness, Changes { appended: Appended::default(), ..everything.changes.clone() }).await?;
    assert_eq!(everything.stored(harness).await?, ALL - 2, "neither answer nor event");
    let Appended { point_entries, stock_movements, payments, refunds, sales, outbox, audit, revocations, answers } =
        appended;
    let only = Appended::default;
    for appended in [
        Appended { point_entries, ..only() },
        Appended { stock_movements, ..only() },
        Appended { payments, ..only() },
        Appended { refunds, ..only() },
        Appended { sales, ..only() },
        Appended { outbox, ..only() },
        Appended { audit, ..only() },
        Appended { revocations, ..only() },
        Appended { answers, ..only() },
    ] {
        let id = batch_id();
        commit_as(harness, id, Changes { appended: appended.clone(), ..Changes::default() }).await?;
        assert!(harness.factory().committed(id).await?, "{appended:?}");
        let [audit, revocations, refunds] = [appended.audit.len(), appended.revocations.len(), appended.refunds.len()];
        if appended.sales.is_empty() && audit + revocations + refunds == 0 {
            assert_conflict(commit(harness, Changes { appended, ..Changes::default() }).await);
        }
    }
    assert_eq!(everything.stored(harness).await?, ALL);
    Ok(())
}

/// A marker exists if and only if its unit of work was committed. A committed id is a conflict; a dropped one is free.
pub async fn a_marker_shows_whether_a_unit_of_work_was_committed(harness: &dyn TransactionHarness) -> TestResult {
    let [committed, dropped, never] = [(); 3].map(|()| batch_id());
    let factory = harness.factory();
    commit_as(harness, committed, append([answer(1)])).await?;
    drop(begin(harness, dropped).await?);
    assert!(factory.committed(committed).await?);
    assert!(!factory.committed(dropped).await?);
    assert!(!factory.committed(never).await?);
    commit_as(harness, dropped, append([answer(2)])).await?;
    assert!(factory.committed(dropped).await?);
    assert_conflict(commit_as(harness, committed, append([answer(3)])).await);
    Ok(())
}

/// A marker query waits for an open commit.
pub async fn a_marker_query_waits_for_an_open_commit(harness: &dyn TransactionHarness) -> TestResult {
    let id = batch_id();
    let factory = harness.factory();
    let unit_of_work = begin(harness, id).await?;
    let waiting = match select(factory.committed(id), Box::pin(pause())).await {
        Either::Left((answer, _)) => panic!("an answer before the commit: {answer:?}"),
        Either::Right(((), waiting)) => waiting,
    };
    let (ended, committed) = join(unit_of_work.commit(append([answer(1)])), waiting).await;
    ended?;
    assert!(committed?);
    Ok(())
}

/// A connection lost before the commit is an error and stores nothing; a new one works.
pub async fn a_connection_broken_before_the_commit_stores_nothing(harness: &dyn TransactionHarness) -> TestResult {
    let [first, second] = [(); 2].map(|()| batch_id());
    let everything = Everything::new(harness);
    let mut unit_of_work = begin(harness, first).await?;
    if !harness.break_connections().await {
        return Ok(()); // A store without connections cannot lose one.
    }
    let error = unit_of_work.lock(&LockSet::default()).await;
    assert!(matches!(error, Err(StoreError::Unavailable(_))), "{error:?}");
    drop(unit_of_work);
    assert!(!patiently(async || harness.factory().committed(first).await).await?);

    let mut unit_of_work = patiently(async || begin(harness, second).await).await?;
    unit_of_work.lock(&everything.keys().locks).await?;
    harness.break_connections().await;
    let ended = unit_of_work.commit(everything.changes.clone()).await;
    assert!(ended.is_err());
    assert!(!patiently(async || harness.factory().committed(second).await).await?, "{ended:?}");
    assert_eq!(patiently(async || everything.stored(harness).await).await?, 0, "{ended:?}");
    patiently(async || commit_as(harness, second, everything.changes.clone()).await).await?;
    assert_eq!(everything.stored(harness).await?, ALL);
    Ok(())
}

/// At any moment of a connection loss, the marker agrees with the rows, and a commit reported as successful is stored.
pub async fn a_marker_agrees_with_a_commit_whose_connection_broke(harness: &dyn TransactionHarness) -> TestResult {
    for round in 0..20 {
        let id: BatchId = batch_id();
        let user_id = user(&format!("user-{round}"));
        let changes = crate::contract::harness::insert([PointAccount::empty(user_id.clone())]);
        let prepare = async || {
            let mut unit_of_work = begin(harness, id).await?;
            unit_of_work.lock(&LockSet::default()).await?;
            Ok(unit_of_work)
        };
        let unit_of_work = patiently(prepare).await?;
        let (ended, broken) = join(unit_of_work.commit(changes), harness.break_connections()).await;
        let read = async || rows::<PointAccount>(harness, [user_id.clone()]).await;
        let is_stored = !patiently(read).await?.is_empty();
        let committed = patiently(async || harness.factory().committed(id).await).await?;
        assert_eq!(committed, is_stored, "round {round}: the commit returned {ended:?}");
        assert!(ended.is_err() || is_stored, "round {round}: a commit that succeeded is stored");
        if !broken {
            return ended;
        }
    }
    Ok(())
}

/// Retries while connections are being replaced.
async fn patiently<T>(work: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for _ in 0..20 {
        match work().await {
            Err(StoreError::Unavailable(_)) => {}
            done => return done,
        }
    }
    work().await
}
