use async_trait::async_trait;
use jangteo_domain::page::Page;
use jangteo_domain::retention::Retention;
use jangteo_domain::verification::{Books, BooksCorrection, RunStatus, VerificationRun};
use jangteo_domain_testing::{MemoryStore, TestShop};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::*;

/// Opens the books of a store when the test allows it, and counts the openings.
struct Gate {
    store: MemoryStore,
    open: Semaphore,
    opened: Mutex<usize>,
    fails: bool,
}

impl Gate {
    fn new(fails: bool) -> Arc<Self> {
        Arc::new(Self { store: MemoryStore::new(), open: Semaphore::new(0), opened: Mutex::default(), fails })
    }

    fn verifier(self: &Arc<Self>) -> Arc<Verifier> {
        let runs = self.store.verification_runs();
        let ports =
            VerifierPorts { books: Arc::clone(self) as Arc<dyn BooksFactory>, runs, clock: self.store.queries().clock };
        Arc::new(Verifier::new(ports, Retention::default()))
    }

    async fn only_run(&self) -> VerificationRun {
        let runs = self.store.verification_runs();
        let listed = runs.list(&Page { after: None, limit: 10 }).await.expect("a store");
        let [run] = &listed[..] else { panic!("one run: {listed:?}") };
        runs.find(run.id).await.expect("a store").expect("a run")
    }

    fn opened(&self) -> usize {
        *self.opened.lock().expect("no panic while it is held")
    }
}

#[async_trait]
impl BooksFactory for Gate {
    async fn open(&self) -> Result<Box<dyn Books>, StoreError> {
        *self.opened.lock().expect("no panic while it is held") += 1;
        self.open.acquire().await.map(SemaphorePermit::forget).expect("it is never closed");
        if self.fails { Err(StoreError::unexpected("no books")) } else { self.store.books().open().await }
    }

    async fn open_to_correct(&self) -> Result<Box<dyn BooksCorrection>, StoreError> {
        self.store.books().open_to_correct().await
    }
}

#[tokio::test]
async fn callers_share_one_verification_and_its_outcome() -> Result<(), StoreError> {
    let gate = Gate::new(false);
    TestShop::new(gate.store.factory()).user("kim", 1_000).await?;
    let verifier = gate.verifier();
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let verifier = Arc::clone(&verifier);
            tokio::spawn(async move { verifier.join().await })
        })
        .collect();
    gate.open.add_permits(1);
    for caller in callers {
        let report = caller.await.expect("no panic")?;
        assert!(report.agrees());
        assert_eq!(report.rows, 2);
    }
    let later = verifier.join().await?;
    assert_eq!((later.verified_at.0, gate.opened()), (gate.store.time(), 1));
    Ok(())
}

#[tokio::test]
async fn a_verification_outlives_its_callers() -> Result<(), StoreError> {
    let gate = Gate::new(false);
    let verifier = gate.verifier();
    let cancelled = tokio::time::timeout(Duration::ZERO, verifier.join()).await;
    assert!(cancelled.is_err());
    gate.open.add_permits(1);
    verifier.join().await?;
    assert_eq!(gate.opened(), 1);
    Ok(())
}

#[tokio::test]
async fn a_failed_verification_is_not_reused() {
    let gate = Gate::new(true);
    let verifier = gate.verifier();
    gate.open.add_permits(2);
    for attempt in 1..=2 {
        assert!(matches!(verifier.join().await, Err(StoreError::Unexpected(_))));
        assert_eq!(gate.opened(), attempt);
    }
}

#[tokio::test]
async fn a_verification_can_be_aborted() {
    let gate = Gate::new(false);
    let verifier = gate.verifier();
    let caller = tokio::spawn({
        let verifier = Arc::clone(&verifier);
        async move { verifier.join().await }
    });
    while gate.opened() == 0 {
        tokio::task::yield_now().await;
    }
    verifier.stop().await;
    assert!(matches!(caller.await.expect("no panic"), Err(StoreError::Unexpected(_))));
}

#[tokio::test]
async fn a_run_is_a_row_that_another_server_sees() -> Result<(), StoreError> {
    let gate = Gate::new(false);
    let [verifier, other] = [gate.verifier(), gate.verifier()];
    let key = RequestKey([1; 16]);
    let Begun::Started(run) = verifier.start(Some(key)).await? else { panic!("nothing runs") };
    assert_eq!(other.start(None).await?, Begun::Running(run.id));
    let Begun::Repeated(same) = other.start(Some(key)).await? else { panic!("the same request") };
    assert_eq!((same.id, same.status), (run.id, RunStatus::Running));
    gate.open.add_permits(1);
    verifier.join().await?;
    let ended = gate.only_run().await;
    assert_eq!((ended.status, ended.step, ended.violations), (RunStatus::Passed, 8, 0));
    assert_eq!((ended.finished_at, ended.findings.as_str()), (Some(gate.store.time()), "[]"));
    let Begun::Started(_) = other.start(None).await? else { panic!("nothing runs any more") };
    Ok(())
}

#[tokio::test]
async fn the_row_of_a_failed_or_aborted_run_is_ended() -> Result<(), StoreError> {
    let gate = Gate::new(true);
    gate.open.add_permits(1);
    let verifier = gate.verifier();
    verifier.start(None).await?;
    let failed = loop {
        let run = gate.only_run().await;
        if run.status != RunStatus::Running {
            break run;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        (failed.status, failed.error.as_deref()),
        (RunStatus::Failed, Some("unexpected: the server's log has the cause"))
    );

    let gate = Gate::new(false);
    let verifier = gate.verifier();
    verifier.start(None).await?;
    verifier.stop().await;
    assert_eq!(gate.only_run().await.status, RunStatus::Interrupted);
    Ok(())
}

/// Its heartbeats cannot be recorded any more: a server that was paused for longer than their limit.
#[tokio::test(start_paused = true)]
async fn a_run_without_a_heartbeat_is_given_up() -> Result<(), StoreError> {
    let gate = Gate::new(false);
    let verifier = gate.verifier();
    verifier.start(None).await?;
    while gate.opened() == 0 {
        tokio::task::yield_now().await;
    }
    gate.store.advance(time::Duration::seconds(31));
    let run = gate.only_run().await;
    assert_eq!((run.status, run.finished_at), (RunStatus::Interrupted, Some(run.started_at)));
    let Begun::Started(_) = gate.verifier().start(None).await? else { panic!("it is in the way of none") };
    assert!(matches!(verifier.join().await, Err(StoreError::Unexpected(_))), "at its next heartbeat");
    Ok(())
}
