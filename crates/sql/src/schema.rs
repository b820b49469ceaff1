//! The tables of both dialects. The migrations under `migrations/` define the same tables in each dialect's DDL.

macro_rules! tables {
    ($($table:ident ($($key:ident),+) { $($columns:tt)* })*) => {$(
        diesel::table! {
            use diesel::sql_types::*;
            use crate::types::{MoneySql, TimeSql};
            $table ($($key),+) { $($columns)* }
        }
    )*};
}

tables! {
    point_accounts (user_id) {
        user_id -> Text,
        balance -> MoneySql,
        entries -> BigInt,
        hash -> Binary,
        open_orders -> BigInt,
        reserved_quantity -> BigInt,
        ordered_on -> Nullable<Date>,
        unpaid_orders -> BigInt,
        updated_at -> Nullable<TimeSql>,
    }

    point_entries (id) {
        id -> Binary,
        user_id -> Text,
        sequence -> BigInt,
        kind -> Text,
        amount -> MoneySql,
        balance_after -> MoneySql,
        order_id -> Nullable<Binary>,
        created_at -> TimeSql,
        hash -> Binary,
    }

    products (id) {
        id -> Binary,
        sku -> Nullable<Text>,
        name -> Text,
        description -> Text,
        category -> Text,
        options -> Text,
        item_group_id -> Nullable<Text>,
        price -> MoneySql,
        status -> Text,
        version -> BigInt,
        created_at -> TimeSql,
        updated_at -> TimeSql,
    }

    product_options (product_id, name) {
        product_id -> Binary,
        name -> Text,
        value -> Text,
    }

    product_search_texts (product_id) {
        product_id -> Binary,
        search_text -> Text,
    }

    product_search_grams (product_id) {
        product_id -> Binary,
        grams -> Text,
    }

    stocks (product_id) {
        product_id -> Binary,
        available -> BigInt,
        movements -> BigInt,
    }

    stock_movements (id) {
        id -> Binary,
        product_id -> Binary,
        sequence -> BigInt,
        quantity -> BigInt,
        available_after -> BigInt,
        kind -> Text,
        order_id -> Nullable<Binary>,
        reason -> Nullable<Text>,
        created_at -> TimeSql,
    }

    coupon_campaigns (id) {
        id -> Binary,
        name -> Text,
        discount_kind -> Text,
        discount_amount -> Nullable<MoneySql>,
        discount_percent -> Nullable<BigInt>,
        discount_cap -> Nullable<MoneySql>,
        min_order_amount -> Nullable<MoneySql>,
        quantity -> BigInt,
        issued -> BigInt,
        issue_opens_at -> TimeSql,
        issue_closes_at -> TimeSql,
        valid_until -> Nullable<TimeSql>,
        valid_days -> Nullable<BigInt>,
        created_at -> TimeSql,
        updated_at -> TimeSql,
    }

    coupons (id) {
        id -> Binary,
        campaign_id -> Binary,
        user_id -> Text,
        name -> Text,
        discount_kind -> Text,
        discount_amount -> Nullable<MoneySql>,
        discount_percent -> Nullable<BigInt>,
        discount_cap -> Nullable<MoneySql>,
        min_order_amount -> Nullable<MoneySql>,
        state -> Text,
        order_id -> Nullable<Binary>,
        used_at -> Nullable<TimeSql>,
        valid_until -> TimeSql,
        issued_at -> TimeSql,
    }

    orders (id) {
        id -> Binary,
        user_id -> Text,
        status -> Text,
        total -> MoneySql,
        created_at -> TimeSql,
        expires_at -> TimeSql,
        payment_id -> Nullable<Binary>,
        discount -> Nullable<MoneySql>,
        paid_amount -> Nullable<MoneySql>,
        coupon_id -> Nullable<Binary>,
        paid_at -> Nullable<TimeSql>,
        sales_day -> Nullable<Date>,
        refunded -> MoneySql,
        refunds -> BigInt,
    }

    order_lines (order_id, product_id) {
        order_id -> Binary,
        product_id -> Binary,
        position -> BigInt,
        name -> Text,
        quantity -> BigInt,
        unit_price -> MoneySql,
        discount_share -> MoneySql,
        refunded_quantity -> BigInt,
    }

    payments (id) {
        id -> Binary,
        order_id -> Binary,
        user_id -> Text,
        total -> MoneySql,
        discount -> MoneySql,
        amount -> MoneySql,
        coupon_id -> Nullable<Binary>,
        balance_after -> MoneySql,
        paid_at -> TimeSql,
        sales_day -> Date,
    }

    refunds (id) {
        id -> Binary,
        order_id -> Binary,
        sequence -> BigInt,
        amount -> MoneySql,
        restocked -> BigInt,
        reason -> Text,
        created_at -> TimeSql,
    }

    refund_lines (refund_id, product_id) {
        refund_id -> Binary,
        product_id -> Binary,
        quantity -> BigInt,
        amount -> MoneySql,
    }

    daily_sales (day, product_id) {
        day -> Date,
        product_id -> Binary,
        quantity -> BigInt,
        revenue -> MoneySql,
    }

    outbox_events (id) {
        id -> Binary,
        order_id -> Binary,
        sequence -> BigInt,
        event_type -> Text,
        body -> Text,
        created_at -> TimeSql,
        state -> Text,
        due_at -> TimeSql,
        attempts -> BigInt,
        lease -> Nullable<Binary>,
        last_error -> Nullable<Text>,
        delivered_at -> Nullable<TimeSql>,
    }

    audit_log (id) {
        id -> Binary,
        created_at -> TimeSql,
        actor -> Text,
        action -> Text,
        subject_kind -> Text,
        subject_id -> Text,
        reason -> Nullable<Text>,
        body -> Text,
        sequence -> Nullable<BigInt>,
        request_id -> Nullable<Text>,
        address -> Nullable<Text>,
        hash -> Nullable<Binary>,
    }

    token_revocations (id) {
        id -> Binary,
        token_id -> Nullable<Text>,
        user_id -> Nullable<Text>,
        issued_before -> Nullable<TimeSql>,
        expires_at -> TimeSql,
        created_at -> TimeSql,
    }

    audit_chains (actor) {
        actor -> Text,
        entries -> BigInt,
        hash -> Binary,
    }

    idempotency_keys (created_at, request_key) {
        created_at -> TimeSql,
        request_key -> Binary,
        fingerprint -> Binary,
        head -> Text,
        body -> Text,
    }

    commit_markers (id) {
        id -> Binary,
        is_tombstone -> BigInt,
        created_at -> TimeSql,
    }

    cursor_keys (sequence) {
        sequence -> BigInt,
        secret -> Binary,
        created_at -> TimeSql,
    }

    quarter_hours (starts_at) {
        starts_at -> TimeSql,
        orders -> BigInt,
        revenue -> MoneySql,
        refunded_orders -> BigInt,
        refunded -> MoneySql,
    }

    quarter_hour_count (id) {
        id -> BigInt,
        holder -> Nullable<Binary>,
        leased_until -> TimeSql,
        final_to -> TimeSql,
        complete_to -> TimeSql,
    }

    verifications (id) {
        id -> Binary,
        status -> Text,
        running -> Nullable<BigInt>,
        request_key -> Nullable<Binary>,
        server -> Text,
        started_at -> TimeSql,
        heartbeat_at -> TimeSql,
        finished_at -> Nullable<TimeSql>,
        step -> BigInt,
        violations -> BigInt,
        findings -> Text,
        error -> Nullable<Text>,
    }

    book_corrections (sequence) {
        sequence -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(products, stocks);
diesel::allow_tables_to_appear_in_same_query!(orders, order_lines);
diesel::allow_tables_to_appear_in_same_query!(refunds, refund_lines);
