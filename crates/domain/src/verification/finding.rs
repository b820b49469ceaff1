use std::fmt;

use crate::id::{CampaignId, CouponId, OrderId, ProductId, RefundId, UserId};
use crate::retention::PruneTarget;
use crate::time::{Date, Timestamp};
use crate::verification::books::Unreadable;
use crate::verification::text::Text;

/// A part of the verification.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Part {
    /// Point accounts and their entries.
    Ledger,
    /// Stocks and their movements.
    Stock,
    /// Orders and their dependent rows.
    Orders,
    /// Campaigns and coupons.
    Coupons,
    /// Daily sales.
    Sales,
    /// The audit log and its chains.
    AuditLog,
    /// Statistics by quarter of an hour.
    Statistics,
    /// Rows with a limited retention.
    Retention,
}

impl Part {
    /// In the order of verification.
    pub const ALL: [Self; 8] = [
        Self::Ledger,
        Self::Stock,
        Self::Orders,
        Self::Coupons,
        Self::Sales,
        Self::AuditLog,
        Self::Statistics,
        Self::Retention,
    ];

    /// A short name for reports and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Stock => "stock",
            Self::Orders => "orders",
            Self::Coupons => "coupons",
            Self::Sales => "sales",
            Self::AuditLog => "audit_log",
            Self::Statistics => "statistics",
            Self::Retention => "retention",
        }
    }
}

/// An inconsistency in the books, with the key of its row.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are the key of the row and a description")]
pub enum Finding {
    /// A row with invalid values.
    Unreadable(Unreadable),
    /// An account that disagrees with its ledger, or an inconsistent ledger.
    Account { user_id: UserId, description: String },
    /// A stock that disagrees with its movements, or inconsistent movements.
    Stock { product_id: ProductId, description: String },
    /// An order that disagrees with its dependent rows.
    Order { order_id: OrderId, description: String },
    /// Refund lines without a refund.
    Refund { refund_id: RefundId, description: String },
    /// A campaign that disagrees with its coupons.
    Campaign { campaign_id: CampaignId, description: String },
    /// A coupon that disagrees with its campaign or its order.
    Coupon { coupon_id: CouponId, description: String },
    /// Sales of a day, or of a product on it, that disagree with the paid orders.
    Sales { day: Date, product_id: Option<ProductId>, description: String },
    /// An actor's audit log that disagrees with its chain.
    AuditLog { actor: UserId, description: String },
    /// A final quarter of an hour that disagrees with the payments and refunds.
    Statistics { starts_at: Timestamp, description: String },
    /// Rows beyond their retention time.
    Retention { of: PruneTarget, description: String },
}

impl Finding {
    /// A short name of the aggregate.
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
            Self::AuditLog { .. } => "audit_log",
            Self::Statistics { .. } => "statistics",
            Self::Retention { .. } => "retention",
        }
    }

    /// The key of the row: names and values.
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
            Self::AuditLog { actor, .. } => vec![("actor", actor.to_string())],
            Self::Statistics { starts_at, .. } => vec![("starts_at", starts_at.text())],
            Self::Retention { of, .. } => vec![("of", of.name().to_owned())],
        }
    }

    /// The inconsistency as a sentence.
    pub fn description(&self) -> &str {
        match self {
            Self::Unreadable(Unreadable { what: description, .. })
            | Self::Account { description, .. }
            | Self::Stock { description, .. }
            | Self::Order { description, .. }
            | Self::Refund { description, .. }
            | Self::Campaign { description, .. }
            | Self::Coupon { description, .. }
            | Self::Sales { description, .. }
            | Self::AuditLog { description, .. }
            | Self::Statistics { description, .. }
            | Self::Retention { description, .. } => description,
        }
    }
}

/// One line: kind, key and description.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        for (_, id) in self.ids() {
            write!(f, " {id}")?;
        }
        write!(f, ": {}", self.description())
    }
}
