//! Quotes: the price of a prospective order.

use crate::coupon::{Coupon, CouponChoice, CouponRejection, NotUsableReason};
use crate::id::{CouponId, ProductId};
use crate::money::Money;
use crate::order::{OrderLine, OrderLines, pricing};
use crate::product::ProductListing;
use crate::rejection::Rejection;
use crate::rules::ShopRules;
use crate::time::Timestamp;

/// Not binding: prices, stock and coupons may change before order and payment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct Quote {
    /// Each product once, in the order of the request.
    pub lines: Vec<QuotedLine>,
    pub total: Money,
    pub discount: Money,
    /// The amount to debit: the total less the discount.
    pub amount: Money,
    /// The applied coupon; `None` for the full price.
    pub coupon_id: Option<CouponId>,
    /// Each coupon considered, in the order given.
    pub coupons: Vec<QuotedCoupon>,
}

/// A line of a quote.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct QuotedLine {
    pub product_id: ProductId,
    pub name: String,
    pub quantity: u32,
    pub unit_price: Money,
    /// Before the discount.
    pub line_total: Money,
    pub discount_share: Money,
    /// Items in stock; if fewer than `quantity`, the order would be rejected.
    pub available: u64,
}

/// The effect of a coupon on a prospective order.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct QuotedCoupon {
    pub coupon: Coupon,
    pub discount: Result<Money, NotUsableReason>,
    pub is_applied: bool,
}

