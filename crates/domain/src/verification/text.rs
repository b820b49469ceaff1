//! Values in the text of a finding: decimal amounts, RFC 3339 times, and the names of statuses and kinds.

use time::format_description::well_known::Rfc3339;

use crate::id::{OrderId, ProductId};
use crate::money::Money;
use crate::order::OrderStatus;
use crate::point::EntryKind;
use crate::stock::MovementKind;
use crate::time::Timestamp;

pub(super) trait Text {
    fn text(&self) -> String;
}

macro_rules! text {
    ($($type:ty: $value:pat => $text:expr;)*) => {$(
        impl Text for $type {
            fn text(&self) -> String {
                let $value = self;
                $text.to_string()
            }
        }
    )*};
}

text! {
    Money: money => money.to_decimal().normalize();
    Timestamp: at => at.to_offset_date_time().format(&Rfc3339).expect("a year of four digits");
    OrderId: id => id;
    OrderStatus: status => match status {
        OrderStatus::PendingPayment => "pending_payment",
        OrderStatus::Paid => "paid",
        OrderStatus::PartiallyRefunded => "partially_refunded",
        OrderStatus::Refunded => "refunded",
        OrderStatus::Expired => "expired",
        OrderStatus::Cancelled => "cancelled",
    };
    EntryKind: kind => match kind {
        EntryKind::TopUp => "top_up",
        EntryKind::Payment => "payment",
        EntryKind::Refund => "refund",
        EntryKind::Adjustment => "adjustment",
    };
    MovementKind: kind => match kind {
        MovementKind::Reservation => "reservation",
        MovementKind::Expiry => "expiry",
        MovementKind::Cancellation => "cancellation",
        MovementKind::Refund => "refund",
        MovementKind::Adjustment => "adjustment",
    };
    // Ledger entries, stock movements and events.
    (Timestamp, EntryKind, Money): (at, kind, amount) => {
        format!("{} of {} at {}", kind.text(), amount.text(), at.text())
    };
    (ProductId, i64): (product_id, quantity) => format!("{quantity} of product {product_id}");
    (u32, &str): (sequence, event_type) => format!("{sequence} {event_type}");
}

impl<T: Text> Text for Option<T> {
    fn text(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), Text::text)
    }
}

impl<T: Text> Text for Vec<T> {
    fn text(&self) -> String {
        let texts: Vec<String> = self.iter().map(Text::text).collect();
        if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
    }
}
