-- The tables and indexes of the MySQL migration, in SQLite's types.

-- Verifications of the books, one at a time in all servers. A run whose server is gone has an old heartbeat.
CREATE TABLE IF NOT EXISTS verifications (
  id BLOB NOT NULL,
  status TEXT NOT NULL,
  running INTEGER, -- 1 while it runs, else NULL: at most one row has it
  request_key BLOB, -- of the request that started it
  server TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  heartbeat_at INTEGER NOT NULL,
  finished_at INTEGER,
  step INTEGER NOT NULL, -- part of the verification, from 1
  violations INTEGER NOT NULL,
  findings TEXT NOT NULL, -- JSON array of the first ones
  error TEXT,
  CONSTRAINT pk_verifications PRIMARY KEY (id),
  CONSTRAINT uq_verifications_running UNIQUE (running),
  CONSTRAINT uq_verifications_request_key UNIQUE (request_key),
  CONSTRAINT ck_verifications_status CHECK (
    (status = 'running' AND running IS NOT NULL AND finished_at IS NULL)
    OR (status IN ('passed', 'violated', 'failed', 'interrupted') AND running IS NULL AND finished_at IS NOT NULL)),
  CONSTRAINT ck_verifications_running CHECK (running = 1),
  CONSTRAINT ck_verifications_violations CHECK (violations >= 0)
) STRICT;
CREATE INDEX IF NOT EXISTS ix_verifications_started ON verifications (started_at, id);

-- Paid orders and refunds by quarter of an hour, counted in the background from payments and refunds; none that is
-- empty. The days and hours of every time zone consist of quarters.
CREATE TABLE IF NOT EXISTS quarter_hours (
  starts_at INTEGER NOT NULL,
  orders INTEGER NOT NULL, -- paid
  revenue INTEGER NOT NULL, -- the amounts paid
  refunded_orders INTEGER NOT NULL, -- orders by their first refund
  refunded INTEGER NOT NULL, -- of all refunds
  CONSTRAINT pk_quarter_hours PRIMARY KEY (starts_at),
  CONSTRAINT ck_quarter_hours_orders CHECK (orders >= 0),
  CONSTRAINT ck_quarter_hours_revenue CHECK (revenue >= 0),
  CONSTRAINT ck_quarter_hours_refunded_orders CHECK (refunded_orders >= 0),
  CONSTRAINT ck_quarter_hours_refunded CHECK (refunded >= 0)
) STRICT;

-- The progress of that count, and the lease of the server that does it: one row.
CREATE TABLE IF NOT EXISTS quarter_hour_count (
  id INTEGER NOT NULL,
  holder BLOB,
  leased_until INTEGER NOT NULL,
  final_to INTEGER NOT NULL, -- earlier quarters are counted for good
  complete_to INTEGER NOT NULL, -- earlier payments and refunds are counted
  CONSTRAINT pk_quarter_hour_count PRIMARY KEY (id),
  CONSTRAINT ck_quarter_hour_count_id CHECK (id = 1)
) STRICT;

INSERT OR IGNORE INTO quarter_hour_count (id, leased_until, final_to, complete_to) VALUES (1, 0, 0, 0);

-- Orders of a product, newest first.
CREATE INDEX IF NOT EXISTS ix_order_lines_product ON order_lines (product_id, order_id);
-- Orders of one state, newest first, as the condition of the list names them. Only changes of these states write to it.
CREATE INDEX IF NOT EXISTS ix_orders_closed ON orders (status, id)
  WHERE status IN ('expired', 'cancelled', 'partially_refunded', 'refunded');
-- Coupons of a campaign, newest first, of any or of one state.
CREATE INDEX IF NOT EXISTS ix_coupons_campaign ON coupons (campaign_id, id);
CREATE INDEX IF NOT EXISTS ix_coupons_campaign_state ON coupons (campaign_id, state, id);
-- Campaigns that are not closed.
CREATE INDEX IF NOT EXISTS ix_coupon_campaigns_closes ON coupon_campaigns (issue_closes_at, id);
-- Products that are sold out, or nearly.
CREATE INDEX IF NOT EXISTS ix_stocks_available ON stocks (available, product_id);
-- Products of all states by price and by name.
CREATE INDEX IF NOT EXISTS ix_products_price ON products (price, id);
CREATE INDEX IF NOT EXISTS ix_products_name ON products (name, id);
-- Changes of one row by one member of the staff.
CREATE INDEX IF NOT EXISTS ix_audit_log_actor_subject ON audit_log (actor, subject_id, id);