impl Quote {
    /// Quotes the lines. `coupons` are the user's unused ones, and the named one in any state: where it is not usable, the
    /// quote is the full price, with the reason.
    ///
    /// # Errors
    /// In the order of order and payment: an unknown product, a product not on sale, an unknown coupon.
    pub fn new(
        lines: &OrderLines,
        listings: &[ProductListing],
        coupons: &[Coupon],
        choice: CouponChoice,
        rules: &ShopRules,
        now: Timestamp,
    ) -> Result<Self, Rejection> {
        let listing = |id: ProductId| listings.iter().find(|listing| listing.product.id == id);
        let lines = lines.price(|id| listing(id).map(|listing| listing.product.offer()))?;
        let total = pricing::total(&lines);
        let chosen = match choice.choose(coupons, total, rules.currency, now) {
            Err(CouponRejection::NotUsable { .. }) => None,
            chosen => chosen?,
        };

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
    fn new(line: &OrderLine, discount_share: Money, available: u64) -> Self {
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

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;
    use crate::command::CouponChoice;
    use crate::command::scene::Scene;
    use crate::coupon::{CampaignDetails, CouponTerms};
    use crate::id::UserId;
    use crate::order::Order;
    use crate::product::{ProductDetails, ProductRejection, ProductStatus};
    use crate::testing::fixtures::{
        campaign_details, fixed, order_lines, percent, positive, product_details, user, won,
    };

    /// A quote with all coupons of a user, used ones included.
    fn quote(
        scene: &Scene,
        user_id: &UserId,
        lines: &[(ProductId, u32)],
        choice: CouponChoice,
    ) -> Result<Quote, Rejection> {
        let listing = |(id, _): &(ProductId, u32)| {
            let product = scene.tables.products.get(id)?.clone();
            Some(ProductListing { product, available: scene.available(*id) })
        };
        let listings: Vec<_> = lines.iter().rev().filter_map(listing).collect();
        let own = scene.tables.coupons.values().filter(|coupon| coupon.user_id == *user_id);
        let coupons: Vec<_> = own.cloned().collect();
        Quote::new(&order_lines(lines), &listings, &coupons, choice, &scene.rules, scene.now)
    }

    #[test]
    fn a_quote_contains_the_price_and_the_effect_of_each_coupon() {
        let mut scene = Scene::new();
        let kim = user("kim");
        let [lamp, chair] = [scene.lamp(12_000, 1), scene.lamp(500, 30)];
        let small = scene.coupon(campaign_details(fixed(100), 1), &kim);
        let large = scene.coupon(campaign_details(fixed(500), 1), &kim);
        let terms = CouponTerms { min_order_amount: Some(positive(25_501)), ..campaign_details(fixed(9_999), 1).terms };
        let dear = scene.coupon(CampaignDetails { terms, ..campaign_details(fixed(1), 1) }, &kim);

        let quote = quote(&scene, &kim, &[(chair, 3), (lamp, 2)], CouponChoice::Best).expect("it can be quoted");
        assert_eq!((quote.total, quote.discount, quote.amount), (won(25_500), won(500), won(25_000)));
        assert_eq!(quote.coupon_id, Some(large));
        let coupons: Vec<_> =
            quote.coupons.iter().map(|quoted| (quoted.coupon.id, quoted.discount, quoted.is_applied)).collect();
        let expected = [
            (small, Ok(won(100)), false),
            (large, Ok(won(500)), true),
            (dear, Err(NotUsableReason::MinOrderNotMet), false),
        ];
        assert_eq!(coupons, expected);
        let line = |product_id, quantity, unit_price, line_total, discount_share, available| QuotedLine {
            product_id,
            name: "lamp".to_owned(),
            quantity,
            unit_price: won(unit_price),
            line_total: won(line_total),
            discount_share: won(discount_share),
            available,
        };
        assert_eq!(quote.lines, [line(chair, 3, 500, 1_500, 29, 30), line(lamp, 2, 12_000, 24_000, 471, 1)]);
    }

    #[test]
    fn without_a_choice_the_quote_is_the_full_price_and_lists_the_coupons() {
        let mut scene = Scene::new();
        let kim = user("kim");
        let lamp = scene.lamp(1_000, 1);
        let coupon = scene.coupon(campaign_details(percent(10), 1), &kim);
        let quote = quote(&scene, &kim, &[(lamp, 1)], CouponChoice::None).expect("it can be quoted");
        assert_eq!((quote.discount, quote.amount, quote.coupon_id), (Money::ZERO, won(1_000), None));
        let [quoted] = &quote.coupons[..] else { panic!("one coupon, not {:?}", quote.coupons) };
        assert_eq!((quoted.coupon.id, quoted.discount, quoted.is_applied), (coupon, Ok(won(100)), false));
    }

    #[test]
    fn the_payment_equals_the_quote() {
        for choice in [CouponChoice::None, CouponChoice::Best] {
            let mut scene = Scene::new();
            let kim = scene.user("kim", 100_000);
            let lines = [(scene.lamp(3_333, 9), 2), (scene.lamp(777, 9), 5)];
            scene.coupon(campaign_details(percent(13), 1), &kim);
            scene.coupon(campaign_details(fixed(1_000), 1), &kim);
            let quote = quote(&scene, &kim, &lines, choice).expect("it can be quoted");
            let id = scene.order(&kim, &lines);
            scene.pay(id, &kim, choice).expect("it can be paid");
            let order: &Order = scene.stored_order(id);
            let paid = order.paid.clone().expect("it is paid");
            assert_eq!((order.total, paid.discount, paid.amount), (quote.total, quote.discount, quote.amount));
            assert_eq!(paid.coupon_id, quote.coupon_id);
            let shares = |line: &OrderLine| (line.product_id, line.line_total(), line.discount_share);
            let quoted = quote.lines.iter().map(|line| (line.product_id, line.line_total, line.discount_share));
            assert!(order.lines.iter().map(shares).eq(quoted));
        }
    }

    /// Each call has one error fewer than the previous one, which shows the order of the checks.
    #[test]
    fn checks_existence_then_sale_then_the_named_coupon() {
        let mut scene = Scene::new();
        let kim = scene.user("kim", 1_000);
        let lamp = scene.lamp(1_000, 1);
        let hidden = ProductDetails { status: ProductStatus::Hidden, ..product_details("lamp", 1) };
        let hidden = scene.product(hidden, 1);
        let absent: ProductId = scene.id();
        let lines = [(lamp, 1), (hidden, 1), (absent, 1)];
        let named = CouponChoice::Named(scene.id());
        let rejection =
            |scene: &Scene, lines: &[_], choice| quote(scene, &kim, lines, choice).expect_err("a rejection");
        assert_eq!(rejection(&scene, &lines, named), ProductRejection::NotFound { product_id: absent }.into());
        assert_eq!(rejection(&scene, &lines[..2], named), ProductRejection::NotOnSale { product_id: hidden }.into());
        assert_eq!(rejection(&scene, &lines[..1], named), CouponRejection::NotFound.into());

        let coupon_id = scene.coupon(campaign_details(fixed(1), 1), &kim);
        scene.advance(Duration::days(30));
        let quote = quote(&scene, &kim, &lines[..1], CouponChoice::Named(coupon_id)).expect("the full price");
        assert_eq!((quote.amount, quote.coupon_id), (won(1_000), None));
        assert_eq!(quote.coupons[0].discount, Err(NotUsableReason::Expired));
    }
}
