use std::fmt;

use crate::id::{CampaignId, CouponId, OrderId, ProductId, RefundId, UserId};
use crate::retention::PruneTarget;
use crate::time::Date;
use crate::verification::Unreadable;

/// A part of the books.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Part {
    /// Point accounts and their entries.
    Ledger,
    /// Stocks and their movements.
    Stock,
    /// Orders and all that belongs to them.
    Orders,
    /// Campaigns and coupons.
    Coupons,
    /// Daily sales.
    Sales,
    /// What is only kept for a while.
    Retention,
}

impl Part {
    /// Every part, in the order in which they are verified.
    pub const ALL: [Self; 6] = [Self::Ledger, Self::Stock, Self::Orders, Self::Coupons, Self::Sales, Self::Retention];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Stock => "stock",
            Self::Orders => "orders",
            Self::Coupons => "coupons",
            Self::Sales => "sales",
            Self::Retention => "retention",
        }
    }
}

/// Something in the books that does not agree, with the rows concerned.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields name the row concerned, and what about it does not agree")]
pub enum Finding {
    /// A row that makes no sense at all.
    Unreadable(Unreadable),
    /// An account disagrees with its ledger, or its ledger with itself.
    Account { user_id: UserId, what: String },
    /// A stock disagrees with its movements, or they with each other.
    Stock { product_id: ProductId, what: String },
    /// An order disagrees with what belongs to it.
    Order { order_id: OrderId, what: String },
    /// A refund is known by its lines only.
    Refund { refund_id: RefundId, what: String },
    /// A campaign disagrees with its coupons.
    Campaign { campaign_id: CampaignId, what: String },
    /// A coupon disagrees with its campaign or its order.
    Coupon { coupon_id: CouponId, what: String },
    /// The sales of a day, or of a product on it, are not those of the paid orders.
    Sales { day: Date, product_id: Option<ProductId>, what: String },
    /// Rows that are only kept for a while are kept for longer.
    Retention { of: PruneTarget, what: String },
}

impl Finding {
    /// A short name of what is concerned.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::Account { .. } => "account",
            Self::Stock { .. } => "stock",
            Self::Order { .. } => "order",
            Self::Refund { .. } => "refund",
            Self::Campaign { .. } => "campaign",
            Self::Coupon { .. } => "coupon",
            Self::Sales { .. } => "sales",
            Self::Retention { .. } => "retention",
        }
    }

    /// The key of the row concerned, each of its parts with its name.
    pub fn ids(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Unreadable(Unreadable { table, key, .. }) => {
                vec![("table", (*table).to_owned()), ("key", key.clone())]
            }
            Self::Account { user_id, .. } => vec![("user_id", user_id.to_string())],
            Self::Stock { product_id, .. } => vec![("product_id", product_id.to_string())],
            Self::Order { order_id, .. } => vec![("order_id", order_id.to_string())],
            Self::Refund { refund_id, .. } => vec![("refund_id", refund_id.to_string())],
            Self::Campaign { campaign_id, .. } => vec![("campaign_id", campaign_id.to_string())],
            Self::Coupon { coupon_id, .. } => vec![("coupon_id", coupon_id.to_string())],
            Self::Sales { day, product_id, .. } => {
                let product_id = product_id.map(|product_id| ("product_id", product_id.to_string()));
                [("day", day.to_string())].into_iter().chain(product_id).collect()
            }
            Self::Retention { of, .. } => vec![("of", of.name().to_owned())],
        }
    }

    /// What does not agree, in words.
    pub fn what(&self) -> &str {
        match self {
            Self::Unreadable(Unreadable { what, .. })
            | Self::Account { what, .. }
            | Self::Stock { what, .. }
            | Self::Order { what, .. }
            | Self::Refund { what, .. }
            | Self::Campaign { what, .. }
            | Self::Coupon { what, .. }
            | Self::Sales { what, .. }
            | Self::Retention { what, .. } => what,
        }
    }
}

/// One line: what is concerned, its key, and what does not agree.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        for (_, id) in self.ids() {
            write!(f, " {id}")?;
        }
        write!(f, ": {}", self.what())
    }
}
