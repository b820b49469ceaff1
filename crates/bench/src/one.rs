//! `one`: a single workload, for tuning and profiling.

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

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Subject {
    /// A random user orders a random product and pays.
    SpreadPurchases,
    /// A random user orders the one hot product and pays.
    HotPurchases,
    /// Every user requests one coupon once; there are half as many coupons.
    CouponRush,
    /// A random user tops up points.
    PointTopUps,
    /// The first page of the products of a random category.
    ProductList,
    /// A random product.
    ProductRead,
    /// A constant response of 256 bytes.
    Constant,
}

/// Measures the workload with each number of callers.
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
    let endpoint = Endpoint::new(&server, target, &database, Rc::new(Dataset::new(&shop)));
    let mut measurements = Vec::new();
    for &concurrency in callers {
        let workload = subject.workload(&endpoint).await?;
        progress.step(format!("{}, {concurrency} callers, server {}", workload.name(), server.pid()));
        let plan = Plan { concurrency, warm_up, window, seed: *seed };
        let plan = if subject == Subject::CouponRush { Plan { warm_up: Duration::ZERO, ..plan } } else { plan };
        measurements.push(load::measure(&endpoint, &workload, plan, &progress).await?);
    }
    server.stop().await?;
    if subject != Subject::Constant {
        progress.step("checking the books");
        program.verify(&url).await?.check()?;
    }
    database.stop().await?;
    progress.finish();
    Ok(measurements)
}

impl Subject {
    async fn workload(self, endpoint: &Endpoint) -> Result<Workload> {
        Ok(match self {
            Self::SpreadPurchases => Workload::SpreadPurchases,
            Self::HotPurchases => Workload::HotPurchases,
            Self::CouponRush => {
                Workload::CouponRush { campaign_id: load::create_campaign(&endpoint.address, USERS / 2).await? }
            }
            Self::PointTopUps => Workload::PointTopUps,
            Self::ProductList => Workload::ProductList,
            Self::ProductRead => Workload::ProductRead,
            Self::Constant => Workload::Constant { length: 256 },
        })
    }
}
