//! A shop with a year of orders, and everything that the back office lists.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jangteo_domain::command::{
    AdjustPoints, AdjustStock, ChangeProduct, Command, CreateCampaign, IssueCoupon, ProductChange, RevokeCoupon,
};
use jangteo_domain::coupon::{CampaignDetails, CampaignPlan, CouponTerms, Discount, Validity};
use jangteo_domain::id::{CampaignId, CouponId, IdSource as _, OrderId, ProductId, VerificationId};
use jangteo_domain::money::Money;
use jangteo_domain::order::{OrderFilter, OrderStatus};
use jangteo_domain::page::Page;
use jangteo_domain::product::ProductStatus;
use jangteo_domain::verification::{RunEnd, RunProgress};
use jangteo_domain::{Reply, Request, Timestamp, UserId};
use time::format_description::well_known::Rfc3339;

use crate::load::{Dataset, Endpoint};
use crate::measure::Target;
use crate::office::{Bench, STAFF, staff_token};
use crate::past::Clock;
use crate::server::Server;
use crate::shop::{self, History, STOCK, Shop, Size};
use crate::{answers, load, store};

pub const NAME: &str = "office";
const USERS: usize = 10_000;
/// Orders for each order of the user with the most, all of the same product.
const ORDERS_PER_BUSY: usize = 50;
/// Orders for each coupon of the largest campaign, and for each change of the back office.
const ORDERS_PER_COUPON: usize = 10;
const ORDERS_PER_CAMPAIGN: usize = 10_000;
const ORDERS_PER_VERIFICATION: usize = 1_000;
/// Coupons for each revoked one.
const COUPONS_PER_REVOKED: usize = 1_000;
/// Of this many products one each is sold out, nearly sold out, and hidden; none of these has orders.
const PRODUCTS_PER_WITHDRAWN: usize = 100;
/// Unpaid orders; they expire ten minutes after the shop is filled.
const OPEN_ORDERS: usize = 1_000;
/// Commands of a transaction.
const BATCH: usize = 2_000;
const COUNT_TIMEOUT: Duration = Duration::from_mins(20);

pub struct OfficeShop {
    pub shop: Shop,
    pub url: String,
    pub orders: usize,
    /// The largest campaign.
    pub campaign: CampaignId,
    /// An order that is paid.
    pub order: OrderId,
    pub day: time::Duration,
    pub now: Timestamp,
    _adapter: jangteo_sql::Database,
}

impl OfficeShop {
    /// The user with the most orders, and one whose audit entries are by another member of the staff.
    pub const BUSY: usize = 0;

    /// The past ends before the server starts.
    pub async fn fill(bench: &Bench<'_>, products: usize, orders: usize) -> Result<Self> {
        let Bench { setup, database, progress } = bench;
        progress.step(format!("writing {products} products"));
        let url = database.create(NAME).await?;
        let adapter = store::open_new(&url).await?;
        let now = shop::now()?;
        let opened_at = now.saturating_sub(History::LENGTH + time::Duration::days(1));
        database.drop_search_index(NAME).await?;
        let size = Size { users: USERS, products, names: setup.names };
        let mut shop = Shop::open_in(&adapter, size, opened_at).await?;
        database.create_search_index(NAME).await?;
        withdraw(&mut shop).await?;

        progress.step(format!("writing {orders} orders"));
        let busy = orders / ORDERS_PER_BUSY;
        let mut history = shop.history(orders - busy, now, setup.seed);
        while history.next_batch().await? {}
        shop.set_now(now.saturating_sub(time::Duration::minutes(50)));
        shop.purchase_hot(Self::BUSY, busy).await?;

        progress.step("writing coupons, changes and verifications");
        for _ in 1..orders / ORDERS_PER_CAMPAIGN {
            create_campaign(&shop, 1, now).await?;
        }
        let campaign = create_campaign(&shop, orders / ORDERS_PER_COUPON, now).await?;
        issue_coupons(&shop, campaign, orders / ORDERS_PER_COUPON).await?;
        audit(&shop, orders / ORDERS_PER_COUPON).await?;
        record_verifications(&adapter, orders / ORDERS_PER_VERIFICATION, now).await?;
        shop.set_now(now);
        let open = (0..OPEN_ORDERS).map(|user| shop.place(user + 1, user % shop.products().len()));
        shop.run(open.collect::<Result<_>>()?).await?;

        let paid = OrderFilter { status: Some(OrderStatus::Paid), ..OrderFilter::default() };
        let page = adapter.queries().orders.list(&paid, &Page { after: None, limit: 1 }).await?;
        let order = page.value.first().context("a paid order")?.id;
        Ok(Self { shop, url, orders, campaign, order, day: time::Duration::days(1), now, _adapter: adapter })
    }

    /// A server that has counted the statistics.
    pub async fn serve(&self, bench: &Bench<'_>) -> Result<Server> {
        bench.progress.step("counting the statistics");
        let server = Server::shop(&bench.setup.program, &self.url, &[]).await?;
        wait_until_counted(server.address(), self.now).await?;
        Ok(server)
    }

    pub fn endpoint(&self, bench: &Bench<'_>, server: &Server) -> Endpoint {
        Endpoint::new(server, Target::Batched, bench.database, Rc::new(Dataset::new(&self.shop)))
    }

    pub fn user(&self, index: usize) -> &UserId {
        &self.shop.users()[index]
    }

    pub fn product(&self) -> ProductId {
        self.shop.hot_product()
    }
}

