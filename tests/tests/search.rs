//! The search index across versions: products of a server without it are indexed, and it can be rebuilt.

use jangteo_testkit::{Shop, eventually, scenarios};

scenarios![indexes_products_of_an_older_server, rebuilds_the_search_index];

const INDEXED: &str = "product_search_texts JOIN product_search_grams \
                       ON product_search_grams.product_id = product_search_texts.product_id WHERE search_text < ' '";

async fn indexes_products_of_an_older_server(shop: Shop) {
    let server = shop.start().await;
    for name in ["green tea", "black tea"] {
        server.product(name).create().await;
    }
    server.kill().await;
    let mut connection = shop.database().connect().await;
    assert_eq!(connection.number("COUNT(*)", INDEXED).await, 2);
    // As 0.2.0 writes them.
    connection.execute("DELETE FROM product_search_grams").await;
    connection.execute("UPDATE product_search_texts SET search_text = SUBSTR(search_text, 2)").await;

    let server = shop.start().await;
    let found = server.anonymous().get("/v1/products?q=k%20t").await.json(200);
    assert_eq!(found["data"][0]["name"], "black tea");
    let indexed = async || (connection.number("COUNT(*)", INDEXED).await == 2).then_some(());
    eventually("both products are indexed", indexed).await;
    connection.close().await;
}

async fn rebuilds_the_search_index(shop: Shop) {
    let server = shop.start().await;
    for name in ["green tea", "black tea"] {
        server.product(name).create().await;
    }
    let mut connection = shop.database().connect().await;
    connection.execute("DELETE FROM product_search_grams").await;
    let rebuilt = shop.server().run(["rebuild", "search-index"]).await;
    assert_eq!((rebuilt.code, rebuilt.stdout.as_str()), (Some(0), "2 products indexed\n"), "{rebuilt:?}");
    assert_eq!(connection.number("COUNT(*)", INDEXED).await, 2);
    connection.close().await;
}
