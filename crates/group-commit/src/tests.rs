//! No test sleeps: runners block at a gate until the test opens it, and deadlines are far in the future or in the past.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::accepted::Pending;
use crate::group_commit::WHOLE_QUEUE_MAX;
use crate::{
    BatchOutcome, BatchReport, BatchRunner, Deadlines, Drain, GroupCommit, Observer, Settings, SubmitError, start,
    start_observed,
};

#[tokio::test]
async fn answers_an_item() {
    let (group, _drain) = start(vec![Scripted(answers)], settings(256, 1000));

    assert_eq!(group.submit(1, 0, far()).await, Ok(answer(1)));
}

#[test]
fn runs_a_single_item_immediately_without_a_timer() {
    // A lane with a timer would panic on this runtime without a time driver.
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut lanes = gated(1, 256, 1000);
        let _pending = lanes.enqueue(1);

        assert_eq!(lanes.batch().await, (0, vec![1]));
        lanes.gate.open();
        lanes.drain.drain().await;
    });
}

#[tokio::test]
async fn items_queued_during_a_batch_form_the_next_batch_in_order() {
    let mut lanes = gated(1, 256, 1000);
    let first = lanes.enqueue_and_wait_until_it_runs(1).await;
    let rest: Vec<_> = [5, 3, 4, 2].into_iter().map(|item| lanes.enqueue(item)).collect();

    lanes.gate.open();

    assert_eq!(lanes.batch().await, (0, vec![5, 3, 4, 2]));
    assert_eq!(first.answer().await, Ok(answer(1)));
    let replies = join_all(rest.into_iter().map(Pending::answer)).await;
    assert_eq!(replies, [5, 3, 4, 2].map(|item| Ok(answer(item))));
}

#[tokio::test]
async fn a_batch_has_at_most_batch_max_items() {
    let mut lanes = gated(1, 3, 1000);
    let _first = lanes.enqueue_and_wait_until_it_runs(1).await;
    let _rest: Vec<_> = (2..=8).map(|item| lanes.enqueue(item)).collect();

    lanes.gate.open();

    assert_eq!(lanes.batch().await, (0, vec![2, 3, 4]));
    assert_eq!(lanes.batch().await, (0, vec![5, 6, 7]));
    assert_eq!(lanes.batch().await, (0, vec![8]));
}

#[tokio::test]
async fn a_batch_takes_a_short_queue_whole_and_a_long_one_by_halves() {
    const N: usize = WHOLE_QUEUE_MAX;
    let cases: [(usize, &[usize]); 4] =
        [(N, &[N]), (N + 1, &[N, 1]), (4 * N - 1, &[2 * N, N, N - 1]), (10 * N, &[3 * N, 3 * N, 2 * N, N, N])];
    for (waiting, batches) in cases {
        let mut lanes = gated(1, 3 * N, 10 * N);
        let _first = lanes.enqueue_and_wait_until_it_runs(0).await;
        let _rest: Vec<_> = (1..).take(waiting).map(|item| lanes.enqueue(item)).collect();

        lanes.gate.open();

        let mut items = 1..;
        for &size in batches {
            let expected = items.by_ref().take(size).collect();
            assert_eq!(lanes.batch().await, (0, expected), "{waiting} queued");
        }
    }
}

#[tokio::test]
async fn runs_items_one_by_one_when_batch_max_is_one() {
    let mut lanes = gated(1, 1, 1000);
    let _pending: Vec<_> = (1..=3).map(|item| lanes.enqueue(item)).collect();

    lanes.gate.open();

    for item in 1..=3 {
        assert_eq!(lanes.batch().await, (0, vec![item]));
    }
}

#[tokio::test]
async fn rejects_immediately_while_the_queue_is_full() {
    let mut lanes = gated(1, 256, 2);
    let _running = lanes.enqueue_and_wait_until_it_runs(1).await;
    assert_eq!(lanes.group.depth(), 0, "running items are not queued");
    let _waiting = [lanes.enqueue(2), lanes.enqueue(3)];
    assert_eq!(lanes.group.depth(), 2);

    // `now_or_never`: the rejection is immediate.
    assert_eq!(lanes.group.submit(4, 0, far()).now_or_never(), Some(Err(SubmitError::QueueFull)));

    lanes.gate.open();
    assert_eq!(lanes.batch().await, (0, vec![2, 3]));
    assert_eq!(lanes.group.depth(), 0);
    assert_eq!(lanes.group.submit(4, 0, far()).await, Ok(answer(4)));
}

