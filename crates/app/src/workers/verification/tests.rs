use async_trait::async_trait;
use jangteo_domain::retention::Retention;
use jangteo_domain::verification::{Books, BooksCorrection};
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
    let verifier = Arc::new(Verifier::new(gate.clone(), Retention::default()));
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
    let verifier = Verifier::new(gate.clone(), Retention::default());
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
    let verifier = Verifier::new(gate.clone(), Retention::default());
    gate.open.add_permits(2);
    for attempt in 1..=2 {
        assert!(matches!(verifier.join().await, Err(StoreError::Unexpected(_))));
        assert_eq!(gate.opened(), attempt);
    }
}

#[tokio::test]
async fn a_verification_can_be_aborted() {
    let gate = Gate::new(false);
    let verifier = Arc::new(Verifier::new(gate.clone(), Retention::default()));
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
