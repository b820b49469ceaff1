use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::join_all;
use jangteo_domain::Command;
use jangteo_domain::command::AdjustStock;
use jangteo_domain::testing::SequentialIds;
use tokio::sync::Semaphore;

use super::*;

/// Readings that are counted; each goes on when it is let.
#[derive(Clone)]
struct Shelf {
    begun: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Shelf {
    fn open() -> Self {
        Self { begun: Arc::default(), gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)) }
    }

    fn closed() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), ..Self::open() }
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    /// The number of the reading.
    fn read(&self) -> impl Future<Output = Result<Dated<usize>, StoreError>> + Send + use<> {
        self.read_as_of(Instant::now())
    }

    fn read_as_of(&self, as_of: Instant) -> impl Future<Output = Result<Dated<usize>, StoreError>> + Send + use<> {
        let Self { begun, gate } = self.clone();
        async move {
            let value = begun.fetch_add(1, Ordering::Relaxed) + 1;
            gate.acquire().await.expect("an open semaphore").forget();
            Ok(Dated { value, as_of })
        }
    }

    /// Waits until so many readings have begun.
    async fn wait_for(&self, readings: usize) {
        while self.begun() < readings {
            tokio::task::yield_now().await;
        }
    }
}

fn kept(catalogue: &CatalogVersion) -> ReadCache<&'static str, usize> {
    ReadCache::new(catalogue.clone(), 1_000, |_, _| 1)
}

/// A change of the products.
fn adjustment() -> Command {
    Command::AdjustStock(AdjustStock {
        product_id: SequentialIds::id(1).into(),
        quantity: 1,
        reason: "new".to_owned().try_into().expect("a reason"),
    })
}

fn long_ago() -> Instant {
    Instant::now().checked_sub(2 * AGE_MAX).expect("a clock that has run for long")
}

#[tokio::test]
async fn those_who_ask_at_once_are_told_of_one_reading() -> Result<(), StoreError> {
    let (kept, shelf) = (kept(&CatalogVersion::default()), Shelf::closed());
    let readers = join_all((0..100).map(|_| kept.get("a", || shelf.read())));
    let opened = async {
        shelf.wait_for(1).await;
        shelf.gate.add_permits(1);
    };
    let (answers, ()) = futures_util::future::join(readers, opened).await;
    assert!(answers.into_iter().all(|answer| answer.is_ok_and(|answer| answer.value == 1)));
    assert_eq!(kept.get("a", || shelf.read()).await?.value, 1);
    assert_eq!(shelf.begun(), 1);
    Ok(())
}

#[tokio::test]
async fn what_is_asked_for_is_stored_by_itself() -> Result<(), StoreError> {
    let (kept, shelf) = (kept(&CatalogVersion::default()), Shelf::open());
    assert_eq!(kept.get("a", || shelf.read()).await?.value, 1);
    assert_eq!(kept.get("b", || shelf.read()).await?.value, 2);
    assert_eq!(kept.get("a", || shelf.read()).await?.value, 1);
    Ok(())
}

#[tokio::test]
async fn only_what_is_stored_and_still_true_is_found() -> Result<(), StoreError> {
    let (catalogue, shelf) = (CatalogVersion::default(), Shelf::open());
    let kept = kept(&catalogue);
    assert!(kept.find("a").await.is_none());
    kept.get("a", || shelf.read()).await?;
    assert_eq!(kept.find("a").await.map(|found| found.value), Some(1));
    assert!(kept.find("b").await.is_none());
    catalogue.record(&adjustment());
    assert!(kept.find("a").await.is_none(), "it was read before a change");
    kept.join(kept.current("b"), shelf.read_as_of(long_ago())).await?;
    assert!(kept.find("b").await.is_none(), "it is too old");
    Ok(())
}

#[tokio::test]
async fn a_caller_who_goes_away_takes_no_reading_along() -> Result<(), StoreError> {
    let (kept, shelf) = (kept(&CatalogVersion::default()), Shelf::closed());
    let mut impatient = Box::pin(kept.get("a", || shelf.read()));
    assert!((&mut impatient).now_or_never().is_none());
    shelf.wait_for(1).await;
    drop(impatient);
    let patient = kept.get("a", || shelf.read());
    shelf.gate.add_permits(1);
    assert_eq!(patient.await?.value, 1);
    Ok(())
}

