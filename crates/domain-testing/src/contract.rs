//! The store contract: one test function per promise.
//!
//! An adapter implements [`TransactionHarness`] in its tests.
//! `jangteo_domain_testing::transaction_contract!(MyHarness::start());` then generates one test per promise of the
//! write port, in the adapter's crate and on its tokio. These tests use the write port alone. A store with all ports
//! also implements [`StoreHarness`] and adds `jangteo_domain_testing::store_contract!(MyHarness::start());`.
//!
//! The argument is a future. Each test awaits its own, which must return a harness of an **empty**, unshared store.
//!
//! A new promise of a port is a new function here and a new line in
//! [`transaction_contract!`](crate::transaction_contract) or [`store_contract!`](crate::store_contract).

mod answers;
mod audit;
mod batches;
mod books;
mod campaigns;
mod catalog;
mod commits;
mod conflicts;
mod correction;
mod delivery;
mod harness;
mod large;
mod lockable;
mod locks;
mod money_trail;
mod office;
mod orders;
mod points;
mod reads;
mod retention;
mod revocations;
mod samples;
mod skus;
mod stored;
mod visibility;

pub use answers::*;
pub use audit::*;
pub use batches::*;
pub use books::{Participants, assert_books_agree};
pub use campaigns::*;
pub use catalog::*;
pub use commits::*;
pub use conflicts::*;
pub use correction::*;
pub use delivery::*;
pub use harness::{Concurrency, StoreHarness, TestResult, TransactionHarness};
pub use large::*;
pub use locks::*;
pub use money_trail::*;
pub use office::*;
pub use orders::*;
pub use points::*;
pub use reads::*;
pub use retention::*;
pub use revocations::*;
pub use skus::*;
pub use stored::*;
pub use visibility::*;

/// Generates a test for each promise of the write port. The argument is a future of a
/// [`TransactionHarness`](crate::contract::TransactionHarness) with an empty store.
#[macro_export]
macro_rules! transaction_contract {
    ($harness:expr) => {
        $crate::contract_tests! { $harness =>
            each_named_key_has_an_entry,
            every_field_of_orders_is_stored,
            every_field_of_campaigns_is_stored,
            every_field_of_coupons_is_stored,
            every_field_of_products_is_stored,
            every_field_of_stocks_is_stored,
            every_field_of_accounts_is_stored,
            every_field_of_audit_chains_is_stored,
            every_field_of_deliveries_is_stored,
            every_byte_of_answers_is_stored,
            user_ids_are_case_sensitive,
            past_recipients_are_found_by_campaign_and_user,
            candidates_are_unused_coupons_and_locked,
            products_have_at_least_the_requested_depth,
            skus_are_found_with_product_and_stock,
            a_product_found_by_sku_is_locked,

            a_dropped_unit_of_work_stores_nothing,
            a_committed_unit_of_work_is_visible_to_the_next,
            append_only_changes_are_stored,
            updates_of_one_batch_change_their_own_rows,
            a_row_whose_key_exists_is_a_conflict,
            of_two_insertions_of_one_account_the_second_is_a_conflict,
            a_sku_that_another_product_has_is_a_conflict,
            skus_are_exchanged_in_one_unit_of_work,
            of_two_insertions_of_one_sku_the_second_is_a_conflict,
            a_row_that_is_not_locked_cannot_be_updated,
            a_row_that_is_not_stored_cannot_be_updated,

            a_lock_blocks_the_second_locker_until_commit,
            a_lock_blocks_the_second_locker_until_drop,
            a_locker_sees_the_latest_commit,
            the_time_is_not_before_the_last_lock,
            the_time_does_not_go_backwards,
            lockers_in_one_order_never_deadlock,
            a_deadlock_is_a_conflict,
            a_lock_wait_that_takes_too_long_is_a_conflict,
            a_second_begin_waits_or_is_a_conflict,

            a_marker_shows_whether_a_unit_of_work_was_committed,
            a_marker_query_waits_for_an_open_commit,
            a_connection_broken_before_the_commit_stores_nothing,
            a_marker_agrees_with_a_commit_whose_connection_broke,

            thousands_of_accounts_fit_one_unit_of_work,
            thousands_of_products_fit_one_unit_of_work,
            thousands_of_coupons_fit_one_unit_of_work,
            thousands_of_orders_fit_one_unit_of_work,
            thousands_of_answers_fit_one_unit_of_work,
        }
    };
}

