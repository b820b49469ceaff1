//! The latency of every read that a page of the back office makes.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use comfy_table::Table;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{Client, Request};
use crate::measure::{Latencies, LatencySummary};
use crate::office::past::{OfficeShop, rfc3339};
use crate::office::{Bench, STAFF, staff_token};
use crate::report;
use crate::server::Server;

/// The number of warm-up calls, the number of measured ones, and the time after which no further one begins.
const WARM_UP: usize = 3;
const CALLS: usize = 100;
const TIME_MAX: Duration = Duration::from_secs(4);
/// Calls of a response that the server caches, each after the pause in which it expires.
const CACHED_CALLS: usize = 10;
const CACHED: Duration = Duration::from_millis(1_100);
const WANTED_MS: f64 = 300.0;

/// A read, by the name of the page.
struct Read {
    name: &'static str,
    path: String,
    is_cached: bool,
}

/// The latencies of a page.
pub type Measured = Vec<(&'static str, LatencySummary)>;

/// Measures every page, one call at a time.
pub async fn measure(bench: &Bench<'_>, shop: &OfficeShop, server: &Server) -> Result<Measured> {
    let token = staff_token(STAFF);
    let mut measured = Vec::new();
    for Read { name, path, is_cached } in reads(shop)? {
        bench.progress.step(format!("{name}, {} orders", shop.orders));
        let mut client = Client::new(server.address());
        let mut latencies = Latencies::default();
        let calls = if is_cached { CACHED_CALLS } else { WARM_UP + CALLS };
        let opened_at = Instant::now();
        for call in 0..calls {
            if is_cached {
                tokio::time::sleep(CACHED).await;
            }
            let begun = Instant::now();
            let response = client.send(&Request::get(&path, Some(&token))).await?;
            let latency = begun.elapsed();
            let status = response.status;
            ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(response.body));
            if is_cached || call >= WARM_UP {
                latencies.record(latency);
            }
            if !is_cached && call > WARM_UP && opened_at.elapsed() > TIME_MAX {
                break;
            }
        }
        measured.push((name, latencies.summary()));
    }
    bench.progress.step(format!("export, {} orders", shop.orders));
    let (first, whole) = export(server.address(), &token).await?;
    measured.extend([("export, first bytes", first.summary()), ("export, whole", whole.summary())]);
    Ok(measured)
}

