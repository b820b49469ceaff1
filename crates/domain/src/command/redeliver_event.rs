use crate::audit::Subject;
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::delivery::DeliveryRejection;
use crate::id::EventId;
use crate::outcome::Reply;
use crate::rejection::Rejection;
use crate::transaction::{Appended, LockSet, States};
use crate::working_set::WorkingSet;

/// Redelivery of an event to the data platform, from any delivery state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedeliverEvent {
    pub event_id: EventId,
}

impl Decide for RedeliverEvent {
    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Wallet, Some(Subject::Event(self.event_id)))
    }

    fn declare_locks(&self, _order: Option<&OrderRefs>, locks: &mut LockSet) {
        locks.events.insert(self.event_id);
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let delivery = set.delivery(self.event_id).ok_or(DeliveryRejection::EventNotFound)?.redeliver(context.now);
        Ok(Decision {
            reply: Reply::EventRedelivered(delivery.clone()),
            states: States { events: vec![delivery], ..States::default() },
            appended: Appended::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::scene::Scene;
    use crate::delivery::{Delivery, DeliveryState};
    use crate::testing::fixtures::{NOON, noon_plus};

    #[test]
    fn a_redelivery_resets_every_delivery_state() {
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
            lease: None,
            last_error: None,
            delivered_at: None,
        };
        let failed = Delivery {
            due_at: noon_plus(300),
            attempts: 9,
            lease: Some(scene.id()),
            last_error: Some("HTTP 503".to_owned().into()),
            ..fresh.clone()
        };
        let dead = Delivery { state: DeliveryState::Dead, ..failed.clone() };
        let delivered =
            Delivery { state: DeliveryState::Delivered, delivered_at: Some(noon_plus(-1)), ..failed.clone() };
        for before in [fresh.clone(), failed, dead, delivered] {
            scene.tables.events.insert(before.event_id, before);
            let reply = scene.decide(RedeliverEvent { event_id: fresh.event_id });
            assert_eq!(reply, Ok(Reply::EventRedelivered(fresh.clone())));
            assert_eq!(scene.tables.events.get(&fresh.event_id), Some(&fresh));
        }
    }

    #[test]
    fn locks_the_delivery() {
        let event_id = Scene::new().id();
        let mut locks = LockSet::default();
        RedeliverEvent { event_id }.declare_locks(None, &mut locks);
        assert_eq!(locks, LockSet { events: [event_id].into(), ..LockSet::default() });
    }

    #[test]
    fn rejects_an_event_that_does_not_exist() {
        let mut scene = Scene::new();
        let event_id = scene.id();
        let rejection = scene.rejection(RedeliverEvent { event_id });
        assert_eq!(rejection, DeliveryRejection::EventNotFound.into());
        assert!(!rejection.is_stored());
    }
}
