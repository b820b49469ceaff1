//! What every store promises, as tests: one function a promise.
//!
//! An adapter implements [`StoreHarness`] in its tests and writes
//! `jangteo_domain::contract_suite!(MyHarness::start());`, which makes one test of each promise, in the adapter's own
//! crate and on its own tokio. The expression is awaited anew by each test and must give a harness of an **empty**
//! store that no other test uses.
//!
//! A new promise of a port is a new function here and a new line in [`contract_suite!`](crate::contract_suite).

mod accounts;
mod answers;
mod audit;
mod batches;
mod books;
mod campaigns;
mod catalogue;
mod commits;
mod correction;
mod delivery;
mod harness;
mod large;
mod locks;
mod money_trail;
mod orders;
mod reads;
mod retention;

pub use accounts::*;
pub use answers::*;
pub use audit::*;
pub use batches::*;
pub use books::{Participants, assert_books_agree};
pub use campaigns::*;
pub use catalogue::*;
pub use commits::*;
pub use correction::*;
pub use delivery::*;
pub use harness::{Concurrency, StoreHarness, StoredEvent};
pub use large::*;
pub use locks::*;
pub use money_trail::*;
pub use orders::*;
pub use reads::*;
pub use retention::*;

/// Makes a test of each promise of the [contract](crate::testing::contract). The argument is an expression whose
/// awaiting gives a [`StoreHarness`](crate::testing::contract::StoreHarness) of an empty store.
#[macro_export]
macro_rules! contract_suite {
    ($harness:expr) => {
        $crate::contract_suite! { @tests $harness =>
            accounts_keep_every_field,
            accounts_are_told_apart_by_case,
            ensuring_accounts_keeps_those_that_exist,
            ledger_entries_keep_every_field,
            a_second_entry_of_one_sequence_number_is_a_conflict,
            a_negative_balance_is_an_error_and_keeps_nothing,
            ledger_walks_miss_and_repeat_nothing,

            products_keep_every_field,
            changed_products_keep_every_field,
            stocks_keep_every_field,
            stock_movements_keep_every_field,
            a_second_movement_of_one_sequence_number_is_a_conflict,
            movement_walks_miss_and_repeat_nothing,
            a_second_product_of_one_id_is_a_conflict,

            campaigns_keep_every_field,
            coupons_keep_every_field,
            holders_are_those_who_have_had_a_coupon,
            unused_coupons_are_those_that_nobody_used_or_revoked,
            a_second_coupon_of_one_campaign_and_user_is_a_conflict,
            issuing_more_coupons_than_there_are_is_an_error_and_keeps_nothing,
            coupon_status_follows_from_the_databases_time,
            coupon_walks_miss_and_repeat_nothing,
            campaign_walks_miss_and_repeat_nothing,

            orders_keep_every_field,
            saving_orders_keeps_every_field_and_no_line,
            saving_lines_keeps_shares_and_refunded_pieces,
            order_lists_are_one_users_and_by_status,
            order_lists_are_of_the_time_that_is_asked_for,
            order_walks_miss_and_repeat_nothing,
            due_orders_are_unpaid_and_longest_overdue_first,

            payments_keep_every_field,
            refunds_keep_every_field,
            a_second_payment_of_an_order_is_a_conflict,
            events_are_stored_once_and_in_order_of_each_order,
            sales_add_up_exactly,
            popular_products_are_ranked_with_ties,

            claimed_events_keep_every_field,
            events_are_claimed_in_order_of_time_and_no_more_than_asked_for,
            only_the_earliest_pending_event_of_an_order_is_claimed,
            a_claim_hides_an_event_until_its_lease_ends,
            an_outcome_counts_only_from_who_holds_the_lease,
            an_event_that_failed_is_due_after_its_pause,
            an_event_that_has_its_outcome_is_never_claimed_again,
            an_event_that_commits_late_is_claimed,
            claimers_at_once_get_different_events,
            the_backlog_tells_what_waits_and_since_when,
            deliveries_keep_every_field,
            delivery_walks_miss_and_repeat_nothing,

            records_keep_every_outcome,
            a_second_record_of_one_key_is_a_conflict,
            a_repeated_request_is_answered_the_same_and_has_no_second_effect,
            a_key_used_again_for_another_request_is_told,
            a_request_sent_by_many_at_once_has_one_effect,

            answered_requests_are_pruned_by_age,
            commit_markers_are_pruned_by_age,
            delivered_events_are_pruned_and_no_others,

            audit_entries_keep_every_field,
            audit_walks_miss_and_repeat_nothing,
            only_what_was_changed_is_in_the_audit_log,

            locking_answers_existing_rows_in_order,
            a_lock_blocks_the_second_locker_of_a_row_until_commit,
            a_lock_blocks_the_second_locker_of_a_row_until_drop,
            a_locker_sees_what_the_one_before_committed,
            a_locker_of_an_order_sees_the_lines_that_the_one_before_committed,
            the_time_is_not_before_the_last_lock,
            what_is_not_there_cannot_be_saved,
            lockers_in_one_order_never_deadlock,
            a_deadlock_is_a_conflict,
            a_lock_wait_that_takes_too_long_is_a_conflict,
            a_second_begin_waits_or_is_a_conflict,

            a_dropped_unit_of_work_keeps_nothing,
            a_committed_unit_of_work_is_seen_by_all_queries,
            queries_do_not_see_what_is_not_committed,
            a_marker_tells_whether_a_unit_of_work_was_committed,
            asking_for_a_marker_waits_for_a_commit_under_way,
            the_clock_does_not_go_backwards,
            a_connection_broken_before_commit_keeps_nothing,
            a_marker_tells_the_truth_of_a_broken_commit,

            thousands_of_accounts_fit_one_unit_of_work,
            thousands_of_products_fit_one_unit_of_work,
            thousands_of_coupons_fit_one_unit_of_work,
            thousands_of_orders_fit_one_unit_of_work,
            thousands_of_records_fit_one_unit_of_work,

            product_lists_hold_what_is_on_sale,
            product_lists_filter_by_category_and_options,
            product_lists_filter_by_text_literally,
            product_lists_filter_by_price_and_stock,
            product_lists_sort_every_way,
            product_walks_miss_and_repeat_nothing,
            products_are_found_in_whatever_state,
            what_is_available_is_told_of_many_products,

            a_paid_and_cancelled_order_leaves_rows_that_agree,
            an_expired_order_leaves_rows_that_agree,
            the_books_are_one_state_whatever_is_written_meanwhile,
            the_lists_of_the_books_miss_and_repeat_nothing,
            a_correction_adds_to_what_the_rows_hold_by_then,
            of_two_corrections_only_one_succeeds,

            a_rejected_command_costs_only_itself,
            a_batch_of_every_command_leaves_rows_that_agree,
            buyers_at_once_get_exactly_what_there_is,
            takers_at_once_get_exactly_the_coupons_that_there_are,
        }
    };
    (@tests $harness:expr => $($promise:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $promise() -> Result<(), $crate::StoreError> {
            let harness = $harness.await;
            $crate::testing::contract::$promise(&harness).await
        }
    )*};
}