fn reads(shop: &OfficeShop) -> Result<Vec<Read>> {
    let at = |age: time::Duration| rfc3339(shop.now.saturating_sub(age));
    let statistics = |by: &str, days: i64| {
        let from = at(time::Duration::days(days))?;
        Ok::<_, anyhow::Error>(format!("/v1/admin/statistics?by={by}&from={from}&to={}", at(time::Duration::ZERO)?))
    };
    let [user, other] = [OfficeShop::BUSY, 5].map(|index| shop.user(index).as_str());
    let (product, order, campaign) = (shop.product(), shop.order, shop.campaign);
    let (month_ago, two_ago) = (at(time::Duration::days(150))?, at(time::Duration::days(149))?);
    let paths = vec![
        ("statistics, a day by hour", statistics("hour", 1)?),
        ("statistics, 40 days by hour", statistics("hour", 40)?),
        ("statistics, 90 days by day", statistics("day", 90)?),
        ("statistics, 360 days by day", statistics("day", 360)?),
        ("products", "/v1/admin/products".to_owned()),
        ("products by name", "/v1/admin/products?sort=name".to_owned()),
        ("products by price", "/v1/admin/products?sort=price".to_owned()),
        ("products by price, descending", "/v1/admin/products?sort=-price".to_owned()),
        ("products by popularity", "/v1/admin/products?sort=popular".to_owned()),
        ("products of a category", "/v1/admin/products?category=category-03".to_owned()),
        ("products of a category by price", "/v1/admin/products?category=category-03&sort=price".to_owned()),
        ("products of a category by name", "/v1/admin/products?category=category-03&sort=name".to_owned()),
        ("products of an option", "/v1/admin/products?option=size:3".to_owned()),
        ("products in stock by name", "/v1/admin/products?in_stock=true&sort=name".to_owned()),
        ("products of a price", "/v1/admin/products?min_price=500&max_price=510".to_owned()),
        ("products of a price by price", "/v1/admin/products?min_price=500&max_price=510&sort=price".to_owned()),
        ("products sold out", "/v1/admin/products?max_available=0".to_owned()),
        ("products sold out by price", "/v1/admin/products?max_available=0&sort=price".to_owned()),
        ("products sold out by name", "/v1/admin/products?max_available=0&sort=name".to_owned()),
        ("products sold out by popularity", "/v1/admin/products?max_available=0&sort=popular".to_owned()),
        ("products nearly sold out", "/v1/admin/products?max_available=10".to_owned()),
        ("products with a word", "/v1/admin/products?q=Product".to_owned()),
        ("products with a rare word", "/v1/admin/products?q=9777".to_owned()),
        ("products with a word by price", "/v1/admin/products?q=Product&sort=price".to_owned()),
        ("products with no such word", "/v1/admin/products?q=nowhere".to_owned()),
        ("stock movements of a product", format!("/v1/admin/products/{product}/stock-movements")),
        ("orders", "/v1/admin/orders".to_owned()),
        ("orders unpaid", "/v1/admin/orders?status=pending_payment".to_owned()),
        ("orders paid", "/v1/admin/orders?status=paid".to_owned()),
        ("orders refunded", "/v1/admin/orders?status=refunded".to_owned()),
        ("orders expired", "/v1/admin/orders?status=expired".to_owned()),
        ("orders partially refunded (none)", "/v1/admin/orders?status=partially_refunded".to_owned()),
        ("orders of a user", format!("/v1/admin/orders?user_id={other}")),
        ("orders of the busiest user", format!("/v1/admin/orders?user_id={user}")),
        ("refunded orders of the busiest user (none)", format!("/v1/admin/orders?user_id={user}&status=refunded")),
        ("orders of the most sold product", format!("/v1/admin/orders?product_id={product}")),
        (
            "refunded orders of the most sold product (none)",
            format!("/v1/admin/orders?product_id={product}&status=refunded"),
        ),
        (
            "orders of that product by another user (none)",
            format!("/v1/admin/orders?product_id={product}&user_id={other}"),
        ),
        ("orders of a day", format!("/v1/admin/orders?from={month_ago}&to={two_ago}")),
        ("refunded orders of a day", format!("/v1/admin/orders?status=refunded&from={month_ago}&to={two_ago}")),
        ("an order", format!("/v1/orders/{order}")),
        ("time line of an order", format!("/v1/admin/orders/{order}/timeline")),
        ("campaigns", "/v1/coupon-campaigns".to_owned()),
        ("coupons of a campaign", format!("/v1/admin/coupon-campaigns/{campaign}/coupons?status=all")),
        ("usable coupons of a campaign", format!("/v1/admin/coupon-campaigns/{campaign}/coupons?status=usable")),
        ("used coupons of a campaign (none)", format!("/v1/admin/coupon-campaigns/{campaign}/coupons?status=used")),
        ("revoked coupons of a campaign", format!("/v1/admin/coupon-campaigns/{campaign}/coupons?status=revoked")),
        (
            "expired coupons of a campaign (none)",
            format!("/v1/admin/coupon-campaigns/{campaign}/coupons?status=expired"),
        ),
        ("points of a user", format!("/v1/users/{user}/points")),
        ("ledger of the busiest user", format!("/v1/users/{user}/points/entries")),
        ("coupons of a user", format!("/v1/users/{user}/coupons?status=all")),
        ("events", "/v1/admin/events".to_owned()),
        ("events pending", "/v1/admin/events?status=pending".to_owned()),
        ("events delivered", "/v1/admin/events?status=delivered".to_owned()),
        ("events dead (none)", "/v1/admin/events?status=dead".to_owned()),
        ("verifications", "/v1/admin/verifications".to_owned()),
        ("audit log", "/v1/admin/audit-log".to_owned()),
        ("audit log of a member of the staff", format!("/v1/admin/audit-log?actor={STAFF}")),
        ("audit log of a user", format!("/v1/admin/audit-log?subject_id={user}")),
        (
            "audit log of a user by another member (none)",
            format!("/v1/admin/audit-log?subject_id={user}&actor=staff-001"),
        ),
    ];
    let cached = ["/v1/admin/overview", "/v1/products/popular?days=30&limit=5"];
    let cached = ["overview", "popular products, 30 days"].into_iter().zip(cached);
    let cached = cached.map(|(name, path)| Read { name, path: path.to_owned(), is_cached: true });
    Ok(cached.chain(paths.into_iter().map(|(name, path)| Read { name, path, is_cached: false })).collect())
}

/// The time to the first bytes of the body and to the last of the export, three times.
async fn export(address: &str, token: &str) -> Result<(Latencies, Latencies)> {
    let (mut first, mut whole) = (Latencies::default(), Latencies::default());
    for _ in 0..3 {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!(
            "GET /v1/admin/products/export HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Connection: close\r\n\r\n"
        );
        let begun = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        let (mut received, mut buffer, mut last, mut is_first) = (0_usize, vec![0; 1 << 16], Vec::new(), true);
        loop {
            let length = stream.read(&mut buffer).await?;
            if length == 0 {
                break;
            }
            if is_first {
                ensure!(buffer.starts_with(b"HTTP/1.1 200"), "the export was rejected");
                first.record(begun.elapsed());
                is_first = false;
            }
            received += length;
            last.extend_from_slice(&buffer[..length]);
            last.drain(..last.len().saturating_sub(5));
        }
        whole.record(begun.elapsed());
        if last != b"0\r\n\r\n" {
            bail!("the export ended early, after {received} bytes");
        }
    }
    Ok((first, whole))
}

/// The pages of all shops side by side.
pub fn table(shops: &[(usize, Measured)], orders_of_product: usize) -> Table {
    let mut header = "page".to_owned();
    for (products, _) in shops {
        let orders = products * orders_of_product;
        header += &format!(" | {products} products, {orders} orders: p50 ms | p99 ms");
    }
    let mut table = report::table(&(header + " | ratio | wanted ms | "));
    let Some((_, last)) = shops.last() else { return table };
    for (index, (name, largest)) in last.iter().enumerate() {
        let mut row = vec![(*name).to_owned()];
        for (_, pages) in shops {
            row.extend([pages[index].1.p50_ms, pages[index].1.p99_ms].map(report::figure));
        }
        row.push(report::figure(largest.p50_ms / shops[0].1[index].1.p50_ms));
        let is_whole_table = *name == "export, whole";
        row.push(if is_whole_table { "–".to_owned() } else { format!("≤ {WANTED_MS}") });
        row.push(if is_whole_table || largest.p99_ms <= WANTED_MS { "" } else { "missed" }.to_owned());
        table.add_row(row);
    }
    report::align(&mut table, 1);
    table
}
