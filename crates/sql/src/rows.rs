//! Table rows and their mappings to domain types, shared by both dialects.
//!
//! A row separates its key from its other columns: an insert writes both, an update finds by the key and writes the
//! rest.

use std::error::Error as StdError;
use std::sync::Arc;

use jangteo_domain::StoreError;

pub(crate) mod audit;
pub(crate) mod coupon;
pub(crate) mod idempotency;
pub(crate) mod order;
pub(crate) mod outbox;
pub(crate) mod payment;
pub(crate) mod point;
pub(crate) mod product;
pub(crate) mod product_search;
pub(crate) mod sales;
pub(crate) mod statistics;
pub(crate) mod stock;
pub(crate) mod token;
pub(crate) mod verification;

/// A stored value that the domain rejects.
pub(crate) fn corrupt(error: impl StdError + Send + Sync + 'static) -> StoreError {
    StoreError::Corrupt(Arc::new(error))
}

/// Defines rows: `Row of table { key columns } { other columns }`.
macro_rules! rows {
    ($(
        $(#[$meta:meta])*
        $name:ident of $table:ident
        { $($key:ident: $key_type:ty,)* }
        { $($value:ident: $value_type:ty,)* }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, diesel::Queryable, diesel::Selectable)]
        #[diesel(table_name = $crate::schema::$table)]
        pub(crate) struct $name {
            $(pub $key: $key_type,)*
            $(pub $value: $value_type,)*
        }

        impl $crate::bulk::Record for $name {
            fn put(&self, out: &mut impl $crate::types::SqlValues) {
                $($crate::types::SqlValue::put(&self.$key, out);)*
                $($crate::types::SqlValue::put(&self.$value, out);)*
            }
        }

        impl $crate::bulk::Row for $name {
            type SqlType = (
                $(diesel::dsl::SqlTypeOf<$crate::schema::$table::$key>,)*
                $(diesel::dsl::SqlTypeOf<$crate::schema::$table::$value>,)*
            );
            const TABLE: &'static str = stringify!($table);
            const KEYS: &'static [$crate::bulk::Column] = $crate::bulk::columns!($($key: $key_type,)*);
            const VALUES: &'static [$crate::bulk::Column] = $crate::bulk::columns!($($value: $value_type,)*);
        }
    )*};
}
pub(crate) use rows;

/// Defines lookups: `Lookup finds Row by "index" { columns }`.
macro_rules! lookups {
    ($(
        $(#[$meta:meta])*
        $name:ident finds $row:ident by $index:literal { $($key:ident: $key_type:ty,)* }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub(crate) struct $name {
            $(pub $key: $key_type,)*
        }

        impl $crate::bulk::Record for $name {
            fn put(&self, out: &mut impl $crate::types::SqlValues) {
                $($crate::types::SqlValue::put(&self.$key, out);)*
            }
        }

        impl $crate::bulk::Lookup for $name {
            type Row = $row;
            const COLUMNS: &'static [$crate::bulk::Column] = $crate::bulk::columns!($($key: $key_type,)*);
            const INDEX: &'static str = $index;
        }
    )*};
}
pub(crate) use lookups;

/// Maps a domain type to a row and back, field by field: `Type as Row { field: column, }`.
macro_rules! mappings {
    ($($type:ident as $row:ident { $($field:ident: $column:ident,)* })*) => {$(
        impl From<&$type> for $row {
            fn from(value: &$type) -> Self {
                Self { $($column: $crate::types::Wrapper::wrap(&value.$field),)* }
            }
        }

        impl From<$row> for $type {
            fn from(row: $row) -> Self {
                Self { $($field: $crate::types::Wrapper::into_inner(row.$column),)* }
            }
        }
    )*};
}
pub(crate) use mappings;
