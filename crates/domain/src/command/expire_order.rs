use crate::audit::Subject;
use crate::command::cancel_order::close_unpaid;
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::id::OrderId;
use crate::order::OrderRejection;
use crate::outcome::Reply;
use crate::rejection::Rejection;
use crate::stock::MovementKind;
use crate::transaction::LockSet;
use crate::working_set::WorkingSet;

/// Expiry of an order past its payment deadline: restores its stock. Issued by the sweeper only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpireOrder {
    pub order_id: OrderId,
}

impl Decide for ExpireOrder {
    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Stock, Some(Subject::Order(self.order_id)))
    }

    fn order_id(&self) -> Option<OrderId> {
        Some(self.order_id)
    }

    fn declare_locks(&self, order: Option<&OrderRefs>, locks: &mut LockSet) {
        if let Some(order) = order {
            locks.stocks.extend(&order.product_ids);
            locks.accounts.insert(order.user_id.clone());
        }
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let order = set.order(self.order_id).ok_or(OrderRejection::NotFound)?;
        let expired = order.expire(context.now)?;
        let (states, appended) = close_unpaid(&expired, MovementKind::Expiry, set, context)?;
        Ok(Decision { reply: Reply::OrderExpired(expired.id), states, appended })
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;
    use crate::command::scene::Scene;
    use crate::command::CouponChoice;
    use crate::order::OrderStatus;
    use crate::testing::fixtures::noon_plus;

    fn rejected(scene: &mut Scene, order_id: OrderId) -> Rejection {
        scene.rejection(ExpireOrder { order_id })
    }

    #[test]
    fn an_unpaid_order_expires_once_and_restores_its_stock() {
        let mut scene = Scene::new();
        let kim = scene.user("kim", 1_000);
        let lamp = scene.lamp(1_000, 2);
        let id = scene.order(&kim, &[(lamp, 2)]);
        scene.now = noon_plus(600).saturating_add(Duration::microseconds(-1));
        assert_eq!(rejected(&mut scene, id), OrderRejection::NotDue.into(), "still payable");

        scene.now = noon_plus(600);
        assert_eq!(scene.expire(id), Ok(Reply::OrderExpired(id)));
        assert_eq!(scene.stored_order(id).status, OrderStatus::Expired);
        assert_eq!((scene.available(lamp), scene.open_orders(&kim)), (2, 0));
        let movement = scene.tables.written.stock_movements.last().cloned().expect("a movement");
        assert_eq!((movement.quantity, movement.kind, movement.order_id), (2, MovementKind::Expiry, Some(id)));
        assert_eq!(rejected(&mut scene, id), OrderRejection::NotDue.into());
        assert_eq!(scene.available(lamp), 2);
    }

    #[test]
    fn rejects_the_expiry_of_a_paid_or_cancelled_order() {
        let mut scene = Scene::new();
        let kim = scene.user("kim", 1_000);
        let lamp = scene.lamp(1_000, 2);
        let [paid, cancelled] = [scene.order(&kim, &[(lamp, 1)]), scene.order(&kim, &[(lamp, 1)])];
        scene.pay(paid, &kim, CouponChoice::None).expect("payable");
        scene.cancel(cancelled, &kim).expect("cancellable");
        scene.now = noon_plus(600);
        for id in [paid, cancelled] {
            assert_eq!(rejected(&mut scene, id), OrderRejection::NotDue.into());
        }
    }

    #[test]
    fn rejects_the_expiry_of_an_order_that_does_not_exist() {
        let mut scene = Scene::new();
        let absent = scene.id();
        assert_eq!(rejected(&mut scene, absent), OrderRejection::NotFound.into());
    }
}