/// Generates a test for each promise of the read ports, the event queue, pruning and the books. The argument is a
/// future of a [`StoreHarness`](crate::contract::StoreHarness) with an empty store.
#[macro_export]
macro_rules! store_contract {
    ($harness:expr) => {
        $crate::contract_tests! { $harness =>
            queries_see_committed_rows_only,
            units_of_work_and_queries_have_one_clock,
            thousands_of_rows_are_read,
            thousands_of_payments_and_events_are_stored,

            every_field_of_accounts_is_returned,
            every_field_of_entries_is_returned,
            ledger_walks_miss_and_repeat_nothing,

            every_field_of_products_is_returned,
            every_field_of_movements_is_returned,
            movement_walks_miss_and_repeat_nothing,
            products_are_found_in_every_status,
            products_are_found_by_sku,
            available_items_of_many_products_are_returned,
            product_lists_have_the_products_on_sale,
            product_lists_filter_by_category_and_options,
            product_lists_filter_by_text_literally,
            product_lists_filter_by_price_and_stock,
            product_lists_sort_every_way,
            product_walks_miss_and_repeat_nothing,

            every_field_of_campaigns_is_returned,
            every_field_of_coupons_is_returned,
            unused_coupons_are_neither_used_nor_revoked,
            coupon_status_follows_from_the_databases_time,
            coupon_walks_miss_and_repeat_nothing,
            campaign_walks_miss_and_repeat_nothing,
            walks_of_a_campaigns_coupons_miss_and_repeat_nothing,

            every_field_of_orders_is_returned,
            order_lists_are_filtered_by_user_and_status,
            order_lists_are_filtered_by_time,
            order_walks_miss_and_repeat_nothing,
            due_orders_are_unpaid_and_longest_overdue_first,
            walks_of_a_products_orders_miss_and_repeat_nothing,
            the_trail_of_an_order_has_its_rows_only,

            every_field_of_payments_is_stored,
            every_field_of_refunds_is_stored,
            every_field_of_events_is_stored,
            a_duplicate_payment_refund_or_event_stores_nothing,
            sales_add_up_exactly,
            popular_products_are_ranked_with_ties,

            every_field_of_claimed_events_is_returned,
            events_are_claimed_in_order_of_time_up_to_the_limit,
            only_the_earliest_pending_event_of_an_order_is_claimed,
            a_claim_hides_an_event_until_its_lease_ends,
            an_outcome_is_recorded_only_under_its_lease,
            a_failed_event_is_due_after_its_retry_delay,
            delivered_and_dead_events_are_never_claimed_again,
            an_event_that_commits_late_is_claimed,
            a_redelivered_event_is_claimed_again,
            concurrent_claims_return_different_events,
            the_backlog_counts_pending_and_dead_events,
            every_field_of_deliveries_is_returned,
            delivery_walks_miss_and_repeat_nothing,

            the_statistics_equal_a_recount,
            counted_rows_are_in_order_of_id,
            one_counter_counts_at_a_time,
            the_overview_counts_open_rows,
            one_verification_runs_at_a_time,
            of_concurrent_beginnings_one_runs,

            a_repeated_request_has_one_effect_and_one_answer,
            a_request_for_an_absent_row_is_decided_again,
            a_key_of_another_request_is_reported,
            concurrent_copies_of_a_request_have_one_effect,

            answered_requests_are_pruned_by_age,
            commit_markers_are_pruned_by_the_time_of_their_insertion,
            only_delivered_events_are_pruned,

            every_field_of_audit_entries_is_returned,
            audit_walks_miss_and_repeat_nothing,
            the_audit_log_has_an_entry_for_each_audited_change,
            every_field_of_revocations_is_returned,
            only_revocations_past_their_end_are_pruned,
            revoked_tokens_are_listed,

            a_paid_and_cancelled_order_leaves_rows_that_agree,
            an_expired_order_leaves_rows_that_agree,
            the_books_are_a_snapshot_despite_later_commits,
            the_lists_of_the_books_miss_and_repeat_nothing,
            a_correction_adds_to_the_rows_of_its_time,
            of_two_corrections_only_one_succeeds,

            a_rejected_command_affects_no_other,
            batches_of_every_command_leave_rows_that_agree,
            concurrent_buyers_get_exactly_the_stock,
            concurrent_puts_of_one_sku_create_one_product,
            concurrent_users_get_exactly_the_coupons,
        }
    };
}

/// Generates a test for each promise.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_tests {
    ($harness:expr => $($promise:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $promise() -> $crate::contract::TestResult {
            let harness = $harness.await;
            $crate::contract::$promise(&harness).await
        }
    )*};
}
