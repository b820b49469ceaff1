use crate::audit::Subject;
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::id::UserId;
use crate::money::PositiveMoney;
use crate::outcome::Reply;
use crate::rejection::Rejection;
use crate::transaction::{Appended, LockSet, States};
use crate::working_set::WorkingSet;

/// A top-up of points.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopUpPoints {
    pub user_id: UserId,
    pub amount: PositiveMoney,
}

impl Decide for TopUpPoints {
    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Wallet, Some(Subject::User(self.user_id.clone())))
    }

    fn declare_locks(&self, _order: Option<&OrderRefs>, locks: &mut LockSet) {
        locks.accounts.insert(self.user_id.clone());
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let account = set.account(&self.user_id);
        let (account, entry) = account.top_up(self.amount, context.rules, context.new_id(), context.now)?;
        Ok(Decision {
            reply: Reply::PointsToppedUp(entry.clone()),
            states: States { accounts: vec![account], ..States::default() },
            appended: Appended { point_entries: vec![entry], ..Appended::default() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::scene::Scene;
    use crate::money::Money;
    use crate::point::{EntryKind, PointEntry, PointRejection};
    use crate::rules::ShopRules;
    use crate::testing::fixtures::{noon_plus, positive, user, won};
    use crate::testing::rules;

    fn top_up(amount: i64) -> TopUpPoints {
        TopUpPoints { user_id: user("kim"), amount: positive(amount) }
    }

    fn entry(scene: &mut Scene, amount: i64) -> PointEntry {
        match scene.decide(top_up(amount)) {
            Ok(Reply::PointsToppedUp(entry)) => entry,
            other => panic!("an entry is expected, not {other:?}"),
        }
    }

    #[test]
    fn top_ups_add_up_in_a_chained_ledger() {
        let mut scene = Scene::new();
        let first = entry(&mut scene, 1_000);
        scene.now = noon_plus(5);
        let second = entry(&mut scene, 234);
        assert_eq!((first.sequence, first.amount, first.balance_after), (1, won(1_000), won(1_000)));
        assert_eq!((second.sequence, second.amount, second.balance_after), (2, won(234), won(1_234)));
        assert_eq!((second.kind, second.order_id, second.at), (EntryKind::TopUp, None, noon_plus(5)));
        assert_eq!(first.hash, first.hash_after(&[0; 32]));
        assert_eq!(second.hash, second.hash_after(&first.hash));

        let account = scene.stored_account(&user("kim"));
        assert_eq!((account.balance, account.entries, account.hash), (won(1_234), 2, second.hash));
        assert_eq!(account.updated_at, Some(noon_plus(5)));
        assert_eq!(scene.tables.written.point_entries, [first, second]);
    }

    #[test]
    fn rejects_a_top_up_above_the_limit_of_one_top_up() {
        let mut scene = Scene::new();
        let rejection = PointRejection::TopUpLimitExceeded { top_up_max: won(1_000_000) };
        assert_eq!(scene.rejection(top_up(1_000_001)), rejection.into());
        assert_eq!(entry(&mut scene, 1_000_000).balance_after, won(1_000_000));
    }

    #[test]
    fn rejects_a_top_up_that_lifts_the_balance_above_its_limit() {
        let mut scene = Scene::new();
        scene.rules.balance_max = won(1_500);
        entry(&mut scene, 1_000);
        let rejection = PointRejection::BalanceLimitExceeded { balance: won(1_000), balance_max: won(1_500) };
        assert_eq!(scene.rejection(top_up(501)), rejection.into());
        assert_eq!(entry(&mut scene, 500).balance_after, won(1_500));
    }

    #[test]
    fn checks_the_top_up_before_the_balance() {
        let mut scene = Scene::new();
        scene.rules = ShopRules { top_up_max: won(10), balance_max: won(5), ..rules() };
        let rejection = PointRejection::TopUpLimitExceeded { top_up_max: won(10) };
        assert_eq!(scene.rejection(top_up(11)), rejection.into());
        assert!(matches!(scene.rejection(top_up(10)), Rejection::Point(PointRejection::BalanceLimitExceeded { .. })));
    }

    #[test]
    fn rejects_a_balance_that_money_cannot_express() {
        let mut scene = Scene::new();
        let limit = Money::MAX;
        scene.rules = ShopRules { top_up_max: limit, balance_max: limit, ..rules() };
        entry(&mut scene, 1);
        let amount = limit.try_into().expect("positive");
        let all = TopUpPoints { user_id: user("kim"), amount };
        let rejection = PointRejection::BalanceLimitExceeded { balance: won(1), balance_max: limit };
        assert_eq!(scene.rejection(all), rejection.into());
    }
}
