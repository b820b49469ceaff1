-- The tables of the MySQL migration, in SQLite's types.
--
-- Money is an INTEGER of 1/10,000, a time an INTEGER of microseconds since 1970 in UTC, a day TEXT as in ISO 8601, an
-- id a BLOB of 16 bytes. Narrow tables are clustered by their key (WITHOUT ROWID), wide ones are appended to. The
-- migrations run in one immediate transaction.
--
-- No table has foreign keys, as in MySQL: the same code writes both databases.
--
-- The CHECKs repeat the rules of the domain, so that a bug stores nothing. `daily_sales` has none: a CHECK tests the
-- inserted row, which is negative for a refund, before the upsert adds it to the existing one.

-- One row per user, locked by every change of points.
CREATE TABLE IF NOT EXISTS point_accounts (
  user_id TEXT NOT NULL,
  balance INTEGER NOT NULL,
  entries INTEGER NOT NULL, -- sequence of the last ledger entry
  hash BLOB NOT NULL, -- hash of the last ledger entry
  open_orders INTEGER NOT NULL, -- unpaid orders
  reserved_quantity INTEGER NOT NULL, -- items of the unpaid orders
  ordered_on TEXT, -- day of the last order
  unpaid_orders INTEGER NOT NULL, -- orders of that day that are not paid, ended ones included
  updated_at INTEGER, -- time of the last entry
  CONSTRAINT pk_point_accounts PRIMARY KEY (user_id),
  CONSTRAINT ck_point_accounts_balance CHECK (balance >= 0),
  CONSTRAINT ck_point_accounts_entries CHECK (entries >= 0),
  CONSTRAINT ck_point_accounts_open_orders CHECK (open_orders BETWEEN 0 AND 4294967295),
  CONSTRAINT ck_point_accounts_reserved_quantity CHECK (reserved_quantity >= 0),
  CONSTRAINT ck_point_accounts_unpaid_orders CHECK (unpaid_orders BETWEEN 0 AND 4294967295)
) STRICT, WITHOUT ROWID;

-- The append-only ledger. `jangteo verify` compares it with the orders through ix_point_entries_order.
CREATE TABLE IF NOT EXISTS point_entries (
  id BLOB NOT NULL,
  user_id TEXT NOT NULL,
  sequence INTEGER NOT NULL, -- position in the user's ledger: 1, 2, 3 without gaps
  kind TEXT NOT NULL,
  amount INTEGER NOT NULL, -- signed
  balance_after INTEGER NOT NULL,
  order_id BLOB,
  created_at INTEGER NOT NULL,
  hash BLOB NOT NULL, -- SHA-256 of this entry and the previous hash
  CONSTRAINT pk_point_entries PRIMARY KEY (id),
  CONSTRAINT uq_point_entries_user_sequence UNIQUE (user_id, sequence),
  CONSTRAINT ck_point_entries_kind CHECK (kind IN ('top_up', 'payment', 'refund', 'adjustment')),
  CONSTRAINT ck_point_entries_balance_after CHECK (balance_after >= 0),
  CONSTRAINT ck_point_entries_sequence CHECK (sequence >= 1)
) STRICT;
CREATE INDEX IF NOT EXISTS ix_point_entries_order ON point_entries (order_id, id) WHERE order_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS products (
  id BLOB NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  category TEXT NOT NULL,
  options TEXT NOT NULL, -- JSON object: value by name; part of the row, so that its lock covers them
  item_group_id TEXT,
  price INTEGER NOT NULL,
  status TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  CONSTRAINT pk_products PRIMARY KEY (id),
  CONSTRAINT ck_products_price CHECK (price BETWEEN 0 AND 10000000000000),
  CONSTRAINT ck_products_status CHECK (status IN ('on_sale', 'hidden', 'discontinued'))
) STRICT;
CREATE INDEX IF NOT EXISTS ix_products_status_price ON products (status, price, id);
CREATE INDEX IF NOT EXISTS ix_products_status_name ON products (status, name, id);
CREATE INDEX IF NOT EXISTS ix_products_category ON products (category, id);