#[tokio::test]
async fn the_queue_is_bounded_over_all_lanes() {
    let lanes = gated(2, 256, 2);
    let _waiting = [lanes.enqueue_to(0, 1), lanes.enqueue_to(0, 2)];

    assert_eq!(lanes.group.submit(3, 1, far()).await, Err(SubmitError::QueueFull));
}

#[tokio::test]
async fn debug_output_shows_lanes_and_depth() {
    let lanes = gated(2, 256, 1000);
    let _waiting = lanes.enqueue(1);

    assert_eq!(format!("{:?}", lanes.group), "GroupCommit { lanes: 2, depth: 1 }");
}

#[tokio::test]
async fn a_deadline_that_passes_in_the_queue_is_reported_and_the_item_never_runs() {
    let mut lanes = gated(1, 256, 1000);
    let _running = lanes.enqueue_and_wait_until_it_runs(1).await;

    assert_eq!(lanes.group.submit(2, 0, Instant::now()).await, Err(SubmitError::DeadlinePassed));

    let _later = lanes.enqueue(3);
    lanes.gate.open();
    assert_eq!(lanes.batch().await, (0, vec![3]));
}

#[tokio::test]
async fn a_lane_discards_an_item_past_its_deadline() {
    let mut lanes = gated(1, 256, 1000);
    let _running = lanes.enqueue_and_wait_until_it_runs(1).await;
    // The caller is not polled, so that the lane must check the deadline.
    let late = lanes.group.enqueue(2, 0, Instant::now()).expect("a place");
    let _later = lanes.enqueue(3);

    lanes.gate.open();

    assert_eq!(lanes.batch().await, (0, vec![3]));
    assert_eq!(late.answer().await.err(), Some(SubmitError::DeadlinePassed));
}

#[tokio::test]
async fn the_start_deadline_applies_before_the_answer_deadline() {
    let mut lanes = gated(1, 256, 1000);
    let _running = lanes.enqueue_and_wait_until_it_runs(1).await;

    let deadlines = Deadlines { turn_by: Instant::now(), answer_by: far() };
    assert_eq!(lanes.group.submit(2, 0, deadlines).await, Err(SubmitError::DeadlinePassed));

    let _later = lanes.enqueue(3);
    lanes.gate.open();
    assert_eq!(lanes.batch().await, (0, vec![3]));
}

#[tokio::test]
async fn the_start_deadline_does_not_apply_to_a_running_item() {
    let mut lanes = gated(1, 256, 1000);
    let mut running = lanes.enqueue_and_wait_until_it_runs(1).await;

    // The start deadline passes after the start.
    running.deadlines = Deadlines { turn_by: Instant::now(), answer_by: far() };
    let mut answered = Box::pin(running.answer());
    assert!((&mut answered).now_or_never().is_none());

    lanes.gate.open();
    assert_eq!(answered.await, Ok(answer(1)));
}

#[tokio::test]
async fn the_answer_deadline_also_bounds_the_start() {
    let mut lanes = gated(1, 256, 1000);
    let _running = lanes.enqueue_and_wait_until_it_runs(1).await;

    let deadlines = Deadlines { turn_by: far(), answer_by: Instant::now() };
    assert_eq!(lanes.group.submit(2, 0, deadlines).await, Err(SubmitError::DeadlinePassed));
}

#[tokio::test]
async fn a_lost_batch_is_reported_before_its_deadline() {
    let runner = Scripted(|_: Vec<u32>| panic!("the runner's bug"));
    let (group, _drain) = start(vec![runner], settings(256, 1000));

    assert_eq!(
        group.submit(1, 0, Deadlines { turn_by: far(), answer_by: far() }).await,
        Err(SubmitError::AnswerUnknown)
    );
}

