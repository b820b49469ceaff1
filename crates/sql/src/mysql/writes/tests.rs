use jangteo_domain::UserId;
use proptest::prelude::*;

use super::super::server::PACKET_RESERVE;
use super::fuzzing::read_text;
use super::*;
use crate::rows::point::PointAccountRow;
use crate::rows::product::OptionsOf;
use crate::rows::product_search::ProductSearchTextRow;
use crate::rows::sales::DailySaleRow;
use crate::rows::stock::StockRow;
use crate::types::{Amount, Bytes, Day, Id, Integer, LongText, Varchar};

fn writes(server: Server, write: impl FnOnce(&mut Writes)) -> Writes {
    let mut writes = Writes::to(server);
    write(&mut writes);
    writes
}

fn written(write: impl FnOnce(&mut Writes)) -> String {
    writes(Server::taking(16 << 20, Framing::Several), write).text
}

fn searched(number: u32, text: &str) -> ProductSearchTextRow {
    ProductSearchTextRow { product_id: Id::numbered(number), search_text: LongText(text.to_owned()) }
}

fn quoted(text: &str) -> String {
    let mut literal = String::new();
    Literals::new(&mut literal).text(text);
    literal
}

#[test]
fn an_update_names_its_columns_once_and_fails_on_a_missing_row() {
    assert_eq!(
        written(|writes| writes.update([StockRow::numbered(1), StockRow::numbered(2)])),
        "UPDATE (SELECT x'00000000000000000000000000000001' AS product_id,1 AS available,1 AS movements \
         UNION ALL SELECT x'00000000000000000000000000000002',2,1) AS given \
         LEFT JOIN stocks FORCE INDEX (PRIMARY) ON stocks.product_id = given.product_id \
         SET stocks.available = given.available, stocks.movements = given.movements \
         WHERE stocks.product_id IS NOT NULL OR POW(10, 1000 + LENGTH(given.product_id));"
    );
}

#[test]
fn a_row_is_saved_as_a_whole() {
    assert_eq!(
        written(|writes| writes.save([StockRow::numbered(1), StockRow::numbered(2)])),
        "INSERT INTO stocks (product_id,available,movements) VALUES \
         (x'00000000000000000000000000000001',1,1),(x'00000000000000000000000000000002',2,1) \
         ON DUPLICATE KEY UPDATE available = VALUES(available), movements = VALUES(movements);"
    );
}

#[test]
fn an_update_of_many_rows_is_more_than_one_statement_and_each_names_its_columns() {
    let text = written(|writes| writes.update((0..=BRANCHES_MAX as u32).map(StockRow::numbered)));
    assert_eq!(text.matches("UPDATE (").count(), 2);
    assert_eq!(text.matches("AS available").count(), 2);
}

#[test]
fn sums_are_computed_by_the_server_from_exact_numbers() {
    let day = Date::from_calendar_date(2026, time::Month::March, 1).expect("a day");
    let revenue = Amount(Money::from_ten_thousandths(-15_000).expect("an amount"));
    let row = DailySaleRow { day: Day(day), product_id: Id::numbered(1), quantity: Integer(-2), revenue };
    assert_eq!(
        written(|writes| writes.accumulate([row])),
        "INSERT INTO daily_sales (day,product_id,quantity,revenue) VALUES \
         (DATE'2026-03-01',x'00000000000000000000000000000001',-2,-1.5000) ON DUPLICATE KEY UPDATE \
         quantity = daily_sales.quantity + VALUES(quantity), revenue = daily_sales.revenue + VALUES(revenue);"
    );
}

#[test]
fn amounts_and_times_are_written_to_their_last_digit() {
    let literal = |write: &dyn Fn(&mut Literals)| {
        let mut text = String::new();
        write(&mut Literals::new(&mut text));
        text
    };
    for ten_thousandths in [0, 1, -1, 9_999, -10_000, 123_456_789, -Money::MAX.ten_thousandths()] {
        let amount = Money::from_ten_thousandths(ten_thousandths).expect("an amount");
        assert_eq!(literal(&|out| out.money(amount)), amount.to_decimal().to_string());
    }
    for (microseconds, written) in [
        (0, "TIMESTAMP'1970-01-01 00:00:00.000000'"),
        (1_772_323_199_000_007, "TIMESTAMP'2026-02-28 23:59:59.000007'"),
        (253_402_300_799_999_999, "TIMESTAMP'9999-12-31 23:59:59.999999'"),
    ] {
        let at = Timestamp::try_from(microseconds).expect("a time");
        assert_eq!(literal(&|out| out.time(at)), written);
    }
    assert_eq!(literal(&|out| out.integer(i128::from(i64::MIN))), "-9223372036854775808");
}

