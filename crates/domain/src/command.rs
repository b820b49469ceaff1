//! The commands. A command declares the rows to lock and decides as a pure function.
//!
//! Each command has its own file; `commands!` is the only list of them.

pub use crate::coupon::CouponChoice;
pub use crate::outcome::{Outcome, Reply};
pub use decide::{Actor, Context, Decide, Decision, OrderRefs, Side};

mod decide;
mod refund_terms;
#[cfg(test)]
pub(crate) mod scene;

/// Declares the module, the export and the variant of each command.
macro_rules! commands {
    ($($module:ident::$command:ident $(with $($more:ident),+)?;)*) => {
        $(
            #[expect(missing_docs, reason = "the fields are named after their rows")]
            mod $module;
        )*
        $(pub use $module::{$command $($(, $more)+)?};)*

        /// A command. The ids of new rows come from the [`Context`].
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[expect(missing_docs, reason = "each variant carries the command of its name")]
        pub enum Command {
            $($command($command),)*
        }

        impl Command {
            /// The name of its module, for logs, metrics and the audit log.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$command(_) => stringify!($module),)*
                }
            }

            /// The rule of the command.
            pub fn rule(&self) -> &dyn Decide {
                match self {
                    $(Self::$command(command) => command,)*
                }
            }
        }

        $(
            impl From<$command> for Command {
                fn from(command: $command) -> Self {
                    Self::$command(command)
                }
            }
        )*
    };
}

// The name of a module is stored in the audit log: its meaning must never change.
commands! {
    adjust_points::AdjustPoints;
    adjust_stock::AdjustStock;
    cancel_order::CancelOrder;
    change_campaign::ChangeCampaign;
    change_product::ChangeProduct with ProductChange;
    create_campaign::CreateCampaign;
    create_product::CreateProduct;
    expire_order::ExpireOrder;
    issue_coupon::IssueCoupon;
    pay_order::PayOrder;
    place_order::PlaceOrder;
    put_product::PutProduct;
    record_operation::RecordOperation with Operation;
    redeliver_event::RedeliverEvent;
    refund_order::RefundOrder;
    revoke_coupon::RevokeCoupon;
    revoke_tokens::RevokeTokens with TokensToRevoke;
    top_up_points::TopUpPoints;
}
