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
    /// The outbox id: the same on every attempt, so that a receiver can drop duplicates by it.
    pub id: Uuid,
    /// [`SOURCE`].
    pub source: String,
    /// What happened, with its version.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The order's id.
    pub subject: String,
    /// When it happened.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// The event's place among those of its order: 1, 2, 3 …
    pub sequence: u32,
    /// The media type of `data`.
    pub datacontenttype: String,
    /// The whole order, and the payment or the refund; passed on as it was stored, to the byte.
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

    /// What is wrong with an envelope that was received, in words; `None` when nothing is.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        if self.specversion != "1.0" {
            Some("specversion is not 1.0")
        } else if self.source.is_empty() {
            Some("source is empty")
        } else if !self.event_type.starts_with("jangteo.") {
            Some("the type is not one of Jangteo's")
        } else if self.subject.parse::<Uuid>().is_err() {
            Some("the subject is no order id")
        } else if self.sequence == 0 {
            Some("sequence starts at 1")
        } else if self.datacontenttype != "application/json" {
            Some("datacontenttype is not application/json")
        } else {
            None
        }
    }
}
