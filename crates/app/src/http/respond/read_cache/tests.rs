use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::join_all;
use jangteo_domain::Command;
use jangteo_domain::command::AdjustStock;
use jangteo_domain::testing::SequentialIds;
use tokio::sync::Semaphore;

use super::*;

/// A source that counts its reads; each waits for a permit.
#[derive(Clone)]
struct Shelf {
    started: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Shelf {
    fn open() -> Self {
        Self { started: Arc::default(), gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)) }
    }

    fn closed() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), ..Self::open() }
    }

    fn started(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }

    /// Resolves to the number of the read.
    fn read(&self) -> impl Future<Output = Result<Dated<usize>, StoreError>> + Send + use<> {
        self.read_as_of(Instant::now())
    }

    fn read_as_of(&self, as_of: Instant) -> impl Future<Output = Result<Dated<usize>, StoreError>> + Send + use<> {
        let Self { started, gate } = self.clone();
        async move {
            let value = started.fetch_add(1, Ordering::Relaxed) + 1;
            gate.acquire().await.expect("an open semaphore").forget();
            Ok(Dated { value, as_of })
        }
    }

    /// Waits until that many reads have started.
    async fn wait_for(&self, reads: usize) {
        while self.started() < reads {
            tokio::task::yield_now().await;
        }
    }
}

fn cache(catalogue: &CatalogVersion) -> ReadCache<&'static str, usize> {
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
async fn concurrent_requests_share_one_read() -> Result<(), StoreError> {
    let (cache, shelf) = (cache(&CatalogVersion::default()), Shelf::closed());
    let requests = join_all((0..100).map(|_| cache.get("a", || shelf.read())));
    let opened = async {
        shelf.wait_for(1).await;
        shelf.gate.add_permits(1);
    };
    let (answers, ()) = futures_util::future::join(requests, opened).await;
    assert!(answers.into_iter().all(|answer| answer.is_ok_and(|answer| answer.value == 1)));
    assert_eq!(cache.get("a", || shelf.read()).await?.value, 1);
    assert_eq!(shelf.started(), 1);
    Ok(())
}

#[tokio::test]
async fn each_key_is_cached_separately() -> Result<(), StoreError> {
    let (cache, shelf) = (cache(&CatalogVersion::default()), Shelf::open());
    assert_eq!(cache.get("a", || shelf.read()).await?.value, 1);
    assert_eq!(cache.get("b", || shelf.read()).await?.value, 2);
    assert_eq!(cache.get("a", || shelf.read()).await?.value, 1);
    Ok(())
}

#[tokio::test]
async fn finds_fresh_values_only() -> Result<(), StoreError> {
    let (catalogue, shelf) = (CatalogVersion::default(), Shelf::open());
    let cache = cache(&catalogue);
    assert!(cache.find("a").await.is_none());
    cache.get("a", || shelf.read()).await?;
    assert_eq!(cache.find("a").await.map(|found| found.value), Some(1));
    assert!(cache.find("b").await.is_none());
    catalogue.record(&adjustment(), &Err(StoreError::unexpected("of unknown effect")));
    assert!(cache.find("a").await.is_none(), "read before a change");
    cache.join(cache.current("b"), shelf.read_as_of(long_ago())).await?;
    assert!(cache.find("b").await.is_none(), "it is too old");
    Ok(())
}

#[tokio::test]
async fn a_cancelled_caller_does_not_cancel_the_read() -> Result<(), StoreError> {
    let (cache, shelf) = (cache(&CatalogVersion::default()), Shelf::closed());
    let mut cancelled = Box::pin(cache.get("a", || shelf.read()));
    assert!((&mut cancelled).now_or_never().is_none());
    shelf.wait_for(1).await;
    drop(cancelled);
    let waiting = cache.get("a", || shelf.read());
    shelf.gate.add_permits(1);
    assert_eq!(waiting.await?.value, 1);
    Ok(())
}

