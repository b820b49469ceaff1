use crate::command::{Context, Decide, Decision, Event, Reply};
use crate::delivery::DeliveryRejection;
use crate::id::EventId;
use crate::rejection::Rejection;
use crate::working_set::{Locks, WorkingSet};

/// Send an event to the data platform again, whether it was received, put aside or is still on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedeliverEvent {
    /// Which one.
    pub event_id: EventId,
}

impl Decide for RedeliverEvent {
    fn declare_locks(&self, locks: &mut Locks) {
        locks.events.insert(self.event_id);
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let delivery = set.delivery(self.event_id).ok_or(DeliveryRejection::EventNotFound)?.replay(context.now);
        Ok(Decision {
            reply: Reply::EventRedelivered(delivery.clone()),
            events: vec![Event::Delivery(Box::new(delivery))],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::command::scene::Scene;
    use crate::delivery::{Delivery, DeliveryState};
    use crate::testing::fixtures::{NOON, noon_plus};

    #[test]
    fn a_delivery_begins_anew_however_far_it_had_come() {
        let mut scene = Scene::new();
        let fresh = Delivery {
            event_id: scene.id(),
            order_id: scene.id(),
            sequence: 2,
            event_type: "jangteo.order.refunded.v1".to_owned(),
            at: noon_plus(-60),
            state: DeliveryState::Pending,
            due_at: NOON,
            attempts: 0,
            last_error: None,
            delivered_at: None,
        };
        let failed = Delivery {
            due_at: noon_plus(300),
            attempts: 9,
            last_error: Some("HTTP 503".to_owned().into()),
            ..fresh.clone()
        };
        let dead = Delivery { state: DeliveryState::Dead, ..failed.clone() };
        let delivered =
            Delivery { state: DeliveryState::Delivered, delivered_at: Some(noon_plus(-1)), ..failed.clone() };
        for before in [fresh.clone(), failed, dead, delivered] {
            scene.set.load_delivery(before);
            let reply = scene.decide(Command::RedeliverEvent(RedeliverEvent { event_id: fresh.event_id }));
            assert_eq!(reply, Ok(Reply::EventRedelivered(fresh.clone())));
            assert_eq!(scene.set.delivery(fresh.event_id), Some(&fresh));
        }
    }

    #[test]
    fn locks_how_the_delivery_goes() {
        let event_id = Scene::new().id();
        let mut locks = Locks::default();
        RedeliverEvent { event_id }.declare_locks(&mut locks);
        assert_eq!(locks, Locks { events: [event_id].into(), ..Locks::default() });
    }

    #[test]
    fn rejects_to_send_an_event_that_is_not_there() {
        let mut scene = Scene::new();
        let event_id = scene.id();
        let rejection = scene.rejection(Command::RedeliverEvent(RedeliverEvent { event_id }));
        assert_eq!(rejection, DeliveryRejection::EventNotFound.into());
        assert!(rejection.is_not_found());
    }
}