#[tokio::test]
async fn expired_items_take_no_place_in_a_batch() {
    let mut lanes = gated(1, 3, 1000);
    let _running = lanes.enqueue_and_wait_until_it_runs(1).await;
    for item in 2..=11 {
        let deadlines = if item % 2 == 0 { Instant::now() } else { far() };
        drop(lanes.group.enqueue(item, 0, deadlines).expect("a place"));
    }

    lanes.gate.open();

    assert_eq!(lanes.batch().await, (0, vec![3, 5, 7]));
    assert_eq!(lanes.batch().await, (0, vec![9, 11]));
}

#[tokio::test]
async fn a_batch_of_expired_items_is_skipped() {
    let mut lanes = gated(1, 256, 1000);
    let running = lanes.enqueue_and_wait_until_it_runs(1).await;
    drop(lanes.group.enqueue(2, 0, Instant::now()));

    lanes.gate.open();
    assert_eq!(running.answer().await, Ok(answer(1)));
    let after = lanes.enqueue(3);

    assert_eq!(lanes.batch().await, (0, vec![3]));
    assert_eq!(after.answer().await, Ok(answer(3)));
}

#[tokio::test]
async fn the_answer_of_an_item_running_at_its_deadline_is_unknown_and_the_item_completes() {
    let mut lanes = gated(1, 256, 1000);
    let mut running = lanes.enqueue_and_wait_until_it_runs(1).await;

    running.deadlines = Instant::now().into();
    assert_eq!(running.answer().await, Err(SubmitError::AnswerUnknown));

    lanes.gate.open();
    lanes.drain.drain().await;
    assert_eq!(lanes.finished.recv().await, Some(vec![1]));
}

#[tokio::test]
async fn an_accepted_item_runs_after_its_caller_is_dropped() {
    let mut lanes = gated(1, 256, 1000);
    drop(lanes.enqueue_and_wait_until_it_runs(1).await);
    drop(lanes.enqueue(2));
    let stays = lanes.enqueue(3);

    lanes.gate.open();

    assert_eq!(lanes.batch().await, (0, vec![2, 3]));
    assert_eq!(stays.answer().await, Ok(answer(3)));
    assert_eq!(lanes.finished.recv().await, Some(vec![1]));
    assert_eq!(lanes.finished.recv().await, Some(vec![2, 3]));
}

#[tokio::test]
async fn accepts_an_item_at_the_first_poll_of_submit() {
    let mut lanes = gated(1, 256, 1000);
    let group = lanes.group.clone();
    let never_polled = group.submit(1, 0, far());
    let mut polled_once = Box::pin(group.submit(2, 0, far()));
    assert!((&mut polled_once).now_or_never().is_none());
    drop((never_polled, polled_once));

    lanes.gate.open();

    assert_eq!(lanes.batch().await, (0, vec![2]));
}

#[tokio::test]
async fn a_drain_answers_accepted_items_and_rejects_new_ones() {
    let mut lanes = gated(1, 2, 1000);
    let mut accepted = vec![lanes.enqueue_and_wait_until_it_runs(1).await];
    accepted.extend((2..=6).map(|item| lanes.enqueue(item)));

    let mut drained = Box::pin(lanes.drain.drain());
    assert!((&mut drained).now_or_never().is_none(), "a batch is still running");
    assert_eq!(lanes.group.submit(7, 0, far()).await, Err(SubmitError::ShuttingDown));
    lanes.gate.open();
    drained.await;

    let replies = join_all(accepted.into_iter().map(Pending::answer)).await;
    assert_eq!(replies, [1, 2, 3, 4, 5, 6].map(|item| Ok(answer(item))));
    assert_eq!(lanes.group.depth(), 0);
}

#[tokio::test]
async fn drains_idle_lanes() {
    let lanes = gated(3, 256, 1000);

    lanes.drain.drain().await;

    assert_eq!(lanes.group.submit(1, 0, far()).await, Err(SubmitError::ShuttingDown));
}

#[tokio::test]
async fn a_drain_continues_after_its_future_is_dropped() {
    let mut lanes = gated(1, 256, 1000);
    let running = lanes.enqueue_and_wait_until_it_runs(1).await;
    let waiting = lanes.enqueue(2);
    assert!(lanes.drain.drain().now_or_never().is_none());

    lanes.gate.open();

    assert_eq!(running.answer().await, Ok(answer(1)));
    assert_eq!(waiting.answer().await, Ok(answer(2)));
    assert_eq!(lanes.batches.recv().await, Some((0, vec![2])));
    assert_eq!(lanes.batches.recv().await, None, "the lane has dropped its runner");
}

