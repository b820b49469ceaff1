//! `one`: a single workload for as long as it is asked for, to tune and to profile by.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::load::{self, Dataset, Endpoint, Plan, Workload};
use crate::measure::{Measurement, Target};
use crate::options::Setup;
use crate::progress::Progress;
use crate::server::Server;
use crate::shop::{self, Shop, Size};
use crate::store;

const NAME: &str = "shop";
const USERS: usize = 100_000;

/// What to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Subject {
    /// A user at random orders a product at random and pays.
    SpreadPurchases,
    /// A user at random orders the one product that everybody wants, and pays.
    HotPurchases,
    /// Every user asks once for one of half as many coupons.
    CouponRush,
    /// A user at random tops up points.
    PointTopUps,
    /// The first page of the products of a category at random.
    ProductList,
    /// One product at random.
    ProductRead,
    /// The constant answer of 256 bytes.
    Constant,
}

/// Runs the workload with each number of callers.
pub async fn run(
    setup: &Setup,
    subject: Subject,
    callers: &[usize],
    window: Duration,
    settings: &[(String, String)],
) -> Result<Vec<Measurement>> {
    let Setup { program, seed, names, .. } = setup;
    let warm_up = window / 5;
    let progress = Progress::new((warm_up + window) * u32::try_from(callers.len())?);
    progress.step("opening the shop");
    let database = setup.database().await?;
    let url = database.create(NAME).await?;
    let size = Size { users: USERS, products: 1_000, names: *names };
    let shop = Shop::open_in(&store::open_new(&url).await?, size, shop::now()?).await?;

    let server = match subject {
        Subject::Constant => Server::constant(&program.logs).await?,
        _ => Server::shop(program, &url, settings).await?,
    };
    let target = if subject == Subject::Constant { Target::Constant } else { Target::Batched };
    let site = Endpoint::new(&server, target, &database);
    let directory = Rc::new(Dataset::new(&shop)?);
    let mut measurements = Vec::new();
    for &concurrency in callers {
        let workload = subject.workload(&site).await?;
        progress.step(format!("{}, {concurrency} callers, server {}", workload.name(), server.pid()));
        let plan = Plan { concurrency, warm_up, window, seed: *seed };
        let plan = if subject == Subject::CouponRush { Plan { warm_up: Duration::ZERO, ..plan } } else { plan };
        measurements.push(load::measure(&site, &directory, &workload, plan, &progress).await?);
    }
    server.stop()?;
    if subject != Subject::Constant {
        progress.step("checking the books");
        program.verify(&url)?.check()?;
    }
    database.stop()?;
    progress.finish();
    Ok(measurements)
}

impl Subject {
    async fn workload(self, site: &Endpoint) -> Result<Workload> {
        Ok(match self {
            Self::SpreadPurchases => Workload::SpreadPurchases,
            Self::HotPurchases => Workload::HotPurchases,
            Self::CouponRush => {
                Workload::CouponRush { campaign_id: load::create_campaign(&site.address, USERS / 2).await? }
            }
            Self::PointTopUps => Workload::PointTopUps,
            Self::ProductList => Workload::ProductList,
            Self::ProductRead => Workload::ProductRead,
            Self::Constant => Workload::Constant { length: 256 },
        })
    }
}
