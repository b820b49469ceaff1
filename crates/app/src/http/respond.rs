//! Responses: problems, rendered answers of commands, and cached responses.

pub(crate) mod answer;
pub(crate) mod cached_files;
pub(crate) mod cached_response;
pub(crate) mod compression;
pub mod problem;
pub(crate) mod read_cache;
pub(crate) mod redirect;
