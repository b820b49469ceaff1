// The README's tour, as an example of a client: every name below is from the document, and any other name would not
// compile.

import assert from "node:assert/strict";
import { env } from "node:process";

import { connect, done, rejected, type Shop } from "./shop.js";
import { validated } from "./validation.js";

function needed(name: string): string {
  return env[name] ?? assert.fail(`${name} is not set`);
}

const baseUrl = needed("SHOP_URL");
const anonymous = connect(baseUrl);
const kim = connect(baseUrl, needed("KIM_TOKEN"));
const boss = connect(baseUrl, needed("BOSS_TOKEN"));

// The back office creates a product with stock and a campaign for the first customers.
const cup = done(
  await boss.POST("/v1/admin/products", {
    body: { name: "머그컵 / Mug", category: "kitchen", price: "12000", options: { color: "red" } },
  }),
);
const delivery = done(
  await boss.POST("/v1/admin/products/{product_id}/stock-movements", {
    params: { path: { product_id: cup.product_id } },
    body: { quantity: 10, reason: "delivery" },
  }),
);
assert.equal(delivery.available_after, 10);

const hour = 3_600_000;
const opening = {
  name: "Opening",
  quantity: 100,
  issue_opens_at: new Date(Date.now() - hour).toISOString(),
  issue_closes_at: new Date(Date.now() + hour).toISOString(),
  valid_days: 7,
};
const campaign = done(
  await boss.POST("/v1/admin/coupon-campaigns", {
    body: { ...opening, discount: { kind: "percent", percent: 10, cap: "3000" } },
  }),
);
assert.equal(campaign.remaining, 100);

// Browsing requires no token.
const products = done(
  await anonymous.GET("/v1/products", {
    params: { query: { in_stock: true, sort: "price", option: ["color:red"], limit: 2 } },
  }),
);
assert.deepEqual(products.data.map((product) => [product.product_id, product.status]), [[cup.product_id, "on_sale"]]);
assert.equal(products.next_cursor, null);
const campaigns = done(await anonymous.GET("/v1/coupon-campaigns", { params: { query: { limit: 1 } } }));
assert.equal(campaigns.data[0]?.campaign_id, campaign.campaign_id);

// Kim tops up points. A repeated request with the same key has one effect and the same response.
const topping_up = {
  params: { path: { user_id: "kim" }, header: { "Idempotency-Key": "tour-top-up" } },
  body: { amount: "100000" },
};
const first = await kim.POST("/v1/users/{user_id}/points/top-ups", topping_up);
const again = await kim.POST("/v1/users/{user_id}/points/top-ups", topping_up);
assert.equal(done(first).balance, "100000");
assert.deepEqual(done(again), done(first));
assert.equal(again.response.headers.get("Idempotent-Replayed"), "true");

// A coupon, an order that reserves stock, and a payment with the best coupon.
const coupon = done(
  await kim.POST("/v1/coupon-campaigns/{campaign_id}/coupons", {
    params: { path: { campaign_id: campaign.campaign_id } },
  }),
);
assert.equal(coupon.discount.kind === "percent" && coupon.discount.cap, "3000");

const lines = [{ product_id: cup.product_id, quantity: 3 }];
const quote = done(await kim.POST("/v1/orders/quote", { body: { lines, coupon_id: "best" } }));
const placed = done(await kim.POST("/v1/orders", { body: { lines, expected_total: quote.total } }));
assert.equal(placed.status, "pending_payment");
assert.equal(placed.paid_at, undefined);

const order = { params: { path: { order_id: placed.order_id } } };
const payment = done(await kim.POST("/v1/orders/{order_id}/payment", { ...order, body: { coupon_id: "best" } }));
assert.deepEqual([payment.total, payment.discount, payment.amount], ["36000", "3000", quote.amount]);
assert.equal(payment.coupon_id, coupon.coupon_id);
assert.equal(done(await kim.GET("/v1/orders/{order_id}", order)).status, "paid");