/// Waits until the statistics are complete up to that time; returns how long it took.
pub async fn wait_until_counted(address: &str, to: Timestamp) -> Result<Duration> {
    let token = staff_token(STAFF);
    let (day, begun) = (rfc3339(to)?, Instant::now());
    let path = format!("/v1/admin/statistics?from={day}&to={}", rfc3339(to.saturating_add(time::Duration::SECOND))?);
    loop {
        let (status, body) = load::call(address, &crate::client::Request::get(&path, Some(&token))).await?;
        ensure!(status == 200, "statistics: {status} {}", String::from_utf8_lossy(&body));
        let body: serde_json::Value = serde_json::from_slice(&body)?;
        let complete_to = body["complete_to"].as_str().context("a time")?;
        // The quarter of an hour that is not over is counted again and again.
        if time::OffsetDateTime::parse(complete_to, &Rfc3339)?.unix_timestamp() + 3_600
            >= to.unix_microseconds() / 1_000_000
        {
            return Ok(begun.elapsed());
        }
        ensure!(begun.elapsed() < COUNT_TIMEOUT, "the statistics are counted up to {complete_to} only");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A time for a query string.
pub fn rfc3339(at: Timestamp) -> Result<String> {
    Ok(at.to_offset_date_time().format(&Rfc3339)?)
}

/// Sells some products out and hides others, spread over the catalog.
async fn withdraw(shop: &mut Shop) -> Result<()> {
    let reason: jangteo_domain::stock::MovementReason = "returned to the supplier".to_owned().try_into()?;
    let mut commands = Vec::new();
    for (remainder, left) in [(50, 0), (51, 5)] {
        let adjust = |product_id| AdjustStock { product_id, quantity: left - STOCK, reason: reason.clone() };
        let withdrawn = shop.withdraw(PRODUCTS_PER_WITHDRAWN, remainder).into_iter();
        commands.extend(withdrawn.map(adjust).map(Command::AdjustStock));
    }
    let hide = |product_id| {
        let change = ProductChange { status: Some(ProductStatus::Hidden), ..ProductChange::default() };
        Command::ChangeProduct(ChangeProduct { product_id, expected_version: None, change })
    };
    commands.extend(shop.withdraw(PRODUCTS_PER_WITHDRAWN, 52).into_iter().map(hide));
    shop.run(commands).await?;
    Ok(())
}

async fn create_campaign(shop: &Shop, quantity: usize, now: Timestamp) -> Result<CampaignId> {
    let terms = CouponTerms {
        name: "개점 기념 할인".to_owned().try_into()?,
        discount: Discount::Fixed { amount: shop::positive(10)? },
        min_order_amount: None,
    };
    let details = CampaignDetails {
        terms,
        quantity: u32::try_from(quantity)?,
        issue_opens_at: now.saturating_sub(time::Duration::days(30)),
        issue_closes_at: now.saturating_add(time::Duration::days(30)),
        validity: Validity::Days(90),
    };
    let plan = CampaignPlan::try_from(details)?;
    let created = shop.run(vec![Command::CreateCampaign(CreateCampaign { plan })]).await?;
    let id = created.into_iter().find_map(|reply| match reply {
        Reply::CampaignCreated(campaign) => Some(campaign.id),
        _ => None,
    });
    id.context("a campaign")
}

/// A coupon each for users of their own; the first ones are revoked.
async fn issue_coupons(shop: &Shop, campaign_id: CampaignId, count: usize) -> Result<()> {
    let issue = |index| {
        let user_id: UserId = format!("recipient-{index:07}").parse()?;
        Ok(Command::IssueCoupon(IssueCoupon { campaign_id, user_id }))
    };
    let replies = shop.run((0..count).map(issue).collect::<Result<_>>()?).await?;
    let coupon = |reply: &Reply| match reply {
        Reply::CouponIssued { coupon, .. } => Some(coupon.id),
        _ => None,
    };
    let revoke = |coupon_id: CouponId| Command::RevokeCoupon(RevokeCoupon { coupon_id });
    let first = replies.iter().filter_map(coupon).take(count.div_ceil(COUPONS_PER_REVOKED));
    shop.run(first.map(revoke).collect()).await?;
    Ok(())
}

/// Changes by two members of the staff, each of the points of one user.
async fn audit(shop: &Shop, count: usize) -> Result<()> {
    let change = |index: usize| {
        let actor: UserId = format!("staff-00{}", index % 2).parse()?;
        let user_id = shop.users()[OfficeShop::BUSY + index % 2].clone();
        let amount = Money::from_units(1).context("in range")?;
        let command = AdjustPoints { user_id, amount, reason: "goodwill".to_owned().try_into()? };
        let recording = Some(answers::audited(actor, shop.currency()));
        Ok(Request { command: Command::AdjustPoints(command), recording })
    };
    for begin in (0..count).step_by(BATCH) {
        let changes: Vec<Request> = (begin..count.min(begin + BATCH)).map(change).collect::<Result<_>>()?;
        shop.execute(&changes).await?;
    }
    Ok(())
}

async fn record_verifications(adapter: &jangteo_sql::Database, count: usize, now: Timestamp) -> Result<()> {
    let (runs, ids) = (adapter.verification_runs(), Clock::new(now));
    store::on_threads(async move {
        let mut begun = HashSet::new();
        for _ in 0..count {
            let id = VerificationId::from(ids.next_id());
            runs.begin(id, None, "server-1").await?;
            let progress = RunProgress { step: 10, violations: 0, findings: "[]".to_owned() };
            runs.end(id, &progress, &RunEnd::Passed).await?;
            begun.insert(id);
        }
        ensure!(begun.len() == count, "a verification each");
        Ok(())
    })
    .await?
}