#[tokio::test]
async fn a_failure_reaches_all_callers_and_is_not_cached() -> Result<(), StoreError> {
    let cache = cache(&CatalogVersion::default());
    let fail = || async { Err(StoreError::unexpected("no database")) };
    let answers = join_all((0..10).map(|_| cache.get("a", fail))).await;
    assert!(answers.into_iter().all(|answer| answer.is_err_and(|error| error.kind() == "unexpected")));
    assert_eq!(cache.get("a", || Shelf::open().read()).await?.value, 1);
    Ok(())
}

#[tokio::test]
async fn a_panic_in_a_read_is_a_failure_and_is_not_cached() -> Result<(), StoreError> {
    let cache = cache(&CatalogVersion::default());
    let broken = || async { panic!("the read broke") };
    assert!(cache.get("a", broken).await.is_err_and(|error| error.kind() == "unexpected"));
    assert_eq!(cache.get("a", || Shelf::open().read()).await?.value, 1);
    Ok(())
}

#[tokio::test]
async fn a_read_from_before_a_change_serves_no_request_after_it() -> Result<(), StoreError> {
    let (catalogue, shelf) = (CatalogVersion::default(), Shelf::closed());
    let cache = cache(&catalogue);
    let mut before = Box::pin(cache.get("a", || shelf.read()));
    assert!((&mut before).now_or_never().is_none());
    shelf.wait_for(1).await;
    catalogue.record(&adjustment(), &Err(StoreError::unexpected("of unknown effect")));
    // The read from before the change completes after it.
    shelf.gate.add_permits(2);
    assert_eq!(before.await?.value, 1);
    assert_eq!(cache.get("a", || shelf.read()).await?.value, 2);
    Ok(())
}

#[tokio::test]
async fn an_old_value_is_read_again() -> Result<(), StoreError> {
    let (cache, shelf) = (cache(&CatalogVersion::default()), Shelf::open());
    let old = cache.join((0, "a"), shelf.read_as_of(long_ago())).await?;
    assert_eq!(old.value, 1);
    assert_eq!(cache.get("a", || shelf.read()).await?.value, 2);
    Ok(())
}

#[tokio::test]
async fn a_later_request_does_not_share_an_old_read() -> Result<(), StoreError> {
    let (cache, shelf) = (cache(&CatalogVersion::default()), Shelf::closed());
    let mut early = Box::pin(cache.join((0, "a"), shelf.read_as_of(long_ago())));
    assert!((&mut early).now_or_never().is_none());
    shelf.wait_for(1).await;
    let mut late = Box::pin(cache.get("a", || shelf.read()));
    assert!((&mut late).now_or_never().is_none());
    shelf.gate.add_permits(2);
    assert_eq!(late.await?.value, 2);
    assert_eq!(early.await?.value, 1);
    Ok(())
}

#[test]
fn age_is_measured_from_the_start_of_the_read_to_the_request() {
    let as_of = Instant::now();
    let dated = Dated { value: (), as_of };
    assert!(dated.is_fresh(as_of));
    assert!(dated.is_fresh(as_of + AGE_MAX));
    assert!(!dated.is_fresh(as_of + AGE_MAX + Duration::from_nanos(1)));
    // The read started after the request.
    assert!(dated.is_fresh(as_of.checked_sub(AGE_MAX).expect("a clock that has run for long")));
}

#[tokio::test]
async fn the_size_of_the_cache_is_bounded() -> Result<(), StoreError> {
    let cache: ReadCache<usize, usize> = ReadCache::new(CatalogVersion::default(), 1_000, |_, _| 100);
    let shelf = Shelf::open();
    for key in 0..1_000 {
        cache.get(key, || shelf.read()).await?;
    }
    cache.cache.run_pending_tasks().await;
    assert!(cache.cache.weighted_size() <= 1_000, "{}", cache.cache.weighted_size());
    Ok(())
}
