use jangteo_domain::delivery::StoredEvent;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

/// The media type of a CloudEvent in structured mode (CloudEvents JSON format 1.0, §3).
pub const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// The `source` of every event: with it an event's id is unique (CloudEvents 1.0, §3.1.1).
pub const SOURCE: &str = "/jangteo";

/// The envelope of an event: CloudEvents 1.0 with the extension attribute `sequence`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CloudEvent {
    /// The version of CloudEvents, `1.0`.
    pub specversion: String,
    /// The outbox id. Retries have the same id, so that a receiver can drop duplicates.
    pub id: Uuid,
    /// [`SOURCE`] in every event of ours; the mock accepts others.
    pub source: String,
    /// The versioned type, such as `jangteo.order.paid.v1`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The order's id, by which receivers order events.
    pub subject: String,
    /// Time of the payment or refund, not of the delivery.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// Position among the events of the order, from 1 without gaps.
    pub sequence: u32,
    /// Media type of `data`.
    pub datacontenttype: String,
    /// The whole order and the payment or the refund; the stored bytes, unchanged.
    pub data: Box<RawValue>,
}

impl CloudEvent {
    /// The envelope of a stored event.
    ///
    /// # Errors
    /// When the stored body is not JSON.
    pub fn of(event: &StoredEvent) -> Result<Self, serde_json::Error> {
        let StoredEvent { delivery, body } = event;
        Ok(Self {
            specversion: "1.0".to_owned(),
            id: delivery.event_id.uuid(),
            source: SOURCE.to_owned(),
            event_type: delivery.event_type.clone(),
            subject: delivery.order_id.to_string(),
            time: delivery.at.to_offset_date_time(),
            sequence: delivery.sequence,
            datacontenttype: "application/json".to_owned(),
            data: RawValue::from_string(body.clone())?,
        })
    }

    /// The first error of a received envelope, or `None` if it is valid.
    pub(crate) fn validation_error(&self) -> Option<&'static str> {
        if self.specversion != "1.0" {
            Some("specversion is not 1.0")
        } else if self.source.is_empty() {
            Some("source is empty")
        } else if !self.event_type.starts_with("jangteo.") {
            Some("the type is not a Jangteo type")
        } else if self.subject.parse::<Uuid>().is_err() {
            Some("the subject is not an order id")
        } else if self.sequence == 0 {
            Some("sequence starts at 1")
        } else if self.datacontenttype != "application/json" {
            Some("datacontenttype is not application/json")
        } else {
            None
        }
    }
}