#[tokio::test]
async fn a_failure_is_told_to_all_who_wait_and_not_kept() -> Result<(), StoreError> {
    let kept = kept(&CatalogVersion::default());
    let fail = || async { Err(StoreError::unexpected("no database")) };
    let answers = join_all((0..10).map(|_| kept.get("a", fail))).await;
    assert!(answers.into_iter().all(|answer| answer.is_err_and(|error| error.kind() == "unexpected")));
    assert_eq!(kept.get("a", || Shelf::open().read()).await?.value, 1);
    Ok(())
}

#[tokio::test]
async fn a_reading_that_panics_is_a_failure_and_the_next_is_tried() -> Result<(), StoreError> {
    let kept = kept(&CatalogVersion::default());
    let broken = || async { panic!("the reading broke") };
    assert!(kept.get("a", broken).await.is_err_and(|error| error.kind() == "unexpected"));
    assert_eq!(kept.get("a", || Shelf::open().read()).await?.value, 1);
    Ok(())
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_told_after_it() -> Result<(), StoreError> {
    let (catalogue, shelf) = (CatalogVersion::default(), Shelf::closed());
    let kept = kept(&catalogue);
    let mut before = Box::pin(kept.get("a", || shelf.read()));
    assert!((&mut before).now_or_never().is_none());
    shelf.wait_for(1).await;
    catalogue.record(&adjustment());
    // The reading that began before the change ends after it.
    shelf.gate.add_permits(2);
    assert_eq!(before.await?.value, 1);
    assert_eq!(kept.get("a", || shelf.read()).await?.value, 2);
    Ok(())
}

#[tokio::test]
async fn what_is_too_old_is_read_again() -> Result<(), StoreError> {
    let (kept, shelf) = (kept(&CatalogVersion::default()), Shelf::open());
    let old = kept.join((0, "a"), shelf.read_as_of(long_ago())).await?;
    assert_eq!(old.value, 1);
    assert_eq!(kept.get("a", || shelf.read()).await?.value, 2);
    Ok(())
}

#[tokio::test]
async fn a_reading_that_had_been_under_way_for_long_is_not_joined_by_those_who_come_late() -> Result<(), StoreError> {
    let (kept, shelf) = (kept(&CatalogVersion::default()), Shelf::closed());
    let mut early = Box::pin(kept.join((0, "a"), shelf.read_as_of(long_ago())));
    assert!((&mut early).now_or_never().is_none());
    shelf.wait_for(1).await;
    let mut late = Box::pin(kept.get("a", || shelf.read()));
    assert!((&mut late).now_or_never().is_none());
    shelf.gate.add_permits(2);
    assert_eq!(late.await?.value, 2);
    assert_eq!(early.await?.value, 1);
    Ok(())
}

#[test]
fn age_is_counted_from_the_beginning_of_the_reading_to_the_question() {
    let as_of = Instant::now();
    let dated = Dated { value: (), as_of };
    assert!(dated.is_fresh(as_of));
    assert!(dated.is_fresh(as_of + AGE_MAX));
    assert!(!dated.is_fresh(as_of + AGE_MAX + Duration::from_nanos(1)));
    // It began after the question.
    assert!(dated.is_fresh(as_of.checked_sub(AGE_MAX).expect("a clock that has run for long")));
}

#[tokio::test]
async fn no_more_is_stored_than_fits() -> Result<(), StoreError> {
    let kept: ReadCache<usize, usize> = ReadCache::new(CatalogVersion::default(), 1_000, |_, _| 100);
    let shelf = Shelf::open();
    for key in 0..1_000 {
        kept.get(key, || shelf.read()).await?;
    }
    kept.cache.run_pending_tasks().await;
    assert!(kept.cache.weighted_size() <= 1_000, "{}", kept.cache.weighted_size());
    Ok(())
}
