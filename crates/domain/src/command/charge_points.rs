use crate::command::{Context, Decide, Decision, Event, Reply};
use crate::id::{EntryId, UserId};
use crate::money::PositiveMoney;
use crate::refusal::Refusal;
use crate::working_set::{Locks, WorkingSet};

/// Put points into a user's account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChargePoints {
    /// Whose account.
    pub user_id: UserId,
    /// How much.
    pub amount: PositiveMoney,
}

impl Decide for ChargePoints {
    fn name_locks(&self, locks: &mut Locks) {
        locks.accounts.insert(self.user_id.clone());
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Refusal> {
        let account = set.account(&self.user_id);
        let entry = account.charge(self.amount, context.rules, EntryId::next(context.ids), context.now)?;
        Ok(Decision { reply: Reply::PointsCharged(entry.clone()), events: vec![Event::Point(entry)] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::command::scene::Scene;
    use crate::money::Money;
    use crate::point::{EntryKind, PointEntry, PointRefusal};
    use crate::rules::ShopRules;
    use crate::testing::fixtures::{noon_plus, positive, user, won};
    use crate::testing::rules;

    fn charge(amount: i64) -> Command {
        Command::ChargePoints(ChargePoints { user_id: user("kim"), amount: positive(amount) })
    }

    fn entry(scene: &mut Scene, amount: i64) -> PointEntry {
        match scene.decide(charge(amount)) {
            Ok(Reply::PointsCharged(entry)) => entry,
            other => panic!("an entry is answered, not {other:?}"),
        }
    }

    #[test]
    fn charges_add_up_in_a_chained_ledger() {
        let mut scene = Scene::new();
        let first = entry(&mut scene, 1_000);
        scene.now = noon_plus(5);
        let second = entry(&mut scene, 234);
        assert_eq!((first.sequence, first.amount, first.balance_after), (1, won(1_000), won(1_000)));
        assert_eq!((second.sequence, second.amount, second.balance_after), (2, won(234), won(1_234)));
        assert_eq!((second.kind, second.order_id, second.at), (EntryKind::Charge, None, noon_plus(5)));
        assert_eq!(first.hash, first.hash_after(&[0; 32]));
        assert_eq!(second.hash, second.hash_after(&first.hash));

        let account = scene.set.account(&user("kim"));
        assert_eq!((account.balance, account.entries, account.hash), (won(1_234), 2, second.hash));
        assert_eq!(account.updated_at, Some(noon_plus(5)));
        assert_eq!(scene.set.written().point_entries, [first, second]);
    }

    #[test]
    fn refuses_a_charge_above_the_limit_of_one_charge() {
        let mut scene = Scene::new();
        let refusal = PointRefusal::ChargeLimitExceeded { charge_max: won(1_000_000) };
        assert_eq!(scene.refusal(charge(1_000_001)), refusal.into());
        assert_eq!(entry(&mut scene, 1_000_000).balance_after, won(1_000_000));
    }

    #[test]
    fn refuses_a_charge_that_lifts_the_balance_above_its_limit() {
        let mut scene = Scene::new();
        scene.rules.balance_max = won(1_500);
        entry(&mut scene, 1_000);
        let refusal = PointRefusal::BalanceLimitExceeded { balance: won(1_000), balance_max: won(1_500) };
        assert_eq!(scene.refusal(charge(501)), refusal.into());
        assert_eq!(entry(&mut scene, 500).balance_after, won(1_500));
    }

    #[test]
    fn checks_the_charge_before_the_balance() {
        let mut scene = Scene::new();
        scene.rules = ShopRules { charge_max: won(10), balance_max: won(5), ..rules() };
        let refusal = PointRefusal::ChargeLimitExceeded { charge_max: won(10) };
        assert_eq!(scene.refusal(charge(11)), refusal.into());
        assert!(matches!(scene.refusal(charge(10)), Refusal::Point(PointRefusal::BalanceLimitExceeded { .. })));
    }

    #[test]
    fn refuses_a_balance_that_money_cannot_express() {
        let mut scene = Scene::new();
        let limit = Money::MAX;
        scene.rules = ShopRules { charge_max: limit, balance_max: limit, ..rules() };
        entry(&mut scene, 1);
        let amount = limit.try_into().expect("positive");
        let all = Command::ChargePoints(ChargePoints { user_id: user("kim"), amount });
        let refusal = PointRefusal::BalanceLimitExceeded { balance: won(1), balance_max: limit };
        assert_eq!(scene.refusal(all), refusal.into());
    }
}
