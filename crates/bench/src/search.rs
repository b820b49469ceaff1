//! `search`: the search for a text in catalogs of different sizes, with the size of the search index and the cost of a
//! write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use comfy_table::Table;
use jangteo_domain::id::{BatchId, IdSource, ProductId};
use jangteo_domain::money::Money;
use jangteo_domain::product::{Options, Price, Product, ProductDetails, ProductStatus};
use jangteo_domain::stock::Stock;
use jangteo_domain::transaction::{Changes, FirstKeys, LockSet, ProductDepth, RowChanges};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::client::{Client, Request};
use crate::database::Database;
use crate::measure::Latencies;
use crate::options::Setup;
use crate::past::Clock;
use crate::progress::Progress;
use crate::server::Server;
use crate::{report, shop, store};

const NAME: &str = "search";
/// Products of a transaction while the catalog is filled.
const BATCH: usize = 2_000;
/// Words of the vocabulary, of two to four of the most frequent syllables.
const VOCABULARY: usize = 20_000;
const SYLLABLES: usize = 1_500;
/// Words of a name and of a description.
const WORDS: (usize, usize) = (4, 25);
/// In as many names at any size of the catalog.
const RARE: (&str, usize) = ("꿃뛟쀍", 100);
/// In every tenth name.
const FREQUENT: &str = "원목선반";
const NOWHERE: &str = "뷁꽹힣";
/// Searches of a word in a measurement; the first ones are not counted.
const SEARCHES: (usize, usize) = (20, 300);
/// Products of a transaction in the measurement of writes, and transactions.
const WRITES: (usize, usize) = (20, 50);

/// Measures each number of products, in a database of its own.
pub async fn run(setup: &Setup, sizes: &[usize]) -> Result<Table> {
    let loads = Duration::from_micros(800) * u32::try_from(sizes.iter().sum::<usize>())?;
    let progress = Progress::new(loads + Duration::from_secs(30) * u32::try_from(sizes.len() * 2)?);
    let mut table = report::table(
        "database | products | load s | index bytes a product | change of a price µs | of a description µs | word | \
         found | p50 ms | p99 ms",
    );
    for &products in sizes {
        let database = setup.database().await?;
        measure(setup, &database, products, &progress, &mut table).await?;
        database.stop().await?;
    }
    report::align(&mut table, 1);
    progress.finish();
    Ok(table)
}

async fn measure(
    setup: &Setup,
    database: &Database,
    products: usize,
    progress: &Progress,
    table: &mut Table,
) -> Result<()> {
    progress.step(format!("writing {products} products"));
    let url = database.create(NAME).await?;
    let catalog = Catalog { adapter: store::open_new(&url).await?, clock: Arc::new(Clock::new(shop::now()?)) };
    let begun = Instant::now();
    database.drop_search_index(NAME).await?;
    let mut words = Words::new(setup.seed);
    let first = catalog.fill(products, &mut words).await?;
    database.create_search_index(NAME).await?;
    let load_seconds = begun.elapsed().as_secs_f64();
    let index_bytes = database.search_index_bytes(NAME)? as f64 / products as f64;
    progress.step("changing products");
    let price = catalog.change(&first, |details| ProductDetails { price: doubled(details.price), ..details }).await?;
    let change = |details: ProductDetails| {
        // Another text, as long as the first one.
        let description = details.description.as_str().chars().rev().collect::<String>().trim().to_owned();
        ProductDetails { description: description.try_into().expect("as long as before"), ..details }
    };
    let description = catalog.change(&first, change).await?;
    drop(catalog);
    let server = Server::shop(&setup.program, &url, &[]).await?;
    for (word, text, expected) in
        [("nowhere", NOWHERE, 0), ("in 100 names", RARE.0, RARE.1), ("in a tenth", FREQUENT, 100)]
    {
        progress.step(format!("searching a word {word}"));
        let latencies = search(&server, text, expected.min(100)).await?.summary();
        table.add_row([
            format!("{:?}", database.kind()),
            products.to_string(),
            report::figure(load_seconds),
            report::figure(index_bytes),
            report::figure(price.as_secs_f64() * 1e6),
            report::figure(description.as_secs_f64() * 1e6),
            word.to_owned(),
            expected.to_string(),
            report::figure(latencies.p50_ms),
            report::figure(latencies.p99_ms),
        ]);
    }
    server.stop().await
}

/// Searches one after the other. Each has another price range, which excludes no product, as the server caches pages.
async fn search(server: &Server, text: &str, expected: usize) -> Result<Latencies> {
    let (mut client, mut latencies) = (Client::new(server.address()), Latencies::default());
    let text: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let (uncounted, counted) = SEARCHES;
    for search in 0..uncounted + counted {
        let path = format!("/v1/products?limit=100&q={text}&max_price={}", 1_000_000 + search);
        let begun = Instant::now();
        let request = Request::get(&path, None);
        let response = client.send(&request).await?;
        let latency = begun.elapsed();
        ensure!(response.status == 200, "a search was answered by {}", response.status);
        let found = String::from_utf8_lossy(response.body).matches("\"product_id\":").count();
        ensure!(found == expected, "{found} of {expected} products were found");
        if search >= uncounted {
            latencies.record(latency);
        }
    }
    Ok(latencies)
}

