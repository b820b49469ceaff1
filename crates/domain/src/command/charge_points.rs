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
