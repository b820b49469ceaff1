use crate::coupon::{Coupon, CouponChoice, NotUsableReason};
use crate::id::{CouponId, ProductId};
use crate::money::Money;
use crate::order::{OrderLine, OrderLines, pricing};
use crate::product::ProductListing;
use crate::refusal::Refusal;
use crate::rules::ShopRules;
use crate::time::Timestamp;

/// What an order would cost now. It promises nothing: prices, stock and coupons may change before the order is placed
/// and paid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quote {
    /// The lines, each product once, in the order of the request.
    pub lines: Vec<QuotedLine>,
    /// The sum of the lines.
    pub total: Money,
    /// What the chosen coupon takes off.
    pub discount: Money,
    /// What would be debited: the total less the discount.
    pub amount: Money,
    /// The chosen coupon; `None` for the full price.
    pub coupon_id: Option<CouponId>,
    /// Each coupon that was looked at, in the order given, and what it would do.
    pub coupons: Vec<QuotedCoupon>,
}

/// A line of a quote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuotedLine {
    /// The product.
    pub product_id: ProductId,
    /// What it is called.
    pub name: String,
    /// Pieces asked for.
    pub quantity: u32,
    /// What one piece costs.
    pub unit_price: Money,
    /// What the line costs before the discount.
    pub line_total: Money,
    /// The part of the discount that would fall on this line.
    pub discount_share: Money,
    /// Pieces that can be ordered; where they are fewer than asked for, the order would be refused.
    pub available: u32,
}

/// What a coupon would do for an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuotedCoupon {
    /// The coupon.
    pub coupon: Coupon,
    /// What it would take off, or why it does not apply.
    pub discount: Result<Money, NotUsableReason>,
    /// Whether it is the chosen one.
    pub is_applied: bool,
}

impl Quote {
    /// Works out what these lines would cost a user now. `coupons` are the user's own: all that are unused, and the
    /// named one whatever its state, so that the reason why it does not apply can be told.
    ///
    /// # Errors
    /// Those of placing and of paying the order, as far as they lie in products and coupons, and in the same order:
    /// a product that is not there, one that is not on sale, a named coupon that is not there, one that does not
    /// apply.
    pub fn new(
        lines: &OrderLines,
        listings: &[ProductListing],
        coupons: &[Coupon],
        choice: CouponChoice,
        rules: &ShopRules,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let listing = |id: ProductId| listings.iter().find(|listing| listing.product.id == id);
        let lines = lines.price(|id| listing(id).map(|listing| &listing.product))?;
        let total = pricing::total(&lines);
        let chosen = choice.choose(coupons, total, rules.currency, now)?;

        let discount = chosen.map_or(Money::ZERO, |(_, discount)| discount);
        let coupon_id = chosen.map(|(coupon, _)| coupon.id);
        let shares = pricing::discount_shares(&lines, discount, rules.currency);
        let available = |id| listing(id).map_or(0, |listing| listing.available);
        let quoted = |coupon: &Coupon| QuotedCoupon {
            coupon: coupon.clone(),
            discount: coupon.discount(total, rules.currency, now),
            is_applied: coupon_id == Some(coupon.id),
        };
        Ok(Self {
            lines: lines
                .iter()
                .zip(shares)
                .map(|(line, discount_share)| QuotedLine::new(line, discount_share, available(line.product_id)))
                .collect(),
            total,
            discount,
            amount: total.checked_sub(discount).expect("a discount is at most the total"),
            coupon_id,
            coupons: coupons.iter().map(quoted).collect(),
        })
    }
}

impl QuotedLine {
    fn new(line: &OrderLine, discount_share: Money, available: u32) -> Self {
        Self {
            product_id: line.product_id,
            name: line.name.clone(),
            quantity: line.quantity,
            unit_price: line.unit_price,
            line_total: line.line_total(),
            discount_share,
            available,
        }
    }
}