fn doubled(price: Price) -> Price {
    price.get().checked_add(price.get()).and_then(|price| price.try_into().ok()).unwrap_or(price)
}

/// Hangul words with the frequencies of a language: the n-th one is as frequent as 1/n.
struct Words {
    random: SmallRng,
    vocabulary: Vec<String>,
    /// Sums of the frequencies.
    sums: Vec<f64>,
}

impl Words {
    fn new(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let syllable = |random: &mut SmallRng| char::from_u32(0xac00 + random.random_range(0..11_172)).unwrap_or('가');
        let syllables: Vec<char> = (0..SYLLABLES).map(|_| syllable(&mut random)).collect();
        let sums = |count: usize| {
            let next = |sum: &mut f64, n: usize| {
                *sum += 1.0 / (n + 10) as f64;
                Some(*sum)
            };
            (0..count).scan(0.0, next).collect::<Vec<f64>>()
        };
        let of_syllables = sums(SYLLABLES);
        let mut word = |_| {
            let length = random.random_range(2..=4);
            (0..length).map(|_| syllables[pick(&mut random, &of_syllables)]).collect()
        };
        let vocabulary = (0..VOCABULARY).map(&mut word).collect();
        Self { random, vocabulary, sums: sums(VOCABULARY) }
    }

    fn next(&mut self, count: usize) -> Vec<&str> {
        (0..count).map(|_| pick(&mut self.random, &self.sums)).map(|word| &*self.vocabulary[word]).collect()
    }
}

fn pick(random: &mut SmallRng, sums: &[f64]) -> usize {
    let place = random.random_range(0.0..sums.last().copied().unwrap_or(1.0));
    sums.partition_point(|sum| *sum <= place).min(sums.len() - 1)
}

/// A catalog without a past: rows as commands write them, without their answers and stock movements.
struct Catalog {
    adapter: jangteo_sql::Database,
    clock: Arc<Clock>,
}

impl Catalog {
    /// Returns the products of the first transactions.
    async fn fill(&self, products: usize, words: &mut Words) -> Result<Vec<Product>> {
        let mut first = Vec::new();
        for begin in (0..products).step_by(BATCH) {
            let made = begin..products.min(begin + BATCH);
            let batch: Vec<Product> = made.map(|index| self.product(index, products, words)).collect::<Result<_>>()?;
            if first.len() < WRITES.0 * WRITES.1 {
                first.extend(batch.iter().cloned());
            }
            let stocks = RowChanges::inserted(batch.iter().map(|product| Stock::empty(product.id)));
            let products = RowChanges::inserted(batch);
            self.commit(LockSet::default(), Changes { products, stocks, ..Changes::default() }).await?;
        }
        Ok(first)
    }

    fn product(&self, index: usize, products: usize, words: &mut Words) -> Result<Product> {
        let mut name = words.next(WORDS.0);
        if index.is_multiple_of(products / RARE.1) {
            name[1] = RARE.0;
        }
        if index % 10 == 3 {
            name[2] = FREQUENT;
        }
        let name = name.join(" ");
        let details = ProductDetails {
            sku: None,
            name: name.try_into()?,
            description: words.next(WORDS.1).join(" ").try_into()?,
            category: shop::category(index).try_into()?,
            options: Options::default(),
            item_group_id: None,
            price: Money::from_units(1 + i64::try_from(index % 10_000)?).context("in range")?.try_into()?,
            status: ProductStatus::OnSale,
        };
        Ok(Product::create(ProductId::from(self.clock.next_id()), details, self.clock.now()))
    }

    /// Changes products, a few in each transaction; returns the time for each.
    async fn change(
        &self,
        products: &[Product],
        change: impl Fn(ProductDetails) -> ProductDetails,
    ) -> Result<Duration> {
        let (of_transaction, transactions) = WRITES;
        let products = &products[..of_transaction * transactions];
        let begun = Instant::now();
        for batch in products.chunks(of_transaction) {
            let mut rows = LockSet::default();
            for product in batch {
                rows.add_product(product.id, ProductDepth::Whole);
            }
            let changed = |product: &Product| {
                (product.clone(), product.change(change(product.details.clone()), self.clock.now()))
            };
            let products = RowChanges::updated(batch.iter().map(changed));
            self.commit(rows, Changes { products, ..Changes::default() }).await?;
        }
        Ok(begun.elapsed() / u32::try_from(products.len())?)
    }

    async fn commit(&self, rows: LockSet, changes: Changes) -> Result<()> {
        let (adapter, id) = (self.adapter.clone(), BatchId::next(&*self.clock));
        let committing = async move {
            let (mut unit, _) = adapter.unit_of_work_factory().begin(id, &FirstKeys::default()).await?;
            unit.lock(&rows).await?;
            unit.commit(changes).await
        };
        Ok(store::on_threads(committing).await??)
    }
}
