use jangteo_domain::StoreError;
use jangteo_domain::id::{EventId, OrderId};
use jangteo_domain::outbox::OutboxEvent;

use crate::rows::rows;
use crate::types::{At, Body, Code, Count, Id, Name, codes};

rows! {
    /// An event for the data platform.
    OutboxEventRow of outbox_events {
        id: Id<EventId>,
    } {
        order_id: Id<OrderId>,
        sequence: Count<u32>,
        event_type: Name<100>,
        body: Body,
        created_at: At,
        state: Code<DeliveryState>,
        due_at: At,
        attempts: Count<u32>,
    }
}

/// How far an event's delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryState {
    Pending,
    Delivered,
    Dead,
}

codes! {
    DeliveryState {
        Pending = "pending",
        Delivered = "delivered",
        Dead = "dead",
    }
}

impl TryFrom<&OutboxEvent> for OutboxEventRow {
    type Error = StoreError;

    /// The event as it waits to be delivered, from the moment that it happened.
    fn try_from(event: &OutboxEvent) -> Result<Self, StoreError> {
        let body = serde_json::to_string(&event.data).map_err(|error| StoreError::unexpected(error.to_string()))?;
        Ok(Self {
            id: Id(event.id),
            order_id: Id(event.order_id),
            sequence: Count(event.sequence),
            event_type: Name(event.data.event_type().to_owned()),
            body: Body(body),
            created_at: At(event.at),
            state: Code(DeliveryState::Pending),
            due_at: At(event.at),
            attempts: Count(0),
        })
    }
}
