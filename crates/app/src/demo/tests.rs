use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;

use jangteo_domain_testing::{MemoryStore, TestShop};

use rstest::rstest;
use secrecy::ExposeSecret;

use super::*;
use crate::settings::TokenParties;

fn settings_in(directory: &Path) -> Settings {
    let url = format!("sqlite:{}", directory.join("shop.db").display());
    Settings::from_sources(None, HashMap::from([("DATABASE_URL".to_owned(), url)])).expect("settings")
}

#[test]
fn the_key_is_created_once_and_readable_by_its_owner_only() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = settings_in(directory.path());
    assert!(key(&settings).expect("no file is no error").is_none());
    let secret = |tokens: TokenSettings| match tokens.key {
        TokenKey::Secret(secret) => secret.expose_secret().to_owned(),
        _ => panic!("another kind of key"),
    };
    let created = secret(token_settings(&settings).expect("a new key"));
    assert_eq!(secret(token_settings(&settings).expect("the same key")), created);
    assert_eq!(key(&settings).expect("a key").map(|key| key.expose_secret().to_owned()), Some(created));
    let mode = fs::metadata(directory.path().join(KEY_FILE)).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[rstest]
#[case(7, 0o100_600, None)]
#[case(7, 0o100_400, None)]
#[case(7, 0o100_640, Some("chmod 600 .key"))]
#[case(7, 0o100_602, Some("chmod 600 .key"))]
#[case(8, 0o100_600, Some("another user"))]
fn a_key_that_others_can_access_is_rejected(#[case] owner: u32, #[case] mode: u32, #[case] advice: Option<&str>) {
    let error = check_access(Path::new(".key"), owner, 7, mode).err().map(|error| error.to_string());
    assert_eq!(error.is_some(), advice.is_some(), "{error:?}");
    assert!(advice.is_none_or(|advice| error.is_some_and(|error| error.contains(advice))));
}

#[tokio::test]
async fn the_demo_shop_is_created_once() {
    let store = MemoryStore::new();
    let shop = TestShop::new(store.factory());
    let created = seed(&shop.executor, &store.queries()).await.expect("the demo");
    assert!(created > 0);
    assert_eq!(seed(&shop.executor, &store.queries()).await.expect("nothing new"), 0);
    let first = store.queries().products.find(FIRST_PRODUCT.into()).await.expect("a read");
    assert!(first.is_some_and(|listing| listing.available > 0));
    assert!(store.queries().coupons.campaign(catalog::FIRST_CAMPAIGN.into()).await.expect("a read").is_some());
}

#[test]
fn the_sample_calls_are_shell_commands() {
    let parties = TokenParties { issuer: "i".to_owned(), audience: "a".to_owned() };
    let address = "127.0.0.1:8080".parse().expect("an address");
    let sign_in = DemoSignIn::new("k".repeat(32).into(), parties, TOKEN_TTL);
    let text = welcome(address, &sign_in, Some(address)).expect("a welcome");
    let is_shell = |line: &str| {
        line.is_empty()
            || ["#", "curl ", "SHOP=", "ADMIN=", "KIM=", "JSON="].iter().any(|start| line.starts_with(start))
    };
    assert!(text.lines().all(is_shell), "{text}");
}
