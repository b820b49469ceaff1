//! The data platform over HTTP: a client and a mock receiver.
//!
//! [`JsonEvents`] renders the bodies of events for the outbox, and [`HttpDataPlatform`] sends them; they are the
//! adapters of the domain's two ports. [`mock`] is a receiver for tests and for a shop without a data platform. Both
//! use CloudEvents 1.0 in structured JSON mode ([`CloudEvent`]), signed with [`Signature`]. This crate never accesses a
//! database.

mod cloud_event;
mod destination;
mod events;
mod gateway;
pub mod mock;
mod signature;

pub use cloud_event::{CONTENT_TYPE, CloudEvent, SOURCE};
pub use destination::{Destination, InvalidDestination};
pub use events::JsonEvents;
pub use gateway::{GatewaySettings, HttpDataPlatform, InvalidGateway};
pub use signature::{InvalidSignature, SIGNATURE_HEADER, Signature};
