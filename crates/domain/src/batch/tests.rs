use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard};

use time::Duration;
use uuid::Uuid;

use super::*;
use crate::audit::AuditChain;
use crate::command::scene::{Scene, Tables, pay, place};
use crate::command::{
    AdjustStock, CancelOrder, ChangeCampaign, ChangeProduct, CouponChoice, CreateProduct, IssueCoupon, ProductChange,
    RedeliverEvent, RefundOrder, Reply, RevokeCoupon, TopUpPoints,
};
use crate::coupon::{CampaignChange, CouponState};
use crate::id::{OrderId, UserId, first_id_at};
use crate::idempotency::{AnswerRenderer, Fingerprint, MockAnswerRenderer};
use crate::money::Money;
use crate::order::{OrderRejection, OrderStatus};
use crate::payment::PaymentRejection;
use crate::point::PointRejection;
use crate::rejection::Rejection;
use crate::rules::MockShopCalendar;
use crate::stock::Stock;
use crate::testing::fixtures::{
    NOON, account_with, admin, campaign_details, customer, fixed, order_line, order_lines, pending_order, positive,
    product_details, text, user, won,
};
use crate::testing::{NoBackoff, PlainAnswers, PlainEvents, SequentialIds};
use crate::transaction::{ProductDepth, RowChanges, Update};

/// The scripted outcome of one transaction.
enum Step {
    BeginFails(StoreError),
    LockFails(StoreError),
    CommitFails(StoreError),
    /// A concurrent transaction stores this answer first.
    LosesKey(StoredAnswer),
    Commits,
    /// Dropped without a commit.
    Drops,
}

/// A store with scripted outcomes and a record of its calls.
struct Script {
    steps: VecDeque<Step>,
    markers: VecDeque<Result<bool, StoreError>>,
    tables: Tables,
    /// One reference for each open unit of work.
    open: Arc<()>,
    begun: Vec<(BatchId, FirstKeys)>,
    locked: Vec<LockSet>,
    commits: Vec<Changes>,
    queried: Vec<BatchId>,
}

#[derive(Clone)]
struct ScriptedStore(Arc<Mutex<Script>>);

impl ScriptedStore {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().expect("no panic")
    }
}

struct ScriptedUnitOfWork {
    store: ScriptedStore,
    step: Step,
    _open: Arc<()>,
}

#[async_trait]
impl UnitOfWorkFactory for ScriptedStore {
    async fn begin(&self, id: BatchId, keys: &FirstKeys) -> Result<(Box<dyn UnitOfWork>, First), StoreError> {
        let mut script = self.script();
        assert_eq!(Arc::strong_count(&script.open), 1, "a failed unit of work is dropped first");
        script.begun.push((id, keys.clone()));
        let step = script.steps.pop_front().expect("a transaction of the script");
        if let Step::BeginFails(error) = step {
            return Err(error);
        }
        let unit_of_work = ScriptedUnitOfWork { store: self.clone(), step, _open: Arc::clone(&script.open) };
        Ok((Box::new(unit_of_work), script.tables.first(keys)))
    }

    async fn committed(&self, id: BatchId) -> Result<bool, StoreError> {
        let mut script = self.script();
        script.queried.push(id);
        script.markers.pop_front().expect("a query of the script")
    }
}

#[async_trait]
impl UnitOfWork for ScriptedUnitOfWork {
    async fn lock(&mut self, keys: &LockSet) -> Result<Locked, StoreError> {
        let mut script = self.store.script();
        script.locked.push(keys.clone());
        match &self.step {
            Step::LockFails(error) => Err(error.clone()),
            Step::CommitFails(_) | Step::LosesKey(_) | Step::Commits | Step::Drops => {
                Ok(script.tables.lock(keys, NOON))
            }
            Step::BeginFails(_) => unreachable!("not begun"),
        }
    }

    async fn commit(self: Box<Self>, changes: Changes) -> Result<(), StoreError> {
        let mut script = self.store.script();
        script.commits.push(changes.clone());
        match self.step {
            Step::CommitFails(error) => Err(error),
            Step::LosesKey(answer) => {
                script.tables.answers.insert(answer.request.key, answer);
                Err(conflict())
            }
            Step::Commits => {
                script.tables.apply(changes);
                script.tables.written = Appended::default();
                Ok(())
            }
            Step::Drops => panic!("unexpected commit: {changes:?}"),
            Step::BeginFails(_) | Step::LockFails(_) => unreachable!("already failed"),
        }
    }
}

