//! The books themselves: a check that finds nothing wrong must be one that would.

use jangteo_tests::{Backend, Connection, Server, Shop, findings, scenarios};
use serde_json::json;

scenarios![agrees_after_everything_happened, finds_every_way_to_cook_the_books];

/// A shop in which everything happened once: orders of every ending, a coupon used and one given back.
async fn busy_shop(server: &Server) {
    let tea = server.product("tea").price(1_000).stock(20).create().await;
    let mug = server.product("mug").price(333).stock(20).create().await;
    let campaign = server.campaign("tenth").percent(10).create().await;
    for user in ["kim", "lee"] {
        server.charge(user, 50_000).await;
        let coupon = server.take_coupon(user, &campaign).await;
        let order = server.order_lines(user, json!([tea.line(2), mug.line(3)])).await;
        server.user(user).post(order.payment(), json!({ "coupon_id": coupon })).await.expect(201);
        if user == "lee" {
            server.user(user).post(order.cancellation(), json!({})).await.expect(200);
        }
        let cancelled = server.order(user, &tea, 1).await;
        server.user(user).post(cancelled.cancellation(), json!({})).await.expect(200);
        server.order(user, &mug, 1).await;
    }
}

async fn agrees_after_everything_happened(shop: Shop) {
    let server = shop.start().await;
    busy_shop(&server).await;
    let mut connection = shop.database().connect().await;
    assert_eq!(findings(&mut connection).await, [""; 0]);
    for (table, rows) in [
        ("point_entries", 5),
        ("orders", 6),
        ("payments", 2),
        ("refunds", 1),
        ("refund_lines", 2),
        ("coupons", 2),
        ("outbox_events", 3),
    ] {
        assert_eq!(connection.number("COUNT(*)", table).await, rows, "{table}");
    }
    connection.close().await;
}

async fn finds_every_way_to_cook_the_books(shop: Shop) {
    let server = shop.start().await;
    busy_shop(&server).await;
    server.kill().await;
    let mut connection = shop.database().connect().await;
    // The tables have constraints of their own, which only a bug in the schema would let through.
    connection
        .execute(match shop.backend() {
            Backend::Sqlite => "PRAGMA ignore_check_constraints = ON",
            Backend::Mysql => "SET SESSION check_constraint_checks = 0",
        })
        .await;
    let forgeries = [
        "UPDATE point_accounts SET balance = balance + 1 WHERE user_id = 'kim'",
        "UPDATE point_accounts SET open_orders = open_orders + 1 WHERE user_id = 'kim'",
        "UPDATE point_entries SET amount = amount + 1 WHERE user_id = 'kim' AND sequence = 1",
        "UPDATE point_entries SET balance_after = balance_after + 1 WHERE user_id = 'kim' AND sequence = 1",
        "UPDATE point_entries SET sequence = 7 WHERE user_id = 'kim' AND sequence = 2",
        "DELETE FROM point_entries WHERE user_id = 'kim' AND sequence = 2",
        "UPDATE stocks SET available = available + 1",
        "UPDATE stock_movements SET quantity = quantity + 1 WHERE sequence = 1",
        "DELETE FROM stock_movements WHERE order_id IS NOT NULL AND sequence = 2",
        "UPDATE orders SET total = total + 1 WHERE user_id = 'kim'",
        "UPDATE order_lines SET quantity = quantity + 1",
        "UPDATE order_lines SET unit_price = unit_price + 1",
        "UPDATE order_lines SET discount_share = discount_share + 1",
        "UPDATE order_lines SET refunded_quantity = 1 WHERE refunded_quantity = 0",
        "UPDATE payments SET amount = amount + 1",
        "UPDATE payments SET discount = discount + 1",
        "DELETE FROM payments WHERE user_id = 'kim'",
        "UPDATE refunds SET amount = amount + 1",
        "DELETE FROM refund_lines",
        "DELETE FROM refunds",
        "UPDATE coupon_campaigns SET issued = issued + 1",
        "DELETE FROM coupons WHERE user_id = 'kim'",
        "UPDATE coupons SET order_id = NULL WHERE user_id = 'kim'",
        "DELETE FROM outbox_events WHERE sequence = 1",
        "DELETE FROM outbox_events WHERE sequence = 2",
        "UPDATE daily_sales SET quantity = quantity + 1",
        "UPDATE daily_sales SET revenue = revenue + 1",
        "DELETE FROM daily_sales",
        "DELETE FROM orders",
        "DELETE FROM order_lines",
    ];
    for forgery in forgeries {
        assert!(is_found(&mut connection, forgery).await, "the books agree after: {forgery}");
    }
    assert_eq!(findings(&mut connection).await, [""; 0], "each was taken back");
    connection.close().await;
}

async fn is_found(connection: &mut Connection, forgery: &str) -> bool {
    connection.execute("BEGIN").await;
    connection.execute(forgery).await;
    let found = findings(connection).await;
    connection.execute("ROLLBACK").await;
    !found.is_empty()
}
