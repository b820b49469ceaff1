use proptest::prelude::*;

use super::*;
use crate::testing::fixtures::won;

fn exact(ten_thousandths: i64) -> Money {
    Money::from_ten_thousandths(ten_thousandths).expect("in range")
}

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

fn currency(code: &str) -> Currency {
    Currency::from_code(code).expect("a currency")
}

#[test]
fn arithmetic_ends_at_the_limits_and_never_wraps() {
    let smallest = exact(1);
    assert_eq!(Money::MAX.checked_add(smallest), None);
    assert_eq!(Money::MAX.negated().checked_sub(smallest), None);
    assert_eq!(Money::MAX.checked_sub(smallest).and_then(|less| less.checked_add(smallest)), Some(Money::MAX));
    assert_eq!(Money::MAX.checked_mul(2), None);
    assert_eq!(exact(3).checked_mul(u32::MAX), Some(exact(3 * i64::from(u32::MAX))));
    assert_eq!(Money::from_units(900_000_000_000_000), Some(Money::MAX));
    assert_eq!(Money::from_units(900_000_000_000_001), None);
    assert_eq!(Money::from_units(i64::MAX), None);
    assert_eq!(Money::from_ten_thousandths(i64::MIN), None);
    assert_eq!(Money::checked_sum([Money::MAX, won(-1), won(1)]), Some(Money::MAX));
    assert_eq!(Money::checked_sum([Money::MAX, won(1), won(-1)]), None, "no step may leave the range");
    assert_eq!(Money::checked_sum([]), Some(Money::ZERO));
}

#[test]
fn decimals_are_converted_exactly_or_rejected() {
    assert_eq!(Money::from_decimal(decimal("19.99")), Ok(exact(199_900)));
    assert_eq!(Money::from_decimal(decimal("-0.0001")), Ok(exact(-1)));
    assert_eq!(Money::from_decimal(decimal("1.00000")), Ok(won(1)));
    assert_eq!(Money::from_decimal(decimal("0.00001")), Err(AmountError::TooPrecise { decimals_max: 4 }));
    assert_eq!(Money::from_decimal(decimal("900000000000000")), Ok(Money::MAX));
    assert_eq!(Money::from_decimal(decimal("900000000000000.0001")), Err(AmountError::OutOfRange));
    assert_eq!(Money::from_decimal(Decimal::MAX), Err(AmountError::OutOfRange));
    assert_eq!(Money::from_decimal(Decimal::MIN), Err(AmountError::OutOfRange));
}

#[test]
fn parsing_rejects_more_decimals_than_the_currency_has() {
    let parse = |code, written| currency(code).parse(decimal(written));
    assert_eq!(parse("KRW", "12000"), Ok(won(12_000)));
    assert_eq!(parse("KRW", "12000.5"), Err(AmountError::TooPrecise { decimals_max: 0 }));
    assert_eq!(parse("KRW", "12000.00"), Ok(won(12_000)));
    assert_eq!(parse("USD", "19.99"), Ok(exact(199_900)));
    assert_eq!(parse("USD", "19.990"), Ok(exact(199_900)));
    assert_eq!(parse("USD", "19.9901"), Err(AmountError::TooPrecise { decimals_max: 2 }));
    assert_eq!(parse("KWD", "0.001"), Ok(exact(10)));
    assert_eq!(parse("KRW", "900000000000001"), Err(AmountError::OutOfRange));
}

#[test]
fn a_currency_displays_exactly_its_decimals() {
    let show = |code, money| currency(code).show(money).to_string();
    assert_eq!(show("KRW", won(12_000)), "12000");
    assert_eq!(show("USD", won(5)), "5.00");
    assert_eq!(show("USD", exact(-199_900)), "-19.99");
    assert_eq!(show("KWD", Money::ZERO), "0.000");
}

#[test]
fn currencies_are_means_of_payment() {
    for (code, decimals, unit) in [("KRW", 0, 10_000), ("JPY", 0, 10_000), ("USD", 2, 100), ("KWD", 3, 10)] {
        let currency = currency(code);
        assert_eq!((currency.code(), currency.decimals(), currency.unit()), (code, decimals, exact(unit)));
    }
    for unknown in ["", "krw", "KR", "ABC", "XAU"] {
        assert_eq!(Currency::from_code(unknown), None, "{unknown}");
    }
}