/// [`NoBackoff`] with a record of the pauses: the work and the kind of error.
#[derive(Clone, Default)]
struct RecordingBackoff(Arc<Mutex<Vec<(Work, &'static str)>>>);

struct RecordingAttempts {
    work: Work,
    attempts: Box<dyn Attempts>,
    pauses: Arc<Mutex<Vec<(Work, &'static str)>>>,
}

impl Backoff for RecordingBackoff {
    fn start(&self, work: Work) -> Box<dyn Attempts> {
        Box::new(RecordingAttempts { work, attempts: NoBackoff.start(work), pauses: Arc::clone(&self.0) })
    }
}

#[async_trait]
impl Attempts for RecordingAttempts {
    async fn pause(&mut self, cause: &StoreError) -> bool {
        let retries = self.attempts.pause(cause).await;
        if retries {
            self.pauses.lock().expect("no panic").push((self.work, cause.kind()));
        }
        retries
    }
}

/// A shop on a scripted store.
struct Shop {
    scene: Scene,
    steps: Vec<Step>,
    markers: Vec<Result<bool, StoreError>>,
}

/// The answers and the recorded calls of a batch.
struct Run {
    answers: Answers,
    tables: Tables,
    begun: Vec<(BatchId, FirstKeys)>,
    locked: Vec<LockSet>,
    commits: Vec<Changes>,
    queried: Vec<BatchId>,
    pauses: Vec<(Work, &'static str)>,
}

impl Shop {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::of(Scene::new(), steps)
    }

    fn of(mut scene: Scene, steps: impl IntoIterator<Item = Step>) -> Self {
        scene.tables.written = Appended::default();
        Self { scene, steps: steps.into_iter().collect(), markers: vec![] }
    }

    fn with_markers(self, markers: impl IntoIterator<Item = Result<bool, StoreError>>) -> Self {
        Self { markers: markers.into_iter().collect(), ..self }
    }

    /// Executes the batch and asserts that the script is used up.
    async fn run(self, requests: &[Request]) -> Run {
        let Self { scene, steps, markers } = self;
        let store = ScriptedStore(Arc::new(Mutex::new(Script {
            steps: steps.into(),
            markers: markers.into(),
            tables: scene.tables,
            open: Arc::default(),
            begun: vec![],
            locked: vec![],
            commits: vec![],
            queried: vec![],
        })));
        let backoff = RecordingBackoff::default();
        let executor = BatchExecutor {
            factory: Arc::new(store.clone()),
            rules: Arc::new(scene.rules),
            ids: Arc::new(scene.ids),
            events: Arc::new(PlainEvents),
            backoff: Arc::new(backoff.clone()),
        };
        let answers = executor.execute(requests).await;
        drop(executor);
        let script = Arc::into_inner(store.0).expect("no other store").into_inner().expect("no panic");
        let Script { steps, markers, tables, open, begun, locked, commits, queried } = script;
        assert!(steps.is_empty() && markers.is_empty(), "{} steps and {} markers left", steps.len(), markers.len());
        assert_eq!(Arc::strong_count(&open), 1, "no open unit of work");
        let pauses = backoff.0.lock().expect("no panic").clone();
        Run { answers, tables, begun, locked, commits, queried, pauses }
    }
}

async fn run(steps: impl IntoIterator<Item = Step>, requests: &[Request]) -> Run {
    Shop::new(steps).run(requests).await
}

fn conflict() -> StoreError {
    StoreError::Conflict(Arc::new(std::io::Error::other("a deadlock")))
}

fn unavailable() -> StoreError {
    StoreError::Unavailable(Arc::new(std::io::Error::other("gone")))
}

fn unknown() -> StoreError {
    StoreError::CommitUnknown(Arc::new(std::io::Error::other("no answer")))
}

fn unexpected() -> StoreError {
    StoreError::unexpected("a bug")
}

fn errors() -> [StoreError; 5] {
    [conflict(), unavailable(), unknown(), StoreError::corrupt("a row"), unexpected()]
}

fn top_up(user_id: &str, amount: i64) -> Request {
    Request::new(TopUpPoints { user_id: user(user_id), amount: positive(amount) })
}

/// A top-up above its limit.
fn rejected_top_up(user_id: &str) -> Request {
    top_up(user_id, 1_000_001)
}

fn top_up_rejection() -> Rejection {
    PointRejection::TopUpLimitExceeded { top_up_max: won(1_000_000) }.into()
}

fn key(number: u8) -> IdempotencyKey {
    IdempotencyKey { key: RequestKey([number; 16]), fingerprint: Fingerprint([number; 16]) }
}

/// The key of that number with another fingerprint.
fn reused_key(number: u8) -> IdempotencyKey {
    IdempotencyKey { fingerprint: Fingerprint([0; 16]), ..key(number) }
}

fn recorded(
    request: Request,
    idempotency: Option<IdempotencyKey>,
    audited_as: Option<&str>,
    renderer: impl AnswerRenderer + 'static,
) -> Request {
    let audited_as = audited_as.map(|actor| user(actor).into());
    Request { recording: Some(Recording { idempotency, audited_as, renderer: Arc::new(renderer) }), ..request }
}

fn keyed(request: Request, number: u8) -> Request {
    recorded(request, Some(key(number)), None, PlainAnswers)
}

fn rendered(head: &str, body: &str) -> RenderedAnswer {
    RenderedAnswer { head: head.to_owned(), body: body.to_owned() }
}

fn stored(number: u8, body: &str) -> StoredAnswer {
    StoredAnswer { request: key(number), answer: rendered("200", body), at: NOON }
}

/// A renderer with one expected call.
fn renders(answer: RenderedAnswer) -> MockAnswerRenderer {
    let mut renderer = MockAnswerRenderer::new();
    renderer.expect_render().times(1).return_const(answer);
    renderer
}

/// A renderer without expected calls.
fn never_renders() -> MockAnswerRenderer {
    MockAnswerRenderer::new()
}

#[track_caller]
fn outcome(answer: &Result<Answer, StoreError>) -> &Outcome {
    match answer {
        Ok(Answer::Decided { outcome, .. }) => outcome,
        other => panic!("an outcome is expected, not {other:?}"),
    }
}

#[track_caller]
fn assert_topped_up(answers: &[Result<Answer, StoreError>], amounts: &[i64]) {
    let topped_up: Vec<_> = answers
        .iter()
        .map(|answer| match outcome(answer) {
            Ok(Reply::PointsToppedUp(entry)) => entry.amount,
            other => panic!("a top-up is expected, not {other:?}"),
        })
        .collect();
    assert_eq!(topped_up, amounts.iter().map(|amount| won(*amount)).collect::<Vec<_>>());
}

#[track_caller]
fn assert_failed(answers: &[Result<Answer, StoreError>], kind: &str, count: usize) {
    let kinds: Vec<_> = answers.iter().map(|answer| answer.as_ref().err().map(StoreError::kind)).collect();
    assert_eq!(kinds, vec![Some(kind); count]);
}

/// The account locks of each transaction, by user.
fn locked_users(run: &Run) -> Vec<Vec<&str>> {
    let users = |locks: &LockSet| LockSet { accounts: BTreeSet::new(), ..locks.clone() } == LockSet::default();
    assert!(run.locked.iter().all(users), "only accounts are locked: {:?}", run.locked);
    run.locked.iter().map(|locks| locks.accounts.iter().map(UserId::as_str).collect()).collect()
}

fn balances(tables: &Tables) -> Vec<(&str, Money)> {
    tables.accounts.values().map(|account| (account.user_id.as_str(), account.balance)).collect()
}

#[track_caller]
fn assert_new_ids(run: &Run) {
    let ids: BTreeSet<_> = run.begun.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids.len(), run.begun.len(), "a new id for each transaction");
}

#[tokio::test]
async fn an_empty_batch_begins_nothing() {
    assert!(run([], &[]).await.answers.is_empty());
}

#[tokio::test]
async fn a_batch_is_one_transaction_and_writes_each_row_once() {
    let run = run([Step::Commits], &[top_up("kim", 1), top_up("lee", 2), top_up("kim", 3)]).await;
    assert_topped_up(&run.answers, &[1, 2, 3]);
    assert!(run.answers.iter().all(|answer| matches!(answer, Ok(Answer::Decided { rendered: None, .. }))));
    assert_eq!(run.begun.iter().map(|(_, keys)| keys).collect::<Vec<_>>(), [&FirstKeys::default()]);
    assert_eq!(locked_users(&run), [["kim", "lee"]]);
    let [changes] = &run.commits[..] else { panic!("one commit, not {:?}", run.commits) };
    let accounts: Vec<_> = changes.accounts.inserted.iter().map(|account| (account.balance, account.entries)).collect();
    assert_eq!(accounts, [(won(4), 2), (won(2), 1)]);
    let entries = &changes.appended.point_entries;
    assert_eq!(entries.iter().map(|entry| entry.amount).collect::<Vec<_>>(), [won(1), won(2), won(3)]);
    let expected = Changes {
        accounts: RowChanges::inserted(changes.accounts.inserted.clone()),
        appended: Appended { point_entries: entries.clone(), ..Appended::default() },
        ..Changes::default()
    };
    assert_eq!(*changes, expected);
    assert!(run.queried.is_empty() && run.pauses.is_empty());
}

/// An order can be paid and cancelled in one batch, with a coupon issued in it.
#[tokio::test]
async fn commands_see_the_effects_of_earlier_commands() {
    let mut scene = Scene::new();
    let lamp = scene.lamp(1_000, 2);
    let campaign_id = scene.campaign(campaign_details(fixed(100), 1));
    let kim = user("kim");
    let [order_id, second_id] = [(); 2].map(|()| scene.order(&kim, &[(lamp, 1)]));
    let issue = IssueCoupon { campaign_id, user_id: kim.clone() };
    let place = place(&kim, &[(lamp, 1)]);
    let best = |order_id| pay(order_id, customer(&kim), CouponChoice::Best).into();
    let commands: [Command; 11] = [
        place.clone().into(),
        issue.clone().into(),
        issue.into(),
        best(order_id),
        top_up("kim", 1_000).command,
        best(order_id),
        best(order_id),
        CancelOrder { order_id, actor: customer(&kim) }.into(),
        place.clone().into(),
        place.into(),
        best(second_id),
    ];
    let requests = commands.map(Request::new);
    let run = Shop::of(scene, [Step::Commits]).run(&requests).await;
    let outcomes: Vec<_> = run.answers.iter().map(outcome).collect();
    let Ok(Reply::CouponIssued { coupon, .. }) = outcomes[1] else { panic!("{outcomes:?}") };
    let Ok(Reply::OrderPaid(payment)) = outcomes[5] else { panic!("{outcomes:?}") };
    assert_eq!((payment.amount, payment.coupon_id, payment.balance_after), (won(900), Some(coupon.id), won(100)));
    let Ok(Reply::OrderPaid(payment)) = outcomes[10] else { panic!("{outcomes:?}") };
    assert_eq!((payment.amount, payment.coupon_id), (won(900), Some(coupon.id)), "the coupon was restored");
    let rejected: Vec<_> = outcomes.iter().map(|outcome| outcome.is_err()).collect();
    assert_eq!(rejected, [true, false, true, true, false, false, true, false, false, true, false]);
    assert_eq!(*outcomes[6], Err(PaymentRejection::OrderAlreadyPaid.into()));

    let [changes] = &run.commits[..] else { panic!("one commit, not {:?}", run.commits) };
    let statuses: Vec<_> = changes.orders.updated.iter().map(|order| (order.after.id, order.after.status)).collect();
    assert_eq!(statuses, [(order_id, OrderStatus::Refunded), (second_id, OrderStatus::Paid)]);
    let statuses: Vec<_> = changes.orders.inserted.iter().map(|order| order.status).collect();
    assert_eq!(statuses, [OrderStatus::PendingPayment]);
    let coupon = &changes.coupons.inserted[0];
    assert_eq!(coupon.state, CouponState::Used { order_id: second_id, at: NOON });
    let balances: Vec<_> = changes.accounts.updated.iter().map(|account| account.after.balance).collect();
    assert_eq!(balances, [won(100)]);
    assert_eq!(changes.appended.payments.len(), 2);
}

/// The clock of [`SequentialIds`] is decades slow.
#[tokio::test]
async fn ids_of_rows_have_the_databases_time_and_ascend_within_a_batch() {
    let mut scene = Scene::new();
    let lamp = scene.lamp(1_000, 2);
    let requests = [(); 2].map(|()| Request::new(place(&user("kim"), &[(lamp, 1)])));
    let run = Shop::of(scene, [Step::Commits]).run(&requests).await;
    assert_eq!(run.begun[0].0.uuid(), SequentialIds::id(1));
    let orders = run.answers.iter().map(|answer| match outcome(answer) {
        Ok(Reply::OrderPlaced { order, .. }) => order.id,
        other => panic!("an order is expected, not {other:?}"),
    });
    let movements = run.commits[0].appended.stock_movements.iter().map(|movement| movement.id);
    let bounds = [NOON, NOON.saturating_add(Duration::milliseconds(1))].map(first_id_at);
    for ids in [orders.map(Uuid::from).collect::<Vec<_>>(), movements.map(Uuid::from).collect()] {
        assert!(bounds[0] < ids[0] && ids[0] < ids[1] && ids[1] < bounds[1], "{ids:?}");
    }
}

#[tokio::test]
async fn a_conflict_or_an_outage_is_retried_as_a_new_transaction() {
    for error in [conflict(), unavailable()] {
        let kind = error.kind();
        let steps = [Step::LockFails(error.clone()), Step::LockFails(error), Step::Commits];
        let run = run(steps, &[top_up("kim", 1), top_up("lee", 2)]).await;
        assert_topped_up(&run.answers, &[1, 2]);
        assert_eq!(run.pauses, [(Work::Transaction, kind); 2]);
        assert_eq!(locked_users(&run), [["kim", "lee"]; 3]);
        assert_new_ids(&run);
    }
}

#[tokio::test]
async fn a_lasting_conflict_is_returned_after_a_bounded_number_of_attempts() {
    for error in [conflict(), unavailable()] {
        let kind = error.kind();
        let steps = (0..ATTEMPTS_MIN).map(|_| Step::LockFails(error.clone()));
        let run = run(steps, &[top_up("kim", 1), top_up("lee", 2)]).await;
        assert_failed(&run.answers, kind, 2);
        assert_eq!(run.pauses, [(Work::Transaction, kind); 4]);
    }
}

#[tokio::test]
async fn a_conflict_at_begin_is_retried() {
    let run = run([Step::BeginFails(conflict()), Step::Commits], &[top_up("kim", 1)]).await;
    assert_topped_up(&run.answers, &[1]);
    assert_eq!(run.pauses, [(Work::Transaction, "conflict")]);
    assert_new_ids(&run);
}

#[tokio::test]
async fn an_outage_at_begin_is_not_retried() {
    let run = run([Step::BeginFails(unavailable())], &[top_up("kim", 1), top_up("lee", 2)]).await;
    assert_failed(&run.answers, "unavailable", 2);
    assert!(run.pauses.is_empty());
}

#[tokio::test]
async fn an_unexpected_error_fails_only_its_own_command() {
    for error in [unexpected(), StoreError::corrupt("a row")] {
        let kind = error.kind();
        let fails = || Step::LockFails(error.clone());
        let steps = [fails(), Step::Commits, fails(), Step::Commits, fails(), fails(), Step::Commits];
        let requests = ["a", "b", "c", "poison", "e"].map(|user_id| top_up(user_id, 1));
        let mut run = run(steps, &requests).await;
        let expected: [&[&str]; 7] = [
            &["a", "b", "c", "e", "poison"],
            &["a", "b"],
            &["c", "e", "poison"],
            &["c"],
            &["e", "poison"],
            &["poison"],
            &["e"],
        ];
        assert_eq!(locked_users(&run), expected, "each part is run in the order of the requests");
        assert_eq!(balances(&run.tables), ["a", "b", "c", "e"].map(|user_id| (user_id, won(1))));
        assert!(run.pauses.is_empty());
        assert_failed(&[run.answers.remove(3)], kind, 1);
        assert_topped_up(&run.answers, &[1, 1, 1, 1]);
    }
}

#[tokio::test]
async fn an_unexpected_error_at_begin_halves_the_batch() {
    let steps = [Step::BeginFails(unexpected()), Step::Commits, Step::BeginFails(unexpected())];
    let mut run = run(steps, &[top_up("kim", 1), top_up("lee", 2)]).await;
    assert_failed(&run.answers.split_off(1), "unexpected", 1);
    assert_topped_up(&run.answers, &[1]);
}

#[tokio::test]
async fn each_half_has_its_own_attempts() {
    let conflicts = || (1..ATTEMPTS_MIN).map(|_| Step::LockFails(conflict()));
    let first = conflicts().chain([Step::LockFails(unexpected())]);
    let halves = conflicts().chain([Step::Commits, Step::LockFails(unexpected())]);
    let mut run = run(first.chain(halves), &[top_up("kim", 1), top_up("lee", 2)]).await;
    assert_failed(&run.answers.split_off(1), "unexpected", 1);
    assert_topped_up(&run.answers, &[1]);
    assert_eq!(run.pauses, [(Work::Transaction, "conflict"); 8]);
}

#[tokio::test]
async fn an_effective_commit_is_answered_after_any_error() {
    for error in errors() {
        let shop = Shop::new([Step::CommitFails(error)]).with_markers([Ok(true)]);
        let run = shop.run(&[top_up("kim", 1), top_up("lee", 2)]).await;
        assert_topped_up(&run.answers, &[1, 2]);
        assert_eq!(run.queried, [run.begun[0].0], "the id of the marker");
        assert_eq!(run.begun.len(), 1, "no retry");
        assert!(run.pauses.is_empty());
    }
}

#[tokio::test]
async fn a_commit_without_effect_is_retried_under_a_new_id() {
    for (error, kind) in [(conflict(), "conflict"), (unavailable(), "unavailable"), (unknown(), "unavailable")] {
        let shop = Shop::new([Step::CommitFails(error), Step::Commits]).with_markers([Ok(false)]);
        let run = shop.run(&[top_up("kim", 1), top_up("lee", 2)]).await;
        assert_topped_up(&run.answers, &[1, 2]);
        assert_eq!(run.pauses, [(Work::Transaction, kind)]);
        assert_eq!(run.queried, [run.begun[0].0]);
        assert_eq!(balances(&run.tables), [("kim", won(1)), ("lee", won(2))]);
        assert_new_ids(&run);
    }
}

#[tokio::test]
async fn an_unexpected_error_of_a_commit_without_effect_halves_the_batch() {
    for error in [unexpected(), StoreError::corrupt("a row")] {
        let kind = error.kind();
        let steps = [Step::CommitFails(error.clone()), Step::CommitFails(error), Step::Commits];
        let shop = Shop::new(steps).with_markers([Ok(false), Ok(false)]);
        let mut run = shop.run(&[top_up("poison", 1), top_up("lee", 2)]).await;
        assert_eq!(locked_users(&run), [vec!["lee", "poison"], vec!["poison"], vec!["lee"]]);
        assert_eq!(run.queried, [run.begun[0].0, run.begun[1].0]);
        assert_topped_up(&run.answers.split_off(1), &[2]);
        assert_failed(&run.answers, kind, 1);
    }
}

#[tokio::test]
async fn an_unreadable_marker_is_queried_again() {
    let markers = [Err(unavailable()), Err(conflict()), Ok(true)];
    let run = Shop::new([Step::CommitFails(unknown())]).with_markers(markers).run(&[top_up("kim", 1)]).await;
    assert_topped_up(&run.answers, &[1]);
    assert_eq!(run.pauses, [(Work::MarkerQuery, "unavailable"), (Work::MarkerQuery, "conflict")]);
    assert_eq!(run.queried, [run.begun[0].0; 3]);
}

#[tokio::test]
async fn a_commit_with_an_unreadable_marker_is_unknown_and_not_retried() {
    for error in errors() {
        let markers = (0..MARKER_QUERIES_MAX).map(|_| Err(unavailable()));
        let shop = Shop::new([Step::CommitFails(error)]).with_markers(markers);
        let run = shop.run(&[top_up("kim", 1), top_up("lee", 2)]).await;
        assert_failed(&run.answers, "commit_unknown", 2);
        assert_eq!(run.queried, [run.begun[0].0; 10]);
        assert_eq!(run.pauses, [(Work::MarkerQuery, "unavailable"); 9]);
        assert_eq!(run.begun.len(), 1);
    }
}

#[tokio::test]
async fn a_batch_without_changes_is_not_committed() {
    let run = run([Step::Drops], &[rejected_top_up("kim")]).await;
    assert_eq!(*outcome(&run.answers[0]), Err(top_up_rejection()));
}

#[tokio::test]
async fn answers_are_stored_unchanged_in_ascending_key_order() {
    let requests = [keyed(top_up("kim", 3), 3), keyed(top_up("lee", 1), 1), keyed(top_up("kim", 2), 2)];
    let run = run([Step::Commits], &requests).await;
    assert_topped_up(&run.answers, &[3, 1, 2]);
    let expected = |place: usize, number| {
        let Ok(Answer::Decided { outcome, rendered: Some(rendered) }) = &run.answers[place] else {
            panic!("a rendered answer is expected");
        };
        assert_eq!(*rendered, PlainAnswers.render(outcome));
        StoredAnswer { request: key(number), answer: rendered.clone(), at: NOON }
    };
    assert_eq!(run.commits[0].appended.answers, [expected(1, 1), expected(2, 2), expected(0, 3)]);
    assert_eq!(run.begun[0].1.answers, [1, 2, 3].map(|number| key(number).key).into());
}

#[tokio::test]
async fn a_rejection_by_state_is_stored_without_other_changes() {
    let answer = rendered("422", "too much");
    let request = recorded(rejected_top_up("kim"), Some(key(1)), None, renders(answer.clone()));
    let run = run([Step::Commits], &[request]).await;
    let expected = Answer::Decided { outcome: Err(top_up_rejection()), rendered: Some(answer.clone()) };
    assert!(matches!(&run.answers[..], [Ok(decided)] if *decided == expected), "{:?}", run.answers);
    let answers = vec![StoredAnswer { request: key(1), answer, at: NOON }];
    let appended = Appended { answers, ..Appended::default() };
    assert_eq!(run.commits, [Changes { appended, ..Changes::default() }]);
}

#[tokio::test]
async fn a_not_found_rejection_is_not_stored() {
    let scene = Scene::new();
    let order_id: OrderId = scene.id();
    let cancel = CancelOrder { order_id, actor: customer(&user("kim")) };
    let request = recorded(Request::new(cancel), Some(key(1)), Some("admin"), never_renders());
    let run = Shop::of(scene, [Step::Drops]).run(&[request.clone(), request]).await;
    let not_found = Answer::Decided { outcome: Err(OrderRejection::NotFound.into()), rendered: None };
    assert_eq!(run.answers.len(), 2);
    assert!(run.answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| *answer == not_found)));
    assert_eq!(run.begun[0].1.orders, [order_id].into());
    let locked = LockSet { audit_chains: [user("admin")].into(), ..LockSet::default() };
    assert_eq!(run.locked, [locked], "a missing order has no rows");
}

