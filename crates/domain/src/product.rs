//! Products: what is sold and counted. Variants of one item are products that share an item group.

mod event;
mod queries;
mod rejection;
mod repository;
mod state;

pub use event::ProductEvent;
pub use queries::{PriceRange, ProductFilter, ProductKey, ProductListing, ProductQueries, ProductSort};
pub use rejection::ProductRejection;
pub use repository::ProductRepository;
pub use state::{
    Category, InvalidPrice, ItemGroupId, OptionName, OptionValue, Options, Price, Product, ProductDescription,
    ProductDetails, ProductName, ProductOffer, ProductStatus, TooManyOptions,
};

#[cfg(any(test, feature = "mock"))]
pub use {queries::MockProductQueries, repository::MockProductRepository};