#[tokio::test]
async fn lanes_end_after_the_last_handle_is_dropped_and_all_accepted_items_are_answered() {
    let mut lanes = gated(1, 256, 1000);
    let running = lanes.enqueue_and_wait_until_it_runs(1).await;
    let waiting = lanes.enqueue(2);

    drop((lanes.group, lanes.drain));
    lanes.gate.open();

    assert_eq!(running.answer().await, Ok(answer(1)));
    assert_eq!(waiting.answer().await, Ok(answer(2)));
    assert_eq!(lanes.batches.recv().await, Some((0, vec![2])));
    assert_eq!(lanes.batches.recv().await, None, "the lane has dropped its runner");
}

#[tokio::test]
async fn lanes_run_while_a_handle_exists_without_a_drain() {
    let (group, drain) = start(vec![Scripted(answers)], settings(256, 1000));

    drop(drain);

    assert_eq!(group.submit(1, 0, far()).await, Ok(answer(1)));
}

#[tokio::test]
async fn a_panic_loses_its_batch_but_not_the_lane() {
    let runner = Scripted(|batch: Vec<u32>| {
        assert!(!batch.contains(&13), "the runner's bug");
        answers(batch)
    });
    let (group, drain) = start(vec![runner], settings(256, 1000));

    let lost = [12, 13].map(|item| group.enqueue(item, 0, far()).expect("a place"));
    for pending in lost {
        assert_eq!(pending.answer().await, Err(SubmitError::AnswerUnknown));
    }

    assert_eq!(group.submit(14, 0, far()).await, Ok(answer(14)));
    drain.drain().await;
}

#[tokio::test]
async fn a_wrong_number_of_answers_loses_the_batch() {
    let too_few = |batch: Vec<u32>| answers(batch[1..].to_vec());
    let too_many = |batch: Vec<u32>| answers([batch, vec![9]].concat());
    for wrong in [too_few, too_many] {
        let (group, drain) = start(vec![Scripted(wrong)], settings(256, 1000));

        // Twice: the lane continues.
        for _ in 0..2 {
            let batch = [1, 2].map(|item| group.enqueue(item, 0, far()).expect("a place"));
            for pending in batch {
                assert_eq!(pending.answer().await, Err(SubmitError::AnswerUnknown));
            }
        }
        drain.drain().await;
    }
}

#[tokio::test]
async fn equal_affinities_share_a_lane_while_other_lanes_run() {
    let mut lanes = gated(2, 256, 1000);
    let _busy = lanes.enqueue_to(0, 1);
    assert_eq!(lanes.batch().await, (0, vec![1]));

    let _same_lane = [lanes.enqueue_to(2, 2), lanes.enqueue_to(0, 3), lanes.enqueue_to(u64::MAX - 1, 4)];
    let _other_lane = lanes.enqueue_to(u64::MAX, 5);

    assert_eq!(lanes.batch().await, (1, vec![5]), "lane 0 is busy, lane 1 is not");
    lanes.gate.open();
    assert_eq!(lanes.batch().await, (0, vec![2, 3, 4]));
}

#[tokio::test]
async fn reports_every_batch_before_its_callers_are_answered() {
    let seen = Recorder::default();
    let runner = Scripted(|batch: Vec<u32>| {
        assert!(!batch.contains(&13), "the runner's bug");
        answers(batch)
    });
    let (group, _drain) = start_observed(vec![runner], settings(2, 1000), seen.clone());
    let pending: Vec<_> = [1, 2, 13].into_iter().map(|item| group.enqueue(item, 0, far()).expect("a place")).collect();

    join_all(pending.into_iter().map(Pending::answer)).await;

    let outcomes: Vec<_> = seen.reports().iter().map(|batch| (batch.lane, batch.size, batch.outcome)).collect();
    assert_eq!(outcomes, [(0, 2, BatchOutcome::Answered), (0, 1, BatchOutcome::Lost)]);
}

