use std::fmt;

use crate::id::{CampaignId, CouponId, OrderId, ProductId, UserId};
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
}

impl Part {
    /// Every part, in the order in which they are verified.
    pub const ALL: [Self; 5] = [Self::Ledger, Self::Stock, Self::Orders, Self::Coupons, Self::Sales];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Stock => "stock",
            Self::Orders => "orders",
            Self::Coupons => "coupons",
            Self::Sales => "sales",
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
    /// A campaign disagrees with its coupons.
    Campaign { campaign_id: CampaignId, what: String },
    /// A coupon disagrees with its campaign or its order.
    Coupon { coupon_id: CouponId, what: String },
    /// The sales of a day and a product are not those of the paid orders.
    Sales { day: Date, product_id: ProductId, what: String },
}

impl Finding {
    /// A short name of what is concerned.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::Account { .. } => "account",
            Self::Stock { .. } => "stock",
            Self::Order { .. } => "order",
            Self::Campaign { .. } => "campaign",
            Self::Coupon { .. } => "coupon",
            Self::Sales { .. } => "sales",
        }
    }

    /// The key of the row concerned, as text.
    pub fn key(&self) -> String {
        match self {
            Self::Unreadable(Unreadable { table, key, .. }) => format!("{table} {key}"),
            Self::Account { user_id, .. } => user_id.to_string(),
            Self::Stock { product_id, .. } => product_id.to_string(),
            Self::Order { order_id, .. } => order_id.to_string(),
            Self::Campaign { campaign_id, .. } => campaign_id.to_string(),
            Self::Coupon { coupon_id, .. } => coupon_id.to_string(),
            Self::Sales { day, product_id, .. } => format!("{day} {product_id}"),
        }
    }

    /// What does not agree, in words.
    pub fn what(&self) -> &str {
        match self {
            Self::Unreadable(Unreadable { what, .. })
            | Self::Account { what, .. }
            | Self::Stock { what, .. }
            | Self::Order { what, .. }
            | Self::Campaign { what, .. }
            | Self::Coupon { what, .. }
            | Self::Sales { what, .. } => what,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.kind(), self.key(), self.what())
    }
}
