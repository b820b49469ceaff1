//! The data platform over HTTP: what is sent to it, and a receiver that takes it.
//!
//! [`JsonEvents`] renders the bodies of events as they are written to the outbox, [`HttpDataPlatform`] sends them:
//! the adapters of the domain's two ports. [`mock`] is a real receiver for tests and for a shop that
//! has no data platform yet. Both speak CloudEvents 1.0 in structured JSON ([`CloudEvent`]), signed with
//! [`Signature`]. Nothing here knows a database.

mod cloud_event;
mod events;
mod gateway;
pub mod mock;
mod signature;

pub use cloud_event::{CONTENT_TYPE, CloudEvent, SOURCE};
pub use events::JsonEvents;
pub use gateway::{GatewaySettings, HttpDataPlatform, InvalidGateway};
pub use signature::{InvalidSignature, SIGNATURE_HEADER, Signature};
