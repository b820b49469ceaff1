use crate::command::{Context, Decide, Decision, Event, Reply};
use crate::delivery::DeliveryRefusal;
use crate::id::EventId;
use crate::refusal::Refusal;
use crate::working_set::{Locks, WorkingSet};

/// Send an event to the data platform again, whether it was received, put aside or is still on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplayEvent {
    /// Which one.
    pub event_id: EventId,
}

impl Decide for ReplayEvent {
    fn name_locks(&self, locks: &mut Locks) {
        locks.events.insert(self.event_id);
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Refusal> {
        let delivery = set.delivery(self.event_id).ok_or(DeliveryRefusal::EventNotFound)?.replay(context.now);
        Ok(Decision {
            reply: Reply::EventReplayed(delivery.clone()),
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
            let reply = scene.decide(Command::ReplayEvent(ReplayEvent { event_id: fresh.event_id }));
            assert_eq!(reply, Ok(Reply::EventReplayed(fresh.clone())));
            assert_eq!(scene.set.delivery(fresh.event_id), Some(&fresh));
        }
    }

    #[test]
    fn locks_how_the_delivery_goes() {
        let event_id = Scene::new().id();
        let mut locks = Locks::default();
        ReplayEvent { event_id }.name_locks(&mut locks);
        assert_eq!(locks, Locks { events: [event_id].into(), ..Locks::default() });
    }

    #[test]
    fn refuses_to_send_an_event_that_is_not_there() {
        let mut scene = Scene::new();
        let event_id = scene.id();
        let refusal = scene.refusal(Command::ReplayEvent(ReplayEvent { event_id }));
        assert_eq!(refusal, DeliveryRefusal::EventNotFound.into());
        assert!(refusal.is_not_found());
    }
}
