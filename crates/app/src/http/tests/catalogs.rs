//! Rows as exports of other shops have them, with made-up contents.

use actix_web::http::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};

use super::client::{Client, admin, get, post};

/// `한글 조명` in the form NFD, as files of macOS have it.
const DECOMPOSED: &str = "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af} \u{110c}\u{1169}\u{1106}\u{1167}\u{11bc}";

#[rstest]
#[case::shopify(
    json!({
        "name": "Linen Shirt - Oat ", "description": "<p>Airy &amp; light.</p>\r\n<ul>\r\n\t<li>Linen</li>\r\n</ul>\r\n",
        "category": "Shirts & Tops", "options": {"Size": "M ", "Color": "Oat / Écru"}, "price": "38000.00",
        "item_group_id": "linen-shirt",
    }),
    json!({
        "name": "Linen Shirt - Oat", "description": "<p>Airy &amp; light.</p>\n<ul>\n\t<li>Linen</li>\n</ul>",
        "category": "Shirts & Tops", "options": {"Size": "M", "Color": "Oat / Écru"}, "price": "38000",
        "item_group_id": "linen-shirt",
    }),
)]
#[case::woocommerce(
    json!({
        "name": "\tMug &#8211; \u{201c}Hello\u{201d}", "description": "\r\n\r\nHolds 300&nbsp;ml.\r\n\r\nNot for the oven.",
        "category": "Kitchen > Mugs", "price": "20.000",
    }),
    json!({
        "name": "Mug &#8211; \u{201c}Hello\u{201d}", "description": "Holds 300&nbsp;ml.\n\nNot for the oven.",
        "category": "Kitchen > Mugs", "options": {}, "price": "20",
    }),
)]
#[case::magento(
    json!({
        "name": "Duffle Bag\u{a0}", "description": "", "category": "Default Category/Gear/Bags",
        "options": {"material": "Canvas|Cotton|Mesh|Polyester".repeat(8)}, "price": "34000.000000",
    }),
    json!({
        "name": "Duffle Bag", "description": "", "category": "Default Category/Gear/Bags",
        "options": {"material": "Canvas|Cotton|Mesh|Polyester".repeat(8)}, "price": "34000",
    }),
)]
#[case::saleor(
    json!({
        "name": "Apple Juice 1l", "description": "{\"blocks\": [{\"type\": \"paragraph\", \"data\": {\"text\": \"Cafe\u{301}\"}}]}",
        "category": "Juices", "options": {"Bottle Size": "1l"}, "price": 5,
    }),
    json!({
        "name": "Apple Juice 1l", "description": "{\"blocks\": [{\"type\": \"paragraph\", \"data\": {\"text\": \"Café\"}}]}",
        "category": "Juices", "options": {"Bottle Size": "1l"}, "price": "5",
    }),
)]
#[case::korean(
    json!({
        "name": format!("\u{3000}[무료배송] {DECOMPOSED} (1+1)\u{3000}"), "description": "☆사용법☆\r\n① 켠다\r\n② 끈다",
        "category": "가전/디지털 > 조명", "options": {"색상": "화이트(무광)_♥추천♥"}, "price": "1000.0",
    }),
    json!({
        "name": "[무료배송] 한글 조명 (1+1)", "description": "☆사용법☆\n① 켠다\n② 끈다",
        "category": "가전/디지털 > 조명", "options": {"색상": "화이트(무광)_♥추천♥"}, "price": "1000",
    }),
)]
#[actix_web::test]
async fn accepts_a_row_of_another_shop(#[case] row: Value, #[case] shown: Value) {
    let made = Client::new().await.call(admin(post("/v1/admin/products", row))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
    for (name, value) in shown.as_object().expect("fields") {
        assert_eq!(made.json()[name], *value, "{name}");
    }
}

#[actix_web::test]
async fn finds_a_word_in_either_unicode_form() {
    let client = Client::new().await;
    let composed = "한글 조명";
    for name in [composed, DECOMPOSED] {
        let details = json!({"name": name, "category": name, "options": {name: name}, "price": "1"});
        client.product(details, 1).await;
    }
    for word in [composed, DECOMPOSED] {
        let word = percent_encoding::utf8_percent_encode(word, percent_encoding::NON_ALPHANUMERIC).to_string();
        for query in [format!("q=%20{word}%20"), format!("category={word}"), format!("option={word}:{word}")] {
            let found = client.call(get(&format!("/v1/products?{query}"))).await.json();
            assert_eq!(found["data"].as_array().map(Vec::len), Some(2), "{query}: {found}");
        }
    }
}
