use std::collections::BTreeMap;

use thiserror::Error;

use crate::id::ProductId;

/// The lines of an order or refund request: at least one, each product once, quantities within limits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderLines(Vec<RequestedLine>);

/// A quantity of one product.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct RequestedLine {
    pub product_id: ProductId,
    /// At least one.
    pub quantity: u32,
}

/// The limits of the lines of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are named after their contents")]
pub struct LineLimits {
    pub lines_max: u32,
    pub quantity_max: u32,
}

impl LineLimits {
    /// For a refund: the order is the limit, which may have been placed under others than today's.
    pub const NONE: Self = Self { lines_max: u32::MAX, quantity_max: u32::MAX };
}

impl OrderLines {
    /// Validates and merges the lines: quantities of the same product are added up at its first position.
    ///
    /// # Errors
    /// In this order: [`OrderLinesError::Empty`], [`OrderLinesError::TooManyLines`], and
    /// [`OrderLinesError::InvalidQuantity`] for the first invalid line.
    pub fn new(lines: impl IntoIterator<Item = (ProductId, i64)>, limits: LineLimits) -> Result<Self, OrderLinesError> {
        let LineLimits { lines_max, quantity_max } = limits;
        let lines: Vec<_> = lines.into_iter().collect();
        if lines.is_empty() {
            return Err(OrderLinesError::Empty);
        }
        if lines.len() > usize::try_from(lines_max).unwrap_or(usize::MAX) {
            return Err(OrderLinesError::TooManyLines { lines_max });
        }
        let mut merged: Vec<RequestedLine> = Vec::with_capacity(lines.len());
        let mut place_of = BTreeMap::new();
        for (index, (product_id, quantity)) in lines.into_iter().enumerate() {
            let invalid = OrderLinesError::InvalidQuantity { index, quantity_max };
            let within = |quantity: i64| u32::try_from(quantity).ok().filter(|q| (1..=quantity_max).contains(q));
            let quantity = within(quantity).ok_or(invalid.clone())?;
            let place = *place_of.entry(product_id).or_insert(merged.len());
            match merged.get_mut(place) {
                Some(line) => {
                    line.quantity = within(i64::from(line.quantity).saturating_add(quantity.into())).ok_or(invalid)?;
                }
                None => merged.push(RequestedLine { product_id, quantity }),
            }
        }
        Ok(Self(merged))
    }

    /// The lines, each product once, in the order of the request.
    pub fn iter(&self) -> impl Iterator<Item = RequestedLine> {
        self.0.iter().copied()
    }

    /// In the order of the request.
    pub fn product_ids(&self) -> impl Iterator<Item = ProductId> {
        self.iter().map(|line| line.product_id)
    }
}

/// Reasons to reject the lines of a request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the variants and fields are named after their contents")]
pub enum OrderLinesError {
    #[error("an order has at least one line")]
    Empty,
    #[error("an order has at most {lines_max} lines")]
    TooManyLines { lines_max: u32 },
    /// Below 1 or above the limit, also after merging lines of one product.
    #[error("a quantity is between 1 and {quantity_max}")]
    InvalidQuantity {
        /// The index of the line in the request, from 0.
        index: usize,
        quantity_max: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SequentialIds;

    fn id(n: u64) -> ProductId {
        SequentialIds::id(n).into()
    }

    fn lines(quantities: &[(u64, i64)]) -> Result<Vec<(ProductId, u32)>, OrderLinesError> {
        let limits = LineLimits { lines_max: 3, quantity_max: 10 };
        let lines = OrderLines::new(quantities.iter().map(|(n, quantity)| (id(*n), *quantity)), limits)?;
        Ok(lines.iter().map(|line| (line.product_id, line.quantity)).collect())
    }

    #[test]
    fn lines_of_one_product_are_merged_at_its_first_position() {
        assert_eq!(lines(&[(2, 3), (1, 1), (2, 7)]), Ok(vec![(id(2), 10), (id(1), 1)]));
    }

    #[test]
    fn rejects_an_empty_order_and_too_many_lines() {
        assert_eq!(lines(&[]), Err(OrderLinesError::Empty));
        let too_many = OrderLinesError::TooManyLines { lines_max: 3 };
        assert_eq!(lines(&[(1, 1), (1, 1), (1, 1), (1, 0)]), Err(too_many), "before the quantities");
        assert!(lines(&[(1, 1), (2, 1), (3, 1)]).is_ok());
    }

    #[test]
    fn rejects_quantities_outside_the_limits_also_after_merging() {
        let invalid = |index| Err(OrderLinesError::InvalidQuantity { index, quantity_max: 10 });
        for quantity in [0, -1, 11, i64::MIN, i64::MAX, 1 << 32] {
            assert_eq!(lines(&[(1, 1), (2, quantity)]), invalid(1), "{quantity}");
        }
        assert_eq!(lines(&[(1, 5), (2, 10), (1, 6)]), invalid(2));
        assert_eq!(lines(&[(1, 0), (2, 0)]), invalid(0), "the first invalid line");
        let of_refund = |quantity| OrderLines::new([(id(1), quantity)], LineLimits::NONE).is_ok();
        assert_eq!([0, 1, u32::MAX.into(), 1 << 32].map(of_refund), [false, true, true, false]);
    }
}
