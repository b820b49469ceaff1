use crate::id::ProductId;
use crate::stock::{MovementKind, Stock, StockMovement};
use crate::store_error::StoreError;
use crate::verification::finding::Finding;
use crate::verification::run::Verification;
use crate::verification::text::Text;
use crate::verification::walk::{Movements, Products, Stocks, Walk};

/// Compares each stock with its movements and its product.
pub(super) async fn verify(audit: &mut Verification<'_>) -> Result<(), StoreError> {
    let mut stocks = Walk::<Stocks>::default();
    let mut products = Walk::<Products>::default();
    let mut movements = Walk::<Movements>::default();
    while let Some(stock) = stocks.next(audit).await? {
        let product_id = stock.product_id;
        strays(audit, &mut products, &mut movements, Some(product_id)).await?;
        let product = products.next_if(audit, |id| *id == product_id).await?;
        audit.expect(product.is_some(), || finding(product_id, "there is no such product"));

        let mut last: Option<StockMovement> = None;
        while let Some(movement) = movements.next_if(audit, |movement| movement.product_id == product_id).await? {
            compare_movement(audit, last.as_ref(), &movement);
            last = Some(movement);
        }
        compare_stock(audit, last.as_ref(), &stock);
    }
    strays(audit, &mut products, &mut movements, None).await
}

/// Reports products and movements without a stock, before the next stock.
async fn strays(
    audit: &mut Verification<'_>,
    products: &mut Walk<Products>,
    movements: &mut Walk<Movements>,
    next_stock: Option<ProductId>,
) -> Result<(), StoreError> {
    let is_stray = |product_id: ProductId| next_stock.is_none_or(|next| product_id < next);
    while let Some(product_id) = products.next_if(audit, |id| is_stray(*id)).await? {
        audit.find(finding(product_id, "the product has no stock"));
    }
    while let Some(movement) = movements.next_if(audit, |movement| is_stray(movement.product_id)).await? {
        audit.find(finding(movement.product_id, format!("movement {} has no stock", movement.sequence)));
    }
    Ok(())
}

fn compare_movement(audit: &mut Verification<'_>, last: Option<&StockMovement>, movement: &StockMovement) {
    let wrong =
        |description: String| finding(movement.product_id, format!("movement {}: {description}", movement.sequence));
    let last_sequence = last.map_or(0, |last| last.sequence);
    audit.expect(movement.sequence == last_sequence.saturating_add(1), || {
        wrong(format!("follows movement {last_sequence}"))
    });
    let right_sign = match movement.kind {
        MovementKind::Reservation => movement.quantity < 0,
        MovementKind::Expiry | MovementKind::Cancellation | MovementKind::Refund => movement.quantity > 0,
        MovementKind::Adjustment => true,
    };
    audit.expect(right_sign, || {
        wrong(format!("the {} of {} has the wrong sign", movement.kind.text(), movement.quantity))
    });
    let belongs_to_order = movement.kind != MovementKind::Adjustment;
    audit.expect(movement.order_id.is_some() == belongs_to_order, || {
        wrong(format!("the order of the {} is {}", movement.kind.text(), movement.order_id.text()))
    });
    let before = last.map_or(0, |last| last.available_after);
    let after = movement.available_after;
    audit.expect(before.checked_add_signed(movement.quantity) == Some(after), || {
        wrong(format!("{before} items before and {after} after it, but its quantity is {}", movement.quantity))
    });
}

fn compare_stock(audit: &mut Verification<'_>, last: Option<&StockMovement>, stock: &Stock) {
    let (available, movements) = last.map_or((0, 0), |last| (last.available_after, last.sequence));
    audit.expect(stock.available == available, || {
        finding(
            stock.product_id,
            format!("{} items are available, but the movements end with {available}", stock.available),
        )
    });
    audit.expect(stock.movements == movements, || {
        finding(stock.product_id, format!("counts {} movements, but the last movement is {movements}", stock.movements))
    });
}

fn finding(product_id: ProductId, description: impl Into<String>) -> Finding {
    Finding::Stock { product_id, description: description.into() }
}
