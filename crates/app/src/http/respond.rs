//! Responses: problems, rendered answers of commands, and cached responses.

pub mod answer;
pub mod cached_response;
pub mod compression;
pub mod problem;
pub mod read_cache;
