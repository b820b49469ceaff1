use crate::audit::{AuditReason, Subject};
use crate::command::decide::{Context, Decide, Decision, OrderRefs, Side};
use crate::id::UserId;
use crate::money::Money;
use crate::outcome::Reply;
use crate::point::AdjustmentReason;
use crate::rejection::Rejection;
use crate::transaction::{Appended, LockSet, States};
use crate::working_set::WorkingSet;

/// A correction of a balance by the back office.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdjustPoints {
    pub user_id: UserId,
    /// Positive to credit the account, negative to debit it.
    pub amount: Money,
    pub reason: AdjustmentReason,
}

impl Decide for AdjustPoints {
    fn reason(&self) -> Option<&AuditReason> {
        Some(&self.reason)
    }

    fn contention(&self) -> (Side, Option<Subject>) {
        (Side::Wallet, Some(Subject::User(self.user_id.clone())))
    }

    fn declare_locks(&self, _order: Option<&OrderRefs>, locks: &mut LockSet) {
        locks.accounts.insert(self.user_id.clone());
    }

    fn decide(&self, set: &WorkingSet, context: &Context<'_>) -> Result<Decision, Rejection> {
        let account = set.account(&self.user_id);
        let (account, entry) = account.adjust(self.amount, context.rules, context.new_id(), context.now)?;
        Ok(Decision {
            reply: Reply::PointsAdjusted { entry: entry.clone(), reason: self.reason.clone() },
            states: States { accounts: vec![account], ..States::default() },
            appended: Appended { point_entries: vec![entry], ..Appended::default() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::scene::Scene;
    use crate::point::{EntryKind, PointRejection};
    use crate::testing::fixtures::{text, user, won};
    use crate::testing::rules;

    fn adjust(amount: Money) -> AdjustPoints {
        AdjustPoints { user_id: user("kim"), amount, reason: text("a gift") }
    }

    #[test]
    fn each_credit_and_debit_appends_an_entry() {
        let mut scene = Scene::new();
        scene.user("kim", 100);
        for (amount, balance) in [(won(5), won(105)), (won(-105), Money::ZERO)] {
            let Ok(Reply::PointsAdjusted { entry, reason }) = scene.decide(adjust(amount)) else {
                panic!("an entry is expected");
            };
            assert_eq!((entry.kind, entry.amount, entry.balance_after), (EntryKind::Adjustment, amount, balance));
            assert_eq!(reason, text("a gift"));
            assert_eq!(scene.balance(&user("kim")), balance);
            assert_eq!(scene.tables.written.point_entries.last(), Some(&entry));
        }
    }

    #[test]
    fn rejects_a_debit_above_the_balance() {
        let mut scene = Scene::new();
        scene.user("kim", 100);
        let rejection = PointRejection::InsufficientPoints { balance: won(100), required: won(101) };
        assert_eq!(scene.rejection(adjust(won(-101))), rejection.into());
        let rejection = PointRejection::InsufficientPoints { balance: won(100), required: Money::MAX };
        assert_eq!(scene.rejection(adjust(Money::MAX.negated())), rejection.into());
    }

    #[test]
    fn rejects_a_credit_above_the_balance_limit() {
        let mut scene = Scene::new();
        scene.user("kim", 100);
        let balance_max = rules().balance_max;
        let rejection = PointRejection::BalanceLimitExceeded { balance: won(100), balance_max };
        assert_eq!(scene.rejection(adjust(balance_max)), rejection.clone().into());
        assert_eq!(scene.rejection(adjust(Money::MAX)), rejection.into());
    }

    /// A refund may raise a balance above the limit; a partial debit of the excess is accepted.
    #[test]
    fn debits_a_balance_above_the_limit() {
        let mut scene = Scene::new();
        scene.user("kim", 100);
        scene.rules.balance_max = won(50);
        assert!(scene.decide(adjust(won(-1))).is_ok());
        assert_eq!(scene.balance(&user("kim")), won(99));
    }
}
