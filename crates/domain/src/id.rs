//! Identifiers. All but the user's are UUIDv7 (RFC 9562), made by the server, so that rows land at the end of
//! their table and no statement has to return one.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

use crate::time::Timestamp;

/// Where new ids come from: the system in production, a counter in tests.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait IdSource: Send + Sync {
    /// An id that was never given out before.
    fn next_id(&self) -> Uuid;
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
        pub struct $name(Uuid);

        impl $name {
            /// A new one.
            pub fn next(ids: &dyn IdSource) -> Self {
                Self(ids.next_id())
            }

            /// The UUID.
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::try_parse(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// A product.
    ProductId;
    /// A coupon campaign.
    CampaignId;
    /// One user's coupon.
    CouponId;
    /// An order.
    OrderId;
    /// A payment.
    PaymentId;
    /// A refund.
    RefundId;
    /// A ledger entry of a point account.
    EntryId;
    /// A stock movement.
    MovementId;
    /// An event for the data platform.
    EventId;
    /// A line of the audit log.
    AuditEntryId;
    /// One transaction of the write path; its row tells whether an interrupted commit took effect.
    BatchId;
}

/// No id that was made at this time or later is below it.
pub fn first_id_at(time: Timestamp) -> Uuid {
    let milliseconds = u128::try_from(time.unix_microseconds() / 1_000).unwrap_or_default();
    Uuid::from_u128(milliseconds << 80)
}

/// The identity provider's subject: 1–64 characters of `[A-Za-z0-9_.:|@-]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "String", into = "String")
)]
pub struct UserId(String);

impl UserId {
    /// The most characters, all of them ASCII.
    pub const LENGTH_MAX: usize = 64;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Not 1–64 characters of `[A-Za-z0-9_.:|@-]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a user id is 1 to 64 characters of A-Z a-z 0-9 _ . : | @ -")]
pub struct InvalidUserId;

impl TryFrom<String> for UserId {
    type Error = InvalidUserId;

    fn try_from(text: String) -> Result<Self, InvalidUserId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:|@-".contains(&byte);
        let valid = (1..=Self::LENGTH_MAX).contains(&text.len()) && text.bytes().all(allowed);
        if valid { Ok(Self(text)) } else { Err(InvalidUserId) }
    }
}

impl FromStr for UserId {
    type Err = InvalidUserId;

    fn from_str(text: &str) -> Result<Self, InvalidUserId> {
        text.to_owned().try_into()
    }
}

impl From<UserId> for String {
    fn from(id: UserId) -> Self {
        id.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SequentialIds;

    #[test]
    fn a_user_id_is_1_to_64_characters_of_a_small_set() {
        let longest = "a".repeat(64);
        for valid in ["a", "Z", "0", "auth0|5f7c", "kim@example.com", "a_b.c:d-e", &longest] {
            assert_eq!(valid.parse::<UserId>().map(String::from), Ok(valid.to_owned()));
        }
        let too_long = "a".repeat(65);
        for invalid in ["", " ", "a b", "a/b", "김", "a\n", "a+b", &too_long] {
            assert_eq!(invalid.parse::<UserId>(), Err(InvalidUserId), "{invalid:?}");
        }
    }

    #[test]
    fn ids_are_written_and_read_as_uuids() {
        let id = OrderId::next(&SequentialIds::new());
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(OrderId::from(id.uuid()), id);
        assert_eq!(id.uuid().get_version_num(), 7);
        assert!("order".parse::<OrderId>().is_err());
        assert_eq!(format!("{id:?}"), format!("OrderId({id})"));
    }

    #[test]
    fn each_id_is_after_the_one_before() {
        let ids = SequentialIds::new();
        let made: Vec<_> = (0..1_000).map(|_| ids.next_id()).collect();
        assert!(made.is_sorted_by(|a, b| a < b));
        assert_eq!(made[0], SequentialIds::id(1));
    }
}