-- Options by product, for filters. Denormalized from products.options.
CREATE TABLE IF NOT EXISTS product_options (
  product_id BLOB NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  CONSTRAINT pk_product_options PRIMARY KEY (product_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ix_product_options_value ON product_options (name, value, product_id);

-- Name and description in lower case, for search. The adapter lowers the case, as the databases differ in scripts
-- beyond ASCII. A separate table, so that orders do not read it.
CREATE TABLE IF NOT EXISTS product_search_texts (
  product_id BLOB NOT NULL,
  search_text TEXT NOT NULL,
  CONSTRAINT pk_product_search_texts PRIMARY KEY (product_id)
) STRICT;

CREATE TABLE IF NOT EXISTS stocks (
  product_id BLOB NOT NULL,
  available INTEGER NOT NULL, -- items in stock, not reserved
  movements INTEGER NOT NULL, -- sequence of the last movement
  CONSTRAINT pk_stocks PRIMARY KEY (product_id),
  CONSTRAINT ck_stocks_available CHECK (available >= 0),
  CONSTRAINT ck_stocks_movements CHECK (movements >= 0)
) STRICT, WITHOUT ROWID;

-- Append-only. `jangteo verify` compares it with the orders through ix_stock_movements_order.
CREATE TABLE IF NOT EXISTS stock_movements (
  id BLOB NOT NULL,
  product_id BLOB NOT NULL,
  sequence INTEGER NOT NULL, -- position among the product's movements: 1, 2, 3 without gaps
  quantity INTEGER NOT NULL, -- signed
  available_after INTEGER NOT NULL,
  kind TEXT NOT NULL,
  order_id BLOB,
  reason TEXT,
  created_at INTEGER NOT NULL,
  CONSTRAINT pk_stock_movements PRIMARY KEY (id),
  CONSTRAINT uq_stock_movements_product_sequence UNIQUE (product_id, sequence),
  CONSTRAINT ck_stock_movements_kind CHECK (kind IN ('adjustment', 'reservation', 'expiry', 'cancellation', 'refund')),
  CONSTRAINT ck_stock_movements_available_after CHECK (available_after >= 0),
  CONSTRAINT ck_stock_movements_sequence CHECK (sequence >= 1)
) STRICT;
CREATE INDEX IF NOT EXISTS ix_stock_movements_order ON stock_movements (order_id, id) WHERE order_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS coupon_campaigns (
  id BLOB NOT NULL,
  name TEXT NOT NULL,
  discount_kind TEXT NOT NULL,
  discount_amount INTEGER, -- of a fixed discount
  discount_percent INTEGER, -- of a percentage
  discount_cap INTEGER, -- of a percentage: the maximum
  min_order_amount INTEGER,
  quantity INTEGER NOT NULL,
  issued INTEGER NOT NULL,
  issue_opens_at INTEGER NOT NULL,
  issue_closes_at INTEGER NOT NULL,
  valid_until INTEGER,
  valid_days INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  CONSTRAINT pk_coupon_campaigns PRIMARY KEY (id),
  CONSTRAINT ck_coupon_campaigns_discount CHECK (
    (discount_kind = 'fixed' AND COALESCE(discount_amount, 0) > 0 AND discount_percent IS NULL AND discount_cap IS NULL)
    OR (discount_kind = 'percent' AND discount_amount IS NULL AND COALESCE(discount_percent, 0) BETWEEN 1 AND 100
      AND (discount_cap IS NULL OR discount_cap > 0))),
  CONSTRAINT ck_coupon_campaigns_min_order_amount CHECK (min_order_amount > 0),
  CONSTRAINT ck_coupon_campaigns_quantity CHECK (quantity BETWEEN 1 AND 4294967295),
  CONSTRAINT ck_coupon_campaigns_issued CHECK (issued BETWEEN 0 AND quantity),
  CONSTRAINT ck_coupon_campaigns_validity CHECK ((valid_until IS NULL) <> (valid_days IS NULL)),
  CONSTRAINT ck_coupon_campaigns_valid_days CHECK (valid_days BETWEEN 1 AND 3650)
) STRICT;

-- Coupons with their terms at the time of issue.
CREATE TABLE IF NOT EXISTS coupons (
  id BLOB NOT NULL,
  campaign_id BLOB NOT NULL,
  user_id TEXT NOT NULL,
  name TEXT NOT NULL,
  discount_kind TEXT NOT NULL,
  discount_amount INTEGER,
  discount_percent INTEGER,
  discount_cap INTEGER,
  min_order_amount INTEGER,
  state TEXT NOT NULL,
  order_id BLOB, -- the order that used it
  used_at INTEGER,
  valid_until INTEGER NOT NULL,
  issued_at INTEGER NOT NULL,
  CONSTRAINT pk_coupons PRIMARY KEY (id),
  CONSTRAINT uq_coupons_campaign_user UNIQUE (campaign_id, user_id),
  CONSTRAINT ck_coupons_discount CHECK (
    (discount_kind = 'fixed' AND COALESCE(discount_amount, 0) > 0 AND discount_percent IS NULL AND discount_cap IS NULL)
    OR (discount_kind = 'percent' AND discount_amount IS NULL AND COALESCE(discount_percent, 0) BETWEEN 1 AND 100
      AND (discount_cap IS NULL OR discount_cap > 0))),
  CONSTRAINT ck_coupons_min_order_amount CHECK (min_order_amount > 0),
  CONSTRAINT ck_coupons_state CHECK (
    (state IN ('unused', 'revoked') AND order_id IS NULL AND used_at IS NULL)
    OR (state = 'used' AND order_id IS NOT NULL AND used_at IS NOT NULL))
) STRICT;
CREATE INDEX IF NOT EXISTS ix_coupons_user ON coupons (user_id, id);

CREATE TABLE IF NOT EXISTS orders (
  id BLOB NOT NULL,
  user_id TEXT NOT NULL,
  status TEXT NOT NULL,
  total INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  payment_id BLOB, -- this and the next five: NULL until paid
  discount INTEGER,
  paid_amount INTEGER,
  coupon_id BLOB,
  paid_at INTEGER,
  sales_day TEXT, -- day of the sale, in the shop's time zone
  refunded INTEGER NOT NULL,
  refunds INTEGER NOT NULL,
  CONSTRAINT pk_orders PRIMARY KEY (id),
  CONSTRAINT ck_orders_status CHECK (
    (status IN ('pending_payment', 'expired', 'cancelled') AND payment_id IS NULL AND discount IS NULL
      AND paid_amount IS NULL AND coupon_id IS NULL AND paid_at IS NULL AND sales_day IS NULL)
    OR (status IN ('paid', 'partially_refunded', 'refunded') AND payment_id IS NOT NULL AND discount IS NOT NULL
      AND paid_amount IS NOT NULL AND paid_at IS NOT NULL AND sales_day IS NOT NULL)),
  CONSTRAINT ck_orders_total CHECK (total >= 0),
  CONSTRAINT ck_orders_paid_amount CHECK (discount >= 0 AND paid_amount >= 0 AND discount + paid_amount = total),
  CONSTRAINT ck_orders_refunded CHECK (refunded >= 0 AND refunded <= COALESCE(paid_amount, 0)),
  CONSTRAINT ck_orders_refunds CHECK (refunds BETWEEN 0 AND 4294967295)
) STRICT;
CREATE INDEX IF NOT EXISTS ix_orders_user ON orders (user_id, id);
CREATE INDEX IF NOT EXISTS ix_orders_due ON orders (status, expires_at, id);

CREATE TABLE IF NOT EXISTS order_lines (
  order_id BLOB NOT NULL,
  product_id BLOB NOT NULL,
  position INTEGER NOT NULL, -- position in the order, from 0
  name TEXT NOT NULL, -- name and price at the time of the order
  quantity INTEGER NOT NULL,
  unit_price INTEGER NOT NULL,
  discount_share INTEGER NOT NULL,
  refunded_quantity INTEGER NOT NULL,
  CONSTRAINT pk_order_lines PRIMARY KEY (order_id, product_id),
  CONSTRAINT ck_order_lines_quantity CHECK (quantity BETWEEN 1 AND 4294967295),
  CONSTRAINT ck_order_lines_unit_price CHECK (unit_price >= 0),
  CONSTRAINT ck_order_lines_discount_share CHECK (discount_share BETWEEN 0 AND unit_price * quantity),
  CONSTRAINT ck_order_lines_refunded_quantity CHECK (refunded_quantity BETWEEN 0 AND quantity)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS payments (
  id BLOB NOT NULL,
  order_id BLOB NOT NULL,
  user_id TEXT NOT NULL,
  total INTEGER NOT NULL,
  discount INTEGER NOT NULL,
  amount INTEGER NOT NULL,
  coupon_id BLOB,
  balance_after INTEGER NOT NULL,
  paid_at INTEGER NOT NULL,
  sales_day TEXT NOT NULL,
  CONSTRAINT pk_payments PRIMARY KEY (id),
  CONSTRAINT uq_payments_order UNIQUE (order_id),
  CONSTRAINT ck_payments_amount CHECK (discount >= 0 AND amount >= 0 AND discount + amount = total),
  CONSTRAINT ck_payments_balance_after CHECK (balance_after >= 0)
) STRICT;

CREATE TABLE IF NOT EXISTS refunds (
  id BLOB NOT NULL,
  order_id BLOB NOT NULL,
  sequence INTEGER NOT NULL, -- position among the order's refunds: 1, 2, 3
  amount INTEGER NOT NULL,
  restocked INTEGER NOT NULL, -- 1: the items returned to stock
  reason TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  CONSTRAINT pk_refunds PRIMARY KEY (id),
  CONSTRAINT uq_refunds_order_sequence UNIQUE (order_id, sequence),
  CONSTRAINT ck_refunds_amount CHECK (amount >= 0),
  CONSTRAINT ck_refunds_restocked CHECK (restocked IN (0, 1)),
  CONSTRAINT ck_refunds_sequence CHECK (sequence >= 1)
) STRICT;

CREATE TABLE IF NOT EXISTS refund_lines (
  refund_id BLOB NOT NULL,
  product_id BLOB NOT NULL,
  quantity INTEGER NOT NULL,
  amount INTEGER NOT NULL,
  CONSTRAINT pk_refund_lines PRIMARY KEY (refund_id, product_id),
  CONSTRAINT ck_refund_lines_quantity CHECK (quantity >= 1),
  CONSTRAINT ck_refund_lines_amount CHECK (amount >= 0)
) STRICT, WITHOUT ROWID;

-- Items sold and paid, net of refunds, by day in the shop's time zone.
CREATE TABLE IF NOT EXISTS daily_sales (
  day TEXT NOT NULL,
  product_id BLOB NOT NULL,
  quantity INTEGER NOT NULL,
  revenue INTEGER NOT NULL,
  CONSTRAINT pk_daily_sales PRIMARY KEY (day, product_id)
) STRICT, WITHOUT ROWID;

-- Events for the data platform. The relay claims due events through ix_outbox_events_due; lists by state and the
-- backlog use ix_outbox_events_state.
CREATE TABLE IF NOT EXISTS outbox_events (
  id BLOB NOT NULL,
  order_id BLOB NOT NULL,
  sequence INTEGER NOT NULL, -- position among the order's events: 1, 2, 3
  event_type TEXT NOT NULL,
  body TEXT NOT NULL, -- JSON, as sent
  created_at INTEGER NOT NULL,
  state TEXT NOT NULL,
  due_at INTEGER NOT NULL, -- earliest claim; while claimed, the end of the lease
  attempts INTEGER NOT NULL,
  lease BLOB, -- id of the current claim, the only one that may record an outcome
  last_error TEXT,
  delivered_at INTEGER,
  CONSTRAINT pk_outbox_events PRIMARY KEY (id),
  CONSTRAINT uq_outbox_events_order_sequence UNIQUE (order_id, sequence),
  CONSTRAINT ck_outbox_events_state CHECK (state IN ('pending', 'delivered', 'dead')),
  CONSTRAINT ck_outbox_events_sequence CHECK (sequence >= 1),
  CONSTRAINT ck_outbox_events_attempts CHECK (attempts >= 0)
) STRICT;
CREATE INDEX IF NOT EXISTS ix_outbox_events_due ON outbox_events (state, due_at, id);
CREATE INDEX IF NOT EXISTS ix_outbox_events_state ON outbox_events (state, id);

-- The append-only audit log of the back office.
CREATE TABLE IF NOT EXISTS audit_log (
  id BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL, -- name of the command
  subject_kind TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  reason TEXT,
  body TEXT NOT NULL, -- of the response, as sent
  CONSTRAINT pk_audit_log PRIMARY KEY (id),
  CONSTRAINT ck_audit_log_subject_kind CHECK (
    subject_kind IN ('user', 'product', 'campaign', 'coupon', 'order', 'event'))
) STRICT;
CREATE INDEX IF NOT EXISTS ix_audit_log_actor ON audit_log (actor, id);
CREATE INDEX IF NOT EXISTS ix_audit_log_subject ON audit_log (subject_id, id);

-- Answered requests. Wide rows are appended in rowid order, and old ones pruned as a range of the primary
-- key; only the narrow unique index is written at random.
CREATE TABLE IF NOT EXISTS idempotency_keys (
  created_at INTEGER NOT NULL,
  request_key BLOB NOT NULL,
  fingerprint BLOB NOT NULL,
  head TEXT NOT NULL, -- of the response, as rendered
  body TEXT NOT NULL, -- of the response, as sent
  CONSTRAINT pk_idempotency_keys PRIMARY KEY (created_at, request_key),
  CONSTRAINT uq_idempotency_keys_request_key UNIQUE (request_key)
) STRICT;

-- One row per committed transaction: evidence of a commit with a lost response.
CREATE TABLE IF NOT EXISTS commit_markers (
  id BLOB NOT NULL,
  is_tombstone INTEGER NOT NULL DEFAULT 0, -- 1 for a transaction that was ruled out
  created_at INTEGER NOT NULL DEFAULT (CAST(round(unixepoch('subsec') * 1000000) AS INTEGER)),
  CONSTRAINT pk_commit_markers PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ix_commit_markers_created ON commit_markers (created_at, id);

-- The corrections of the books: of two that count from the same number, one fails on the key.
CREATE TABLE IF NOT EXISTS book_corrections (
  sequence INTEGER NOT NULL,
  corrected_at INTEGER NOT NULL DEFAULT (CAST(round(unixepoch('subsec') * 1000000) AS INTEGER)),
  CONSTRAINT pk_book_corrections PRIMARY KEY (sequence)
) STRICT;

-- The keys that authenticate cursors. The newest two are valid.
CREATE TABLE IF NOT EXISTS cursor_keys (
  sequence INTEGER NOT NULL,
  secret BLOB NOT NULL,
  created_at INTEGER NOT NULL DEFAULT (CAST(round(unixepoch('subsec') * 1000000) AS INTEGER)),
  CONSTRAINT pk_cursor_keys PRIMARY KEY (sequence)
) STRICT;
