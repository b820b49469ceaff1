//! Products by SKU, and the import of files.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use futures_util::future::{join, join_all};
use jangteo_testkit::{Server, Shop, scenarios};
use reqwest::Method;
use serde_json::{Value, json};

scenarios![
    concurrent_puts_of_one_sku_create_one_product,
    of_two_editors_of_one_version_one_is_told,
    imports_each_file_once,
    an_interrupted_import_is_continued,
    an_import_changes_no_stock_of_customers,
    an_export_is_imported_without_a_change,
];

fn golden(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/import").join(name).display().to_string()
}

/// The number of products in all states.
async fn products(server: &Server) -> usize {
    let list = server.admin().get("/v1/admin/products?limit=100").await.json(200);
    assert_eq!(list["next_cursor"], Value::Null);
    list["data"].as_array().expect("a list").len()
}

fn put(server: &Server, sku: &str, body: &Value) -> jangteo_testkit::Call {
    server.admin().call(Method::PUT, format!("/v1/admin/products/by-sku/{sku}")).json(body)
}

async fn concurrent_puts_of_one_sku_create_one_product(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let body = |n: usize| json!({"name": format!("Lamp {n}"), "category": "home", "price": "100", "stock": 7});
    let calls = (0..20).map(|n| put(if n % 2 == 0 { &one } else { &other }, "LAMP", &body(n)));
    let responses = join_all(calls.map(IntoFuture::into_future)).await;
    let created = responses.iter().filter(|response| response.status == 201).count();
    assert_eq!((created, responses.iter().filter(|response| response.status == 200).count()), (1, 19));
    let last = put(&one, "LAMP", &json!({"name": "Lamp", "category": "home", "price": "100"})).await.json(200);
    assert_eq!(
        (&last["version"], &last["available"]),
        (&json!(21), &json!(7)),
        "each call is a state, the stock is set once"
    );
    assert_eq!(products(&other).await, 1);
}

async fn of_two_editors_of_one_version_one_is_told(shop: Shop) {
    let (one, other) = (shop.start().await, shop.start().await);
    let tea = one.product("tea").create().await;
    let change = |server: &Server, name: &str| {
        server.admin().patch(tea.admin_path(), json!({ "name": name })).header("If-Match", "\"1\"")
    };
    let (first, second) =
        join(change(&one, "green tea").into_future(), change(&other, "black tea").into_future()).await;
    let (won, lost) = if first.status == 200 { (first, second) } else { (second, first) };
    lost.problem(412, "PRECONDITION_FAILED");
    assert_eq!(lost.document()["version"], 2);
    let won = won.json(200);
    assert_eq!(one.admin().get(tea.path()).await.json(200)["name"], won["name"]);
}

/// Each file of the golden ones; those with errors leave rows out.
async fn imports_each_file_once(shop: Shop) {
    let server = shop.start().await;
    for (file, created, left_out, category) in [
        ("plain.csv", 5, 6, "misc"),
        ("korean-cp949.csv", 3, 1, "misc"),
        ("shopify.csv", 6, 1, "misc"),
        ("woocommerce.csv", 3, 3, "misc"),
        ("magento.csv", 3, 1, "misc"),
    ] {
        let before = products(&server).await;
        let path = golden(file);
        let import = async |dry: bool| match dry {
            true => shop.server().run(["import", "products", &path, "--category", category, "--dry-run"]).await,
            false => shop.server().run(["import", "products", &path, "--category", category]).await,
        };
        let planned = import(true).await;
        assert_eq!(planned.code, Some(1), "{planned:?}");
        let expected = format!("{created} created, 0 changed, 0 unchanged, {left_out} left out (dry run)");
        assert!(planned.stdout.contains(&expected), "{file}: {planned:?}");
        assert_eq!(products(&server).await, before);

        let imported = import(false).await;
        let expected = format!("{created} created, 0 changed, 0 unchanged, {left_out} left out\n");
        assert!(imported.stdout.ends_with(&expected), "{file}: {imported:?}");
        let again = import(false).await;
        let expected = format!("0 created, 0 changed, {created} unchanged, {left_out} left out\n");
        assert!(again.stdout.ends_with(&expected), "{file}: {again:?}");
        assert_eq!(products(&server).await, before + created);
    }
    let refused = shop.server().run(["import", "products", &golden("semicolons.csv")]).await;
    assert!(refused.stdout.contains("line 2, price: a comma"), "{refused:?}");
    let log = server.admin().get("/v1/admin/audit-log?limit=100").await.json(200);
    let by_operator = |line: &&Value| line["actor"].as_str().is_some_and(|actor| actor.starts_with("cli:"));
    let lines: Vec<_> = log["data"].as_array().expect("lines").iter().filter(by_operator).collect();
    assert_eq!(lines.iter().filter(|line| line["action"] == "put_product").count(), 21, "{log}");

    let nothing = shop.server().run(["import", "products", "/nowhere.csv"]).await;
    assert_eq!(nothing.code, Some(1));
    let wrong = shop.server().run(["import", "products", &golden("plain.csv"), "--map", "Nothing=name"]).await;
    assert!(wrong.stderr.contains("no column \"Nothing\""), "{wrong:?}");
    let wrong = shop.server().run(["import", "products", &golden("plain.csv"), "--map", "Name=nothing"]).await;
    assert!(wrong.stderr.contains("the fields are sku"), "{wrong:?}");
}

