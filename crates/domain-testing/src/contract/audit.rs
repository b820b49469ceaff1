use std::sync::Arc;

use jangteo_domain::audit::{AuditEntry, AuditFilter, AuditLink, Subject};
use jangteo_domain::batch::{Answer, Recording, Request};
use jangteo_domain::command::{AdjustStock, Command, CreateProduct, TopUpPoints};
use jangteo_domain::testing::PlainAnswers;
use jangteo_domain::testing::fixtures::{positive, product_details, text, user};
use jangteo_domain::time::Timestamp;

use crate::TestShop;
use crate::contract::commits::audit_entry;
use crate::contract::harness::{Seeds, StoreHarness, TestResult, append, commit, first_page, walk, wide};
use crate::contract::samples::SEQUENCE_MAX;

/// An audited request.
fn audited(actor: &str, command: impl Into<Command>) -> Request {
    let recording =
        Recording { idempotency: None, audited_as: Some(user(actor).into()), renderer: Arc::new(PlainAnswers) };
    Request { recording: Some(recording), ..Request::new(command) }
}

/// Entries are returned as stored, the newest first: every kind of subject, the longest reason and body.
pub async fn every_field_of_audit_entries_is_returned(harness: &dyn StoreHarness) -> TestResult {
    let seeds = Seeds::new(harness);
    let subjects = [
        Subject::User(user("Lee|a:b.c_d@e-f")),
        Subject::Product(seeds.id()),
        Subject::Campaign(seeds.id()),
        Subject::Coupon(seeds.id()),
        Subject::Order(seeds.id()),
        Subject::Event(seeds.id()),
        Subject::Table("daily_sales"),
        Subject::Token(text(&wide(255))),
    ];
    let mut entries = subjects.map(|subject| AuditEntry {
        subject_kind: subject.kind().to_owned(),
        subject_id: subject.to_string(),
        action: "a".repeat(64),
        ..audit_entry(&seeds)
    });
    entries[0].reason = Some(text(&wide(200)));
    entries[0].at = Timestamp::MIN;
    entries[0].request_id = Some("r".repeat(64));
    entries[0].address = Some("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".to_owned());
    entries[0].link = Some(AuditLink { sequence: SEQUENCE_MAX, hash: [0xff; 32] });
    entries[1].body = wide(1 << 20);
    entries[2].body = "{\"name\":\"램프 'lamp' \\\"🎈\\\"\"}".to_owned();
    entries[3].body = String::new();
    entries[4].at = Timestamp::MAX;
    commit(harness, append(entries.clone())).await?;
    let listed = harness.queries().audit.list(&AuditFilter::default(), &first_page(1_000)).await?;
    assert!(listed.iter().rev().eq(&entries), "{} entries, equal to the stored ones", listed.len());
    Ok(())
}

/// A walk returns each entry once. Filters match the subject and the exact actor, case included.
pub async fn audit_walks_miss_and_repeat_nothing(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::new(harness.factory());
    let top_up =
        |(actor, owner): (&str, &str)| audited(actor, TopUpPoints { user_id: user(owner), amount: positive(1) });
    let changes = [("root", "kim"), ("Root", "kim"), ("root", "lee"), ("root", "kim")];
    shop.executor.execute(&changes.map(top_up)).await.into_iter().collect::<Result<Vec<_>, _>>()?;

    let audit = harness.queries().audit;
    for (actor, subject, expected) in [
        (None, None, vec![3, 2, 1, 0]),
        (Some("root"), None, vec![3, 2, 0]),
        (Some("stranger"), None, vec![]),
        (None, Some("kim"), vec![3, 1, 0]),
        (Some("root"), Some("kim"), vec![3, 0]),
    ] {
        let filter = AuditFilter { actor: actor.map(user), subject_id: subject.map(str::to_owned) };
        let walked = walk(2, |entry: &AuditEntry| entry.id, async |page| audit.list(&filter, &page).await).await?;
        let listed: Vec<_> = walked.iter().map(|entry| (entry.actor.as_str(), entry.subject_id.as_str())).collect();
        let expected: Vec<_> = expected.into_iter().map(|index: usize| changes[index]).collect();
        assert_eq!(listed, expected, "{filter:?}");
    }
    Ok(())
}

/// A change and its entry are committed together, with the rendered answer as the body. Rejected and unaudited commands
/// have no entry.
pub async fn the_audit_log_has_an_entry_for_each_audited_change(harness: &dyn StoreHarness) -> TestResult {
    let shop = TestShop::new(harness.factory());
    let create = CreateProduct { details: product_details("lamp", 1_000) };
    let created = shop.executor.execute(&[audited("root", create)]).await;
    let [Ok(Answer::Decided { outcome: Ok(reply), rendered: Some(rendered) })] = &created[..] else {
        panic!("a created product: {created:?}");
    };
    let subject = reply.subject();
    let Subject::Product(product_id) = subject else { panic!("not a product: {subject:?}") };
    let adjust = |quantity, reason| AdjustStock { product_id, quantity, reason: text(reason) };
    let [shrink, fill] = [adjust(-1, "lost"), adjust(5, "delivery")];
    let requests = [audited("root", shrink), audited("root", fill.clone()), Request::new(fill)];
    let mut bodies = vec![rendered.body.clone()];
    for answer in shop.executor.execute(&requests).await {
        match answer? {
            Answer::Decided { rendered, .. } => bodies.extend(rendered.map(|answer| answer.body)),
            other @ (Answer::Replayed(_) | Answer::KeyReused) => panic!("without a key the answer is {other:?}"),
        }
    }

    let entries = harness.queries().audit.list(&AuditFilter::default(), &first_page(10)).await?;
    let lines: Vec<_> = entries.iter().map(|entry| (entry.action.as_str(), entry.reason.clone())).collect();
    assert_eq!(lines, [("adjust_stock", Some(text("delivery"))), ("create_product", None)]);
    assert!(entries.iter().rev().map(|entry| &entry.body).eq(&bodies), "{entries:?}");
    assert!(entries.iter().all(|e| (e.subject_kind.as_str(), &e.subject_id) == (subject.kind(), &subject.to_string())));
    assert!(entries.iter().all(|entry| entry.actor == user("root")));
    let links: Vec<_> = entries.iter().rev().filter_map(|entry| entry.link).collect();
    assert_eq!(links.iter().map(|link| link.sequence).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(links[1].hash, entries[0].hash_after(&links[0].hash, 2));
    let movements = harness.queries().stocks.movements(product_id, &first_page(10)).await?;
    assert_eq!(movements.len(), 2, "{movements:?}");
    Ok(())
}
