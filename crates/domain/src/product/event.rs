use crate::product::Product;

/// What happens to a product; each carries the product as it is afterwards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProductEvent {
    /// It was made.
    Created(Product),
    /// It was described anew.
    Changed(Product),
}