#[tokio::test]
async fn expired_items_are_not_reported() {
    let seen = Recorder::default();
    let (group, drain) = start_observed(vec![Scripted(answers)], settings(256, 1000), seen.clone());
    drop(group.enqueue(1, 0, Instant::now()));
    drop(group.enqueue(2, 0, far()));

    drain.drain().await;

    assert_eq!(seen.reports().iter().map(|batch| batch.size).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_runtime_shutdown_answers_every_caller_correctly() {
    let callers = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let lanes_runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let mut lanes = lanes_runtime.block_on(async { gated(1, 256, 1000) });
    callers.block_on(async {
        let running = lanes.enqueue_and_wait_until_it_runs(1).await;
        let waiting = lanes.enqueue(2);

        lanes_runtime.shutdown_background();

        assert_eq!(running.answer().await, Err(SubmitError::AnswerUnknown));
        assert_eq!(waiting.answer().await, Err(SubmitError::ShuttingDown));
        assert_eq!(lanes.group.submit(3, 0, far()).await, Err(SubmitError::ShuttingDown));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_of_many_callers_gets_its_own_answer_and_each_item_runs_once_in_order() {
    const CALLERS: u32 = 64;
    const ITEMS_EACH: u32 = 200;
    let (group, drain, runs) = counted(4, settings(16, 128));

    let callers = (0..CALLERS).map(|caller| {
        let group = group.clone();
        tokio::spawn(async move {
            for item in (0..ITEMS_EACH).map(|step| caller * ITEMS_EACH + step) {
                let pending = enqueue_when_there_is_room(&group, item, u64::from(caller)).await;
                // Every third answer is not awaited.
                if item % 3 != 0 {
                    assert_eq!(pending.answer().await, Ok(answer(item)));
                }
            }
        })
    });
    for caller in join_all(callers).await {
        caller.expect("every caller has its own answer");
    }
    drain.drain().await;

    let runs = runs.in_order();
    assert_eq!(runs.len(), (CALLERS * ITEMS_EACH) as usize);
    let mut by_caller: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for item in runs {
        by_caller.entry(item / ITEMS_EACH).or_default().push(item);
    }
    for (caller, items) in by_caller {
        let sent: Vec<_> = (caller * ITEMS_EACH..(caller + 1) * ITEMS_EACH).collect();
        assert_eq!(items, sent);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_race_of_deadline_and_lane_never_misreports_the_effect() {
    let (group, drain, runs) = counted(2, settings(8, 100_000));

    let callers = (0..5_000_u32).map(|item| {
        let group = group.clone();
        tokio::spawn(async move {
            let deadline = Instant::now() + Duration::from_micros(u64::from(item % 5_000));
            (item, group.submit(item, u64::from(item), deadline).await)
        })
    });
    let outcomes = join_all(callers).await;
    drain.drain().await;

    let mut times_run: BTreeMap<u32, usize> = BTreeMap::new();
    for item in runs.in_order() {
        *times_run.entry(item).or_default() += 1;
    }
    for outcome in outcomes {
        let (item, outcome) = outcome.expect("no caller panics");
        let expected = match outcome {
            Ok(own) => {
                assert_eq!(own, answer(item));
                1
            }
            Err(SubmitError::DeadlinePassed) => 0,
            Err(SubmitError::AnswerUnknown) => 1,
            Err(other @ (SubmitError::QueueFull | SubmitError::ShuttingDown)) => {
                panic!("{other} for {item}")
            }
        };
        assert_eq!(times_run.get(&item).copied().unwrap_or_default(), expected, "{item}: {outcome:?}");
    }
}

#[tokio::test]
#[should_panic(expected = "at least one runner")]
async fn starting_without_a_runner_panics() {
    drop(start(Vec::<Scripted<fn(Vec<u32>) -> Vec<u32>>>::new(), settings(1, 1)));
}

/// Lanes whose runners report each batch and block at a gate.
struct Gated {
    group: GroupCommit<u32, u32>,
    drain: Drain,
    batches: mpsc::UnboundedReceiver<(usize, Vec<u32>)>,
    finished: mpsc::UnboundedReceiver<Vec<u32>>,
    gate: Gate,
}

fn gated(lanes: usize, batch_max: usize, queue_max: usize) -> Gated {
    let gate = Gate(Arc::new(Semaphore::new(0)));
    let (given, batches) = mpsc::unbounded_channel();
    let (done, finished) = mpsc::unbounded_channel();
    let runner = |lane| GatedRunner { lane, given: given.clone(), done: done.clone(), gate: gate.clone() };
    let (group, drain) = start((0..lanes).map(runner).collect(), settings(batch_max, queue_max));
    Gated { group, drain, batches, finished, gate }
}

impl Gated {
    fn enqueue(&self, item: u32) -> Pending<u32, u32> {
        self.enqueue_to(0, item)
    }

    fn enqueue_to(&self, affinity: u64, item: u32) -> Pending<u32, u32> {
        self.group.enqueue(item, affinity, far()).expect("a place")
    }

    async fn enqueue_and_wait_until_it_runs(&mut self, item: u32) -> Pending<u32, u32> {
        let pending = self.enqueue(item);
        assert_eq!(self.batch().await, (0, vec![item]));
        pending
    }

    /// The next batch of any lane, with its lane.
    async fn batch(&mut self) -> (usize, Vec<u32>) {
        self.batches.recv().await.expect("a batch")
    }
}

struct GatedRunner {
    lane: usize,
    given: mpsc::UnboundedSender<(usize, Vec<u32>)>,
    done: mpsc::UnboundedSender<Vec<u32>>,
    gate: Gate,
}

#[async_trait]
impl BatchRunner for GatedRunner {
    type Item = u32;
    type Answer = u32;

    async fn run(&mut self, batch: Vec<u32>) -> Vec<u32> {
        // The test may have dropped the receiver.
        let _ = self.given.send((self.lane, batch.clone()));
        self.gate.pass().await;
        let _ = self.done.send(batch.clone());
        answers(batch)
    }
}

/// Closed until opened, then open forever.
#[derive(Clone)]
struct Gate(Arc<Semaphore>);

impl Gate {
    fn open(&self) {
        self.0.close();
    }

    async fn pass(&self) {
        // There are no permits: the wait ends with an error when the semaphore is closed.
        assert!(self.0.acquire().await.is_err());
    }
}

/// A runner that calls a function.
struct Scripted<F>(F);

#[async_trait]
impl<F: FnMut(Vec<u32>) -> Vec<u32> + Send + 'static> BatchRunner for Scripted<F> {
    type Item = u32;
    type Answer = u32;

    async fn run(&mut self, batch: Vec<u32>) -> Vec<u32> {
        (self.0)(batch)
    }
}

/// A runner that records every item and yields after each.
#[derive(Clone, Default)]
struct Counted(Arc<Mutex<Vec<u32>>>);

impl Counted {
    fn in_order(&self) -> Vec<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl BatchRunner for Counted {
    type Item = u32;
    type Answer = u32;

    async fn run(&mut self, batch: Vec<u32>) -> Vec<u32> {
        for item in &batch {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(*item);
            tokio::task::yield_now().await;
        }
        answers(batch)
    }
}

fn counted(lanes: usize, settings: Settings) -> (GroupCommit<u32, u32>, Drain, Counted) {
    let runs = Counted::default();
    let (group, drain) = start(vec![runs.clone(); lanes], settings);
    (group, drain, runs)
}

async fn enqueue_when_there_is_room(group: &GroupCommit<u32, u32>, item: u32, affinity: u64) -> Pending<u32, u32> {
    loop {
        match group.enqueue(item, affinity, far()) {
            Ok(pending) => return pending,
            Err(rejection) => assert_eq!(rejection, SubmitError::QueueFull),
        }
        tokio::task::yield_now().await;
    }
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<BatchReport>>>);

impl Recorder {
    fn reports(&self) -> Vec<BatchReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer for Recorder {
    fn batch_finished(&self, batch: &BatchReport) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(*batch);
    }
}

fn answers(batch: Vec<u32>) -> Vec<u32> {
    batch.into_iter().map(answer).collect()
}

fn answer(item: u32) -> u32 {
    item + 1_000_000
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

fn settings(batch_max: usize, queue_max: usize) -> Settings {
    let at_least_one = |bound| NonZeroUsize::new(bound).expect("a bound of at least one");
    Settings { batch_max: at_least_one(batch_max), queue_max: at_least_one(queue_max) }
}