#[test]
fn positive_money_is_above_zero() {
    assert_eq!(PositiveMoney::try_from(exact(1)).map(PositiveMoney::get), Ok(exact(1)));
    for not_positive in [Money::ZERO, exact(-1)] {
        assert_eq!(PositiveMoney::try_from(not_positive), Err(AmountError::NotPositive));
    }
}

#[test]
fn debug_output_is_a_decimal() {
    assert_eq!(format!("{:?}", exact(199_900)), "Money(19.99)");
    assert_eq!(format!("{:?}", won(-12_000)), "Money(-12000)");
}

#[test]
fn a_portion_is_rounded_as_its_name_says() {
    let unit = won(1);
    assert_eq!(won(5).portion_rounded_down(1, 2, unit), Some(won(2)));
    assert_eq!(won(5).portion_rounded_half_up(1, 2, unit), Some(won(3)));
    assert_eq!(won(49).portion_rounded_half_up(1, 100, unit), Some(Money::ZERO));
    assert_eq!(won(50).portion_rounded_half_up(1, 100, unit), Some(won(1)));
    assert_eq!(exact(10_050).portion_rounded_half_up(1, 1, exact(100)), Some(exact(10_100)));
}

#[test]
fn an_invalid_portion_is_none() {
    let unit = won(1);
    assert_eq!(won(-1).portion_rounded_down(1, 2, unit), None);
    assert_eq!(won(1).portion_rounded_down(-1, 2, unit), None);
    assert_eq!(won(1).portion_rounded_down(1, 0, unit), None);
    assert_eq!(won(1).portion_rounded_half_up(1, -2, unit), None);
    assert_eq!(won(1).portion_rounded_half_up(1, 2, Money::ZERO), None);
    assert_eq!(Money::MAX.portion_rounded_down(i64::MAX, 1, unit), None);
}

#[test]
fn shares_go_by_the_largest_remainder_then_to_the_earlier() {
    let shares = |amount, weights: &[i64]| {
        let weights: Vec<_> = weights.iter().map(|weight| won(*weight)).collect();
        won(amount)
            .allocate(&weights, won(1))
            .into_iter()
            .map(|share| share.ten_thousandths() / 10_000)
            .collect::<Vec<_>>()
    };
    assert_eq!(shares(100, &[1, 1, 1]), [34, 33, 33]);
    assert_eq!(shares(2, &[1, 1, 1]), [1, 1, 0]);
    assert_eq!(shares(10, &[15, 25, 60]), [2, 2, 6]);
    assert_eq!(shares(7, &[0, 7, 0]), [0, 7, 0]);
    assert_eq!(shares(500, &[1_500, 24_000]), [29, 471]);
    assert_eq!(shares(0, &[3, 4]), [0, 0]);
    assert_eq!(shares(5, &[0, 0]), [0, 0]);
    assert_eq!(shares(5, &[]), Vec::<i64>::new());
}

#[test]
#[should_panic(expected = "no multiple of the unit")]
fn rejects_sharing_an_amount_below_the_currency_unit() {
    exact(1).allocate(&[won(1)], won(1));
}

#[test]
#[should_panic(expected = "a negative share")]
fn rejects_sharing_a_negative_amount() {
    won(-1).allocate(&[won(1)], won(1));
}

fn any_amount() -> impl Strategy<Value = Money> {
    (0..=Money::MAX.ten_thousandths()).prop_map(exact)
}

fn any_unit() -> impl Strategy<Value = Money> {
    prop::sample::select(vec!["KRW", "USD", "KWD", "UYW"]).prop_map(|code| currency(code).unit())
}

/// Without rounding. A product of two amounts, even doubled, is below 2^128, and an overflow panics.
fn wide(number: i64) -> u128 {
    number.unsigned_abs().into()
}