// Popular products and Kim's ledger. Then Kim cancels and is refunded.
const popular = done(await anonymous.GET("/v1/products/popular", { params: { query: { days: 3, limit: 5 } } }));
assert.deepEqual(popular.data.map((row) => [row.product.product_id, row.quantity_sold]), [[cup.product_id, 3]]);

const user = { params: { path: { user_id: "kim" } } };
const entries = done(await kim.GET("/v1/users/{user_id}/points/entries", user));
const moved = entries.data.map((entry) => [entry.kind, entry.amount]);
assert.deepEqual(moved, [["payment", "-33000"], ["top_up", "100000"]]);

assert.equal(done(await kim.POST("/v1/orders/{order_id}/cancellation", order)).status, "refunded");
assert.equal(done(await kim.GET("/v1/users/{user_id}/points", user)).balance, "100000");
const coupons = done(await kim.GET("/v1/users/{user_id}/coupons", user));
assert.deepEqual(coupons.data.map((each) => each.status), ["usable"]);
assert.equal(done(await kim.GET("/v1/users/{user_id}/orders", user)).data.length, 1);

// Events for the data platform, the audit log and the verification of the books.
const events = done(await boss.GET("/v1/admin/events", { params: { query: { status: "pending" } } }));
assert.deepEqual(events.data.map((event) => event.order_id), [placed.order_id, placed.order_id]);
const log = done(await boss.GET("/v1/admin/audit-log", { params: { query: {} } }));
assert.equal(log.data.at(-1)?.result["product_id"], cup.product_id);
assert.equal(done(await boss.GET("/v1/admin/verification")).findings_total, 0);

// Errors are problems with a stable code, in English or Korean, and with the data to act on them.
const inKorean = { headers: { "Accept-Language": "ko" } };
const cancelled = await kim.POST("/v1/orders/{order_id}/cancellation", { ...order, ...inKorean });
assert.equal(rejected(cancelled).code, "ORDER_ALREADY_CANCELLED");
assert.match(rejected(cancelled).title, /주문/);
assert.equal(cancelled.response.status, 409);

const tooMany = [{ product_id: cup.product_id, quantity: 11 }];
const short = rejected(await kim.POST("/v1/orders", { body: { lines: tooMany } }));
assert.equal(short.code, "OUT_OF_STOCK");
assert.deepEqual(short.shortages, [{ product_id: cup.product_id, requested: 11, available: 10 }]);

const nothing = rejected(await kim.POST("/v1/users/{user_id}/points/top-ups", { ...user, body: { amount: 0 } }));
assert.deepEqual(nothing.errors, [{ pointer: "/amount", reason: "NOT_POSITIVE" }]);

assert.equal(rejected(await anonymous.GET("/v1/users/{user_id}/points", user)).code, "UNAUTHENTICATED");
assert.equal(rejected(await kim.GET("/v1/admin/verification")).code, "FORBIDDEN");

console.log(`${validated.responses} responses match the document`);

/** Invalid uses do not compile: the compiler reports each line here that is valid. */
export async function wrong(shop: Shop): Promise<void> {
  // @ts-expect-error: no such path
  await shop.GET("/v1/product");
  // @ts-expect-error: an order has lines
  await shop.POST("/v1/orders", { body: {} });
  // @ts-expect-error: an amount is text or an integer
  await shop.POST("/v1/users/{user_id}/points/top-ups", { ...user, body: { amount: true } });
  // @ts-expect-error: a fixed discount has an amount
  await shop.POST("/v1/admin/coupon-campaigns", { body: { ...opening, discount: { kind: "fixed" } } });
  // @ts-expect-error: no such order of the list
  await shop.GET("/v1/products", { params: { query: { sort: "cheapest" } } });
  // @ts-expect-error: a product has no such member
  done(await shop.GET("/v1/products")).data[0]?.color;
  // @ts-expect-error: no such code
  rejected(await shop.GET("/v1/products")).code === "OUT_OF_STOKC";
  // @ts-expect-error: an order may have no coupon
  done(await shop.GET("/v1/orders/{order_id}", order)).coupon_id.length;
}