#[test]
fn text_is_quoted() {
    let account = PointAccountRow {
        user_id: Varchar(UserId::try_from("kim".to_owned()).expect("a user's id")),
        balance: Amount(Money::ZERO),
        entries: Integer(0),
        hash: Bytes([0; 32]),
        open_orders: Integer(0),
        reserved_quantity: Integer(0),
        ordered_on: None,
        unpaid_orders: Integer(0),
        updated_at: None,
    };
    assert!(written(|writes| writes.insert([account])).contains("VALUES ('kim',"));
    assert_eq!(quoted("떡볶이 \"매운\"; -- 맛"), "'떡볶이 \"매운\"; -- 맛'");
    assert_eq!(quoted("it's"), "'it''s'");
    assert_eq!(quoted("\\'\0"), "'\\\\''\\0'");
}

proptest! {
    #[test]
    fn user_input_cannot_end_its_literal(text in r#"([\\'"\x00\n\x1a;%_가ﾃ😀a0-]|\PC){0,40}"#) {
        let row = format!("{},'after')", quoted(&text));
        prop_assert_eq!(read_text(&row), Some((text, ",'after')")));
    }

    /// No packet is above the server's limit, and each row is sent exactly once.
    #[test]
    fn packets_are_cut_between_rows(lengths in prop::collection::vec(0_usize..3_000, 1..40), packet in 2_000_usize..20_000) {
        for framing in [Framing::Several, Framing::Compound, Framing::OneByOne] {
            let server = Server::taking(packet.saturating_add(8_000), framing);
            let rows = lengths.iter().zip(1..).map(|(length, number)| searched(number, &"x".repeat(*length)));
            let mut writes = writes(server.clone(), |writes| writes.insert(rows));
            writes.push("COMMIT;");
            writes.end_statement();
            let packets = writes.packets();
            prop_assert!(packets.iter().all(|packet| packet.len() <= server.packet_bytes_max() + PACKET_RESERVE));
            let sent = packets.concat();
            let inserted = sent.matches("(x'").count();
            prop_assert_eq!(inserted, lengths.len());
            for (length, number) in lengths.iter().zip(1_u32..) {
                let row = format!("x'{:032x}','{}')", number, "x".repeat(*length));
                prop_assert_eq!(sent.matches(&row).count(), 1);
            }
            prop_assert!(packets.last().is_some_and(|last| last.contains("COMMIT;")));
            prop_assert_eq!(sent.matches("COMMIT").count(), 1);
        }
    }
}

#[test]
fn a_row_above_the_packet_limit_is_rejected_before_sending() {
    let server = Server::taking(10_000, Framing::Several);
    let writes = writes(server, |writes| writes.insert([searched(1, "a"), searched(2, &"x".repeat(10_000))]));
    let refused = writes.failed.expect("a failure");
    let words = std::error::Error::source(&refused).map(ToString::to_string).unwrap_or_default();
    assert!(words.starts_with("a row of product_search_texts takes "), "{words}");
}

#[test]
fn a_compound_statement_requires_its_transaction() {
    let server = Server::taking(16 << 20, Framing::Compound);
    let mut writes = writes(server, |writes| writes.insert([StockRow::numbered(1)]));
    writes.push("COMMIT;");
    writes.end_statement();
    let packets = writes.packets();
    let [packet] = &packets[..] else { panic!("{packets:?}") };
    assert!(
        packet.starts_with("BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END; ")
    );
    assert!(packet.contains("IF @@in_transaction = 0 THEN SIGNAL"));
    assert!(packet.ends_with("COMMIT;END"));
}

#[test]
fn rows_are_deleted_by_their_keys() {
    let keys = [OptionsOf { product_id: Id::numbered(1) }, OptionsOf { product_id: Id::numbered(2) }];
    assert_eq!(
        written(|writes| writes.delete(keys)),
        "DELETE FROM product_options WHERE (product_id) IN ((x'00000000000000000000000000000001'), \
         (x'00000000000000000000000000000002'));"
    );
}