fn exactly(money: Money) -> u128 {
    wide(money.ten_thousandths())
}

proptest! {
    /// Rounded down, `q` is the multiple of the unit with `q · d ≤ a · n < (q + u) · d`.
    #[test]
    fn rounding_down_agrees_with_exact_integers(
        amount in any_amount(), numerator in 0_i64.., denominator in 1_i64.., unit in any_unit(),
    ) {
        let wanted = exactly(amount) * wide(numerator);
        let divisor = wide(denominator);
        match amount.portion_rounded_down(numerator, denominator, unit) {
            Some(portion) => {
                prop_assert_eq!(portion.ten_thousandths() % unit.ten_thousandths(), 0);
                prop_assert!(exactly(portion) * divisor <= wanted);
                prop_assert!((exactly(portion) + exactly(unit)) * divisor > wanted);
            }
            None => prop_assert!(wanted > exactly(Money::MAX) * divisor),
        }
    }

    /// Rounded half up, `q` is the multiple of the unit with `(2q − u) · d ≤ 2 · a · n < (2q + u) · d`.
    #[test]
    fn rounding_half_up_agrees_with_exact_integers(
        amount in any_amount(), numerator in 0_i64.., denominator in 1_i64.., unit in any_unit(),
    ) {
        let wanted = 2 * exactly(amount) * wide(numerator);
        let divisor = wide(denominator);
        match amount.portion_rounded_half_up(numerator, denominator, unit) {
            Some(portion) => {
                prop_assert_eq!(portion.ten_thousandths() % unit.ten_thousandths(), 0);
                let twice = 2 * exactly(portion);
                prop_assert!(twice * divisor <= wanted + exactly(unit) * divisor);
                prop_assert!((twice + exactly(unit)) * divisor > wanted);
            }
            None => prop_assert!(wanted + exactly(unit) * divisor > 2 * exactly(Money::MAX) * divisor),
        }
    }

    #[test]
    fn rounding_to_half_of_a_small_number_is_schoolbook(amount in 0_i64..1_000_000, percent in 1_i64..=100) {
        let expected = (amount * percent + 50) / 100;
        prop_assert_eq!(won(amount).portion_rounded_half_up(percent, 100, won(1)), Some(won(expected)));
    }

    #[test]
    fn shares_add_up_to_the_amount_and_none_is_above_its_weight(
        weights in prop::collection::vec(0_i64..=1_000_000_000_000, 1..40), part in 0.0..=1.0_f64, unit in any_unit(),
    ) {
        let weights: Vec<_> = weights.into_iter().map(|weight| exact(weight * unit.ten_thousandths())).collect();
        let whole = Money::checked_sum(weights.iter().copied()).expect("in range");
        let units = whole.ten_thousandths() / unit.ten_thousandths();
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "any number of units will do")]
        let amount = exact((((units as f64) * part) as i64).min(units) * unit.ten_thousandths());
        let shares = amount.allocate(&weights, unit);
        prop_assert_eq!(shares.len(), weights.len());
        prop_assert_eq!(Money::checked_sum(shares.iter().copied()), Some(amount));
        for (share, weight) in shares.iter().zip(&weights) {
            prop_assert!(!share.is_negative() && share <= weight);
            prop_assert_eq!(share.ten_thousandths() % unit.ten_thousandths(), 0);
            let floor = amount.portion_rounded_down(weight.ten_thousandths(), whole.ten_thousandths().max(1), unit);
            let floor = floor.expect("in range");
            prop_assert!(*share == floor || Some(*share) == floor.checked_add(unit), "within a unit of its part");
        }
    }

    #[test]
    fn decimals_round_trip(ten_thousandths in -Money::MAX.ten_thousandths()..=Money::MAX.ten_thousandths()) {
        let money = exact(ten_thousandths);
        prop_assert_eq!(Money::from_decimal(money.to_decimal()), Ok(money));
        prop_assert_eq!(Money::try_from(i64::from(money)), Ok(money));
        prop_assert_eq!(money.negated().negated(), money);
        prop_assert_eq!(money.checked_add(money.negated()), Some(Money::ZERO));
    }
}
