//! Parts of requests, parsed into validated types. Actix's own extractors respond in plain text and are not used.

pub mod body;
pub mod caller;
pub mod if_match;
pub mod page;
pub mod path;
pub mod query;
pub mod write;
