use crate::audit::{AuditEntry, AuditFilter, Subject};
use crate::batch::Request;
use crate::command::{AdjustStock, Command, CreateProduct, TopUpPoints};
use crate::id::ProductId;
use crate::store_error::StoreError;
use crate::testing::TestShop;
use crate::testing::contract::harness::{Seeds, StoreHarness, first_page, walk, wide, write};
use crate::testing::fixtures::{positive, product_details, text, user};
use crate::testing::samples;
use crate::time::Timestamp;

fn everything() -> AuditFilter {
    AuditFilter::default()
}

/// Lines are read back as they were, about every kind of subject and with every reply, the newest first.
pub async fn audit_entries_keep_every_field(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let seeds = Seeds::new(harness);
    let subjects = [
        Subject::User(user("Lee|a:b.c_d@e-f")),
        Subject::Product(seeds.id()),
        Subject::Campaign(seeds.id()),
        Subject::Coupon(seeds.id()),
        Subject::Order(seeds.id()),
        Subject::Event(seeds.id()),
    ];
    let replies = samples::replies(&seeds.ids);
    let entry = |(subject, reply)| AuditEntry {
        id: seeds.id(),
        at: Timestamp::MAX,
        actor: user("kim"),
        action: "a".repeat(64),
        reason: matches!(subject, Subject::User(_)).then(|| text(&wide(200))),
        subject,
        reply,
    };
    let mut entries: Vec<_> = subjects.into_iter().cycle().zip(replies).map(entry).collect();
    write(harness, async |unit| unit.audit().append_many(&entries).await).await?;
    entries.reverse();
    assert_eq!(harness.queries().audit.list(&everything(), &first_page(1_000)).await?, entries);
    Ok(())
}

/// A walk gives each line once; filters tell actors apart by case, and one subject from another.
pub async fn audit_walks_miss_and_repeat_nothing(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let shop = TestShop::new(harness.factory());
    let top_up = |actor: &str, owner: &str| Request {
        audited_as: Some(user(actor)),
        ..Request::new(Command::TopUpPoints(TopUpPoints { user_id: user(owner), amount: positive(1) }))
    };
    let requests = [top_up("root", "kim"), top_up("Root", "kim"), top_up("root", "lee"), top_up("root", "kim")];
    shop.executor.execute(&requests).await.into_iter().collect::<Result<Vec<_>, _>>()?;

    let audit = harness.queries().audit;
    for (actor, subject, expected) in [
        (None, None, vec![3, 2, 1, 0]),
        (Some("root"), None, vec![3, 2, 0]),
        (Some("nobody"), None, vec![]),
        (None, Some("kim"), vec![3, 1, 0]),
        (Some("root"), Some("kim"), vec![3, 0]),
    ] {
        let filter = AuditFilter { actor: actor.map(user), subject: subject.map(str::to_owned) };
        let walked = walk(2, |entry: &AuditEntry| entry.id, async |page| audit.list(&filter, &page).await).await?;
        let told: Vec<_> = walked.iter().map(|entry| (Some(&entry.actor), entry.subject.to_string())).collect();
        let expected: Vec<_> = expected.into_iter().map(|index: usize| &requests[index]).collect();
        let expected: Vec<_> =
            expected.iter().map(|asked| (asked.audited_as.as_ref(), asked.command.subject().to_string())).collect();
        assert_eq!(told, expected, "{filter:?}");
    }
    Ok(())
}

/// What is changed and the line that tells of it are kept together; what is rejected leaves none, and so does what was
/// done before.
pub async fn only_what_was_changed_is_in_the_audit_log(harness: &dyn StoreHarness) -> Result<(), StoreError> {
    let shop = TestShop::new(harness.factory());
    let product_id = ProductId::from(shop.ids.next_id());
    let asked = |command| Request { audited_as: Some(user("root")), ..Request::new(command) };
    let create = Command::CreateProduct(CreateProduct { product_id, details: product_details("lamp", 1_000) });
    let adjust = |quantity, reason| Command::AdjustStock(AdjustStock { product_id, quantity, reason: text(reason) });
    let [shrink, fill] = [adjust(-1, "lost"), adjust(5, "delivery")];
    let answers = shop.executor.execute(&[asked(create), asked(shrink), asked(fill.clone()), Request::new(fill)]).await;
    assert_eq!(answers.len(), 4);

    let entries = harness.queries().audit.list(&everything(), &first_page(10)).await?;
    let told: Vec<_> = entries.iter().map(|entry| (entry.action.as_str(), entry.reason.clone())).collect();
    assert_eq!(told, [("adjust_stock", Some(text("delivery"))), ("create_product", None)]);
    assert!(entries.iter().all(|entry| entry.subject == Subject::Product(product_id)));
    let movements = harness.queries().stocks.movements(product_id, &first_page(10)).await?;
    assert_eq!(movements.len(), 2, "{movements:?}");
    Ok(())
}