#[tokio::test]
async fn a_stored_answer_is_replayed_without_locks() {
    let mut scene = Scene::new();
    scene.tables.answers = [1, 2].map(|number| (key(number).key, stored(number, "then"))).into();
    let requests = [
        recorded(top_up("kim", 1), Some(key(1)), Some("admin"), never_renders()),
        recorded(top_up("kim", 1), Some(reused_key(2)), None, never_renders()),
    ];
    let run = Shop::of(scene, [Step::Drops]).run(&requests).await;
    let answers: Vec<_> = run.answers.into_iter().map(|answer| answer.expect("no failure")).collect();
    assert_eq!(answers, [Answer::Replayed(rendered("200", "then")), Answer::KeyReused]);
    assert_eq!(run.begun[0].1.answers, [1, 2].map(|number| key(number).key).into());
    assert_eq!(run.locked, [LockSet::default()]);
}

#[tokio::test]
async fn a_duplicate_request_of_a_batch_is_decided_once() {
    let answer = rendered("200", "five");
    let request = recorded(top_up("kim", 5), Some(key(1)), None, renders(answer.clone()));
    let reused = recorded(top_up("kim", 6), Some(reused_key(1)), None, never_renders());
    let mut run = run([Step::Commits], &[request.clone(), request, reused]).await;
    let others: Vec<_> = run.answers.split_off(1).into_iter().map(|answer| answer.expect("no failure")).collect();
    assert_eq!(others, [Answer::Replayed(answer), Answer::KeyReused]);
    assert_topped_up(&run.answers, &[5]);
    assert_eq!(balances(&run.tables), [("kim", won(5))]);
}

