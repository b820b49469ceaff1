//! The data platform over HTTP: what is sent to it, and a receiver that takes it.
//!
//! [`HttpDataPlatform`] is the adapter of the domain's port; [`mock`] is a real receiver for tests and for a shop that
//! has no data platform yet. Both speak CloudEvents 1.0 in structured JSON ([`CloudEvent`]), signed with
//! [`Signature`]. Nothing here knows a database.

mod cloud_event;
mod gateway;
pub mod mock;
mod signature;

pub use cloud_event::{CONTENT_TYPE, CloudEvent, SOURCE};
pub use gateway::{GatewaySettings, HttpDataPlatform, InvalidGateway};
pub use signature::{InvalidSignature, SIGNATURE_HEADER, Signature};