fn file_of(rows: usize, price: u32) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(file, "sku,name,category,price,stock").expect("written");
    for row in 0..rows {
        writeln!(file, "SKU-{row},Lamp {row},home,{price},5").expect("written");
    }
    file
}

/// The process is killed at some row; the next run does the rest, and each product exists once.
async fn an_interrupted_import_is_continued(shop: Shop) {
    const ROWS: usize = 2_000;
    let server = shop.start().await;
    let file = file_of(ROWS, 100);
    let path = file.path().display().to_string();
    let mut command = jangteo_testkit::clean_command(jangteo_testkit::binary());
    command.args(["import", "products", &path]);
    for (name, value) in [("DATABASE_URL", shop.database().url().as_str()), ("DATABASE_TLS", "off")] {
        command.env(name, value);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut import = command.spawn().expect("a process");
    let is_begun = async || !server.admin().get("/v1/admin/products?limit=1").await.json(200)["data"][0].is_null();
    jangteo_testkit::eventually("the import begins", async || is_begun().await.then_some(())).await;
    import.start_kill().expect("a process to kill");
    import.wait().await.expect("an end");
    let continued = shop.server().run(["import", "products", &path]).await;
    assert_eq!(continued.code, Some(0), "{continued:?}");
    let counts = continued.stdout.lines().last().expect("a summary").to_owned();
    let number = |word: &str| -> usize {
        let (before, _) = counts.split_once(word).unwrap_or_else(|| panic!("{counts}"));
        before.rsplit(", ").next().and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("{counts}"))
    };
    assert_eq!(number(" created") + number(" unchanged"), ROWS, "{counts}");
    assert!(number(" created") < ROWS && number(" changed") == 0, "{counts}");
    let again = shop.server().run(["import", "products", &path]).await;
    assert!(again.stdout.contains(&format!("0 created, 0 changed, {ROWS} unchanged")), "{again:?}");
}

async fn an_import_changes_no_stock_of_customers(shop: Shop) {
    let server = shop.start().await;
    let (file, dearer) = (file_of(20, 100), file_of(20, 200));
    let import = async |file: &tempfile::NamedTempFile| {
        let imported = shop.server().run(["import", "products", &file.path().display().to_string()]).await;
        assert_eq!(imported.code, Some(0), "{imported:?}");
        imported.stdout
    };
    assert!(import(&file).await.contains("20 created"));
    let lamp = put(&server, "SKU-7", &json!({"name": "Lamp 7", "category": "home", "price": "100"})).await.json(200);
    let lamp = jangteo_testkit::Product { id: lamp["product_id"].as_str().expect("an id").to_owned() };
    let buyers = ["kim", "lee", "park"];
    let orders = join_all(buyers.map(|buyer| server.order(buyer, &lamp, 1)));
    let (orders, imported) = join(orders, import(&dearer)).await;
    assert_eq!(orders.len(), buyers.len());
    assert!(imported.contains("20 changed"), "{imported}");
    assert_eq!(server.admin().get(lamp.path()).await.json(200)["available"], 2);
}

async fn an_export_is_imported_without_a_change(shop: Shop) {
    let server = shop.start().await;
    server
        .product("tea")
        .with("description", "two\nlines, \"quoted\"")
        .with("options", json!({"size": "L"}))
        .stock(3)
        .create()
        .await;
    server.product("=1+1").with("sku", "-1").with("status", "hidden").create().await;
    let export = server.admin().get("/v1/admin/products/export").header("Accept", "text/csv").await.expect(200);
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&export.body).expect("written");
    let imported = shop.server().run(["import", "products", &file.path().display().to_string()]).await;
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert!(imported.stdout.ends_with("0 created, 0 changed, 2 unchanged, 0 left out\n"), "{imported:?}");
}