#[tokio::test]
async fn a_key_stored_by_a_concurrent_transaction_is_found_by_the_next_attempt() {
    let steps = [Step::LosesKey(stored(1, "theirs")), Step::Commits];
    let requests = [keyed(top_up("kim", 1), 1), keyed(top_up("lee", 2), 2)];
    let mut run = Shop::new(steps).with_markers([Ok(false)]).run(&requests).await;
    assert_topped_up(&run.answers.split_off(1), &[2]);
    let theirs = Answer::Replayed(rendered("200", "theirs"));
    assert!(matches!(&run.answers[..], [Ok(replayed)] if *replayed == theirs), "{:?}", run.answers);
    assert_eq!(run.pauses, [(Work::Transaction, "conflict")]);
    assert_eq!(locked_users(&run), [vec!["kim", "lee"], vec!["lee"]]);
    assert_eq!(balances(&run.tables), [("lee", won(2))]);
}

#[tokio::test]
async fn audited_successes_append_an_entry_with_the_response_body() {
    let mut scene = Scene::new();
    let lamp = scene.lamp(1, 5);
    let adjust = AdjustStock { product_id: lamp, quantity: 1, reason: text("found") };
    let adjust = Request::new(adjust);
    let requests = [
        recorded(adjust, Some(key(1)), Some("lee"), renders(rendered("201", "moved"))),
        recorded(top_up("kim", 1), None, Some("park"), renders(rendered("200", "more"))),
        recorded(rejected_top_up("kim"), None, Some("lee"), never_renders()),
        recorded(rejected_top_up("kim"), Some(key(2)), Some("lee"), renders(rendered("422", "too much"))),
        recorded(top_up("kim", 2), None, None, never_renders()),
    ];
    let run = Shop::of(scene, [Step::Commits]).run(&requests).await;
    let rendered_heads: Vec<_> = run
        .answers
        .iter()
        .map(|answer| match answer {
            Ok(Answer::Decided { rendered, .. }) => rendered.as_ref().map(|answer| answer.head.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(rendered_heads, [Some("201"), Some("200"), None, Some("422"), None]);
    let Appended { audit, answers, .. } = &run.commits[0].appended;
    let entry = |at: usize, actor, action: &str, subject_kind: &str, subject_id: String, body: &str| AuditEntry {
        id: audit[at].id,
        at: NOON,
        actor: user(actor),
        action: action.to_owned(),
        subject_kind: subject_kind.to_owned(),
        subject_id,
        reason: (at == 0).then(|| text("found")),
        body: body.to_owned(),
        request_id: None,
        address: None,
        link: audit[at].link,
    };
    let expected = [
        entry(0, "lee", "adjust_stock", "product", lamp.to_string(), "moved"),
        entry(1, "park", "top_up_points", "user", "kim".to_owned(), "more"),
    ];
    assert_eq!(audit[..], expected);
    assert_ne!(audit[0].id, audit[1].id);
    let chain =
        |entry: &AuditEntry| AuditChain { actor: entry.actor.clone(), entries: 1, hash: entry.hash_after(&[0; 32], 1) };
    assert_eq!(run.commits[0].audit_chains, RowChanges::inserted(audit.iter().map(chain)));
    assert!(audit.iter().all(|entry| entry.link.is_some_and(|link| link.hash == chain(entry).hash)));
    assert_eq!(answers.iter().map(|answer| answer.request).collect::<Vec<_>>(), [key(1), key(2)]);
}

#[tokio::test]
async fn audited_changes_of_one_actor_continue_their_chain() {
    let by = |actor| recorded(top_up("kim", 1), None, Some(actor), renders(rendered("200", "more")));
    let first = run([Step::Commits], &[by("lee"), by("park"), by("lee")]).await;
    let scene = Scene { tables: first.tables, ..Scene::new() };
    let second = Shop::of(scene, [Step::Commits]).run(&[by("lee")]).await;
    let written = [&first.commits[0], &second.commits[0]].map(|changes| changes.appended.audit.clone()).concat();
    let own: Vec<_> = written.iter().filter(|entry| entry.actor == user("lee")).collect();
    let links: Vec<_> = own.iter().filter_map(|entry| entry.link).collect();
    assert_eq!(links.iter().map(|link| link.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(
        own[1..]
            .iter()
            .zip(links.windows(2))
            .all(|(entry, pair)| { entry.hash_after(&pair[0].hash, pair[1].sequence) == pair[1].hash })
    );
    let Update { before, after } = &second.commits[0].audit_chains.updated[0];
    assert_eq!((before.entries, after.entries, after.hash), (2, 3, links[2].hash));
    assert_eq!(second.locked[0].audit_chains, [user("lee")].into());
}

#[tokio::test]
async fn a_panic_in_a_decision_fails_only_its_own_command() {
    let mut scene = Scene::new();
    let lamp = scene.lamp(1_000, 1);
    let lee = scene.user("lee", 1_000);
    let order_id = scene.order(&lee, &[(lamp, 1)]);
    let mut calendar = MockShopCalendar::new();
    calendar.expect_day_of().returning(|_| panic!("no such day"));
    scene.rules.calendar = Arc::new(calendar);
    let paying = keyed(Request::new(pay(order_id, customer(&lee), CouponChoice::None)), 1);
    let requests = [top_up("kim", 1), paying, keyed(top_up("lee", 2), 2)];
    let mut run = Shop::of(scene, [Step::Commits]).run(&requests).await;
    let Err(error) = run.answers.remove(1) else { panic!("a panic is a failure") };
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(cause.as_deref(), Some("pay_order panicked: no such day"));
    assert_eq!(error.kind(), "unexpected");
    assert_topped_up(&run.answers, &[1, 2]);
    assert_eq!(balances(&run.tables), [("kim", won(1)), ("lee", won(1_002))]);
    assert_eq!(run.tables.orders[&order_id].status, OrderStatus::PendingPayment);
    assert_eq!(run.tables.answers.keys().collect::<Vec<_>>(), [&key(2).key]);
}

#[tokio::test]
async fn a_panic_in_a_renderer_fails_only_its_own_command() {
    let mut renderer = MockAnswerRenderer::new();
    renderer.expect_render().returning(|_| panic!("no such language"));
    let requests = [recorded(top_up("kim", 1), Some(key(1)), Some("admin"), renderer), keyed(top_up("lee", 2), 2)];
    let mut run = run([Step::Commits], &requests).await;
    assert_topped_up(&run.answers.split_off(1), &[2]);
    assert_failed(&run.answers, "unexpected", 1);
    assert_eq!(balances(&run.tables), [("lee", won(2))]);
    let Appended { audit, answers, .. } = &run.commits[0].appended;
    assert_eq!((audit.len(), answers.len()), (0, 1));
}

/// Two payments of the largest order that rules can allow exceed the largest daily revenue of a product in one batch.
#[tokio::test]
async fn a_panic_while_changes_are_absorbed_halves_the_batch() {
    let mut scene = Scene::new();
    scene.rules.order_lines_max = 1;
    scene.rules.order_quantity_max = 900_000;
    assert_eq!(scene.rules.check(), Ok(()));
    let lamp = scene.lamp(1_000_000_000, 0);
    let mut pending = |user_id: &str| {
        let user_id = user(user_id);
        let line = order_line(lamp, 900_000, 1_000_000_000);
        let order = pending_order(scene.id(), &user_id, vec![line], NOON);
        let account = account_with(&user_id, |record| {
            record.balance = order.total;
            record.open_orders = 1;
        });
        scene.tables.accounts.insert(user_id.clone(), account);
        let paying = Request::new(pay(order.id, customer(&user_id), CouponChoice::None));
        scene.tables.orders.insert(order.id, order);
        paying
    };
    let requests = [pending("kim"), pending("lee")];
    let run = Shop::of(scene, [Step::Drops, Step::Commits, Step::Commits]).run(&requests).await;
    assert!(run.answers.iter().all(|answer| matches!(outcome(answer), Ok(Reply::OrderPaid(_)))), "{:?}", run.answers);
    assert!(run.tables.orders.values().all(|order| order.status == OrderStatus::Paid));
}

#[tokio::test]
async fn an_answer_above_the_length_limit_fails_only_its_own_command() {
    let (head, body) = ("h".repeat(RenderedAnswer::HEAD_LENGTH_MAX), "b".repeat(RenderedAnswer::BODY_LENGTH_MAX));
    let longest = rendered(&head, &body);
    let requests = [
        recorded(top_up("a", 1), Some(key(1)), None, renders(rendered(&format!("{head}h"), ""))),
        recorded(top_up("b", 1), None, Some("admin"), renders(rendered("", &format!("{body}b")))),
        recorded(top_up("c", 1), Some(key(3)), Some("admin"), renders(longest.clone())),
    ];
    let mut run = run([Step::Commits], &requests).await;
    assert_topped_up(&run.answers.split_off(2), &[1]);
    assert_failed(&run.answers, "unexpected", 2);
    assert_eq!(balances(&run.tables), [("c", won(1))]);
    let Appended { audit, answers, .. } = &run.commits[0].appended;
    assert_eq!((audit.len(), answers.len()), (1, 1));
    assert!(answers[0].answer == longest && audit[0].body == body);
}

/// Two statements would lock products in two orders, and an order would not see the new price.
#[tokio::test]
async fn ordered_and_changed_products_are_locked_together() {
    let mut scene = Scene::new();
    let [lamp, chair] = [scene.lamp(7, 5), scene.lamp(7, 5)];
    let change = ProductChange { price: Some(won(9).try_into().expect("a price")), ..ProductChange::default() };
    let place = place(&user("kim"), &[(lamp, 1), (chair, 1)]);
    let change = ChangeProduct { product_id: chair, expected_version: None, change };
    let requests = [Request::new(change), Request::new(place)];
    let run = Shop::of(scene, [Step::Commits]).run(&requests).await;
    let Ok(Reply::OrderPlaced { order, .. }) = outcome(&run.answers[1]) else { panic!("{:?}", run.answers) };
    assert_eq!(order.total, won(7 + 9));
    let expected = [(lamp, ProductDepth::Offer), (chair, ProductDepth::Whole)].into();
    assert_eq!(run.locked[0].products, expected, "one lock statement for all products");

    let mut locks = LockSet::default();
    for request in requests.iter().rev() {
        request.command.rule().declare_locks(None, &mut locks);
    }
    assert_eq!(locks.products, expected, "independent of the order of the commands");
}

#[tokio::test]
async fn a_batch_locks_the_rows_of_all_commands_at_once() {
    let mut scene = Scene::new();
    let [kim, lee, park] = ["kim", "lee", "park"].map(|user_id| scene.user(user_id, 1_000));
    let [lamp, chair, table] = [scene.lamp(7, 5), scene.lamp(10, 5), scene.lamp(20, 5)];
    let pending = scene.order(&lee, &[(chair, 1)]);
    let candidate = scene.coupon(campaign_details(fixed(1), 1), &lee);
    let paid = scene.order(&park, &[(table, 1)]);
    let used = scene.coupon(campaign_details(fixed(1), 1), &park);
    scene.pay(paid, &park, CouponChoice::Named(used)).expect("payable");
    let event_id = scene.tables.written.outbox[0].id;
    let unused = scene.coupon(campaign_details(fixed(1), 1), &kim);
    let [open, changed] = [(); 2].map(|()| scene.campaign(campaign_details(fixed(1), 9)));
    let placed = scene.order(&kim, &[(lamp, 1)]);
    let change = ChangeCampaign {
        campaign_id: changed,
        change: CampaignChange { quantity: Some(10), ..CampaignChange::default() },
    };
    let details = ProductChange { sku: Some(Some(text("STOOL"))), ..ProductChange::default() };
    let requests = [
        keyed(top_up("seo", 100), 1),
        Request::new(AdjustStock { product_id: chair, quantity: 1, reason: text("found") }),
        Request::new(place(&kim, &[(lamp, 1)])),
        Request::new(IssueCoupon { campaign_id: open, user_id: kim.clone() }),
        Request::new(CreateProduct { details: product_details("table", 1) }),
        Request::new(ChangeProduct { product_id: chair, expected_version: None, change: details }),
        Request::new(pay(pending, customer(&lee), CouponChoice::Best)),
        Request::new(CancelOrder { order_id: placed, actor: admin() }),
        keyed(
            Request::new(RefundOrder {
                order_id: paid,
                lines: order_lines(&[(table, 1)]),
                restock: true,
                reason: text("broken"),
            }),
            2,
        ),
        Request::new(RevokeCoupon { coupon_id: unused }),
        Request::new(change),
        Request::new(RedeliverEvent { event_id }),
    ];
    let run = Shop::of(scene, [Step::Commits]).run(&requests).await;
    assert!(run.answers.iter().all(|answer| outcome(answer).is_ok()), "{:?}", run.answers);
    let first = FirstKeys { answers: [key(1).key, key(2).key].into(), orders: [pending, paid, placed].into() };
    assert_eq!(run.begun.iter().map(|(_, keys)| keys).collect::<Vec<_>>(), [&first]);
    let locks = LockSet {
        campaigns: [open, changed].into(),
        past_recipients: [(open, kim.clone())].into(),
        unused_coupons_of: [lee.clone()].into(),
        coupons: [used, unused].into(),
        products: [(lamp, ProductDepth::Offer), (chair, ProductDepth::Whole)].into(),
        skus: [text("STOOL")].into(),
        stocks: [lamp, chair, table].into(),
        accounts: [kim, lee, park, user("seo")].into(),
        events: [event_id].into(),
        audit_chains: BTreeSet::new(),
    };
    assert_eq!(run.locked, [locks]);
    assert_eq!(run.tables.coupons[&candidate].state, CouponState::Used { order_id: pending, at: NOON });
    assert_eq!(run.tables.coupons[&used].state, CouponState::Unused);
    let stocks = [lamp, chair, table].map(|id| run.tables.stocks[&id].available);
    assert_eq!(stocks, [4, 5, 5]);
    assert_eq!(run.tables.stocks.values().filter(|stock| **stock == Stock::empty(stock.product_id)).count(), 1);
}
