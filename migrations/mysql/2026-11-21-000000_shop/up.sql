-- The tables of the shop.
--
-- MySQL commits at every CREATE TABLE. Each statement is therefore idempotent: the next server resumes an interrupted
-- migration.
--
-- No table has foreign keys: an insert of a child would take a shared lock on its parent row, and other lanes with the
-- same product or user would wait. Rows are inserted under their parent's lock and never deleted, and `jangteo verify`
-- checks every reference.
--
-- The CHECKs repeat the rules of the domain, so that a bug stores nothing. `daily_sales` has none: a CHECK tests the
-- inserted row, which is negative for a refund, before the upsert adds it to the existing one.

-- One row per user, locked by every change of points.
CREATE TABLE IF NOT EXISTS point_accounts (
  user_id VARCHAR(64) NOT NULL,
  balance DECIMAL(19,4) NOT NULL,
  entries BIGINT NOT NULL COMMENT 'sequence of the last ledger entry',
  hash BINARY(32) NOT NULL COMMENT 'hash of the last ledger entry',
  open_orders BIGINT NOT NULL COMMENT 'unpaid orders',
  reserved_quantity BIGINT NOT NULL COMMENT 'items of the unpaid orders',
  ordered_on DATE NULL COMMENT 'day of the last order',
  unpaid_orders BIGINT NOT NULL COMMENT 'orders of that day that are not paid, ended ones included',
  updated_at DATETIME(6) NULL COMMENT 'time of the last entry',
  CONSTRAINT pk_point_accounts PRIMARY KEY (user_id),
  CONSTRAINT ck_point_accounts_balance CHECK (balance >= 0),
  CONSTRAINT ck_point_accounts_entries CHECK (entries >= 0),
  CONSTRAINT ck_point_accounts_open_orders CHECK (open_orders BETWEEN 0 AND 4294967295),
  CONSTRAINT ck_point_accounts_reserved_quantity CHECK (reserved_quantity >= 0),
  CONSTRAINT ck_point_accounts_unpaid_orders CHECK (unpaid_orders BETWEEN 0 AND 4294967295)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- The append-only ledger. `jangteo verify` compares it with the orders through ix_point_entries_order.
CREATE TABLE IF NOT EXISTS point_entries (
  id BINARY(16) NOT NULL,
  user_id VARCHAR(64) NOT NULL,
  sequence BIGINT NOT NULL COMMENT 'position in the user''s ledger: 1, 2, 3 without gaps',
  kind VARCHAR(20) NOT NULL,
  amount DECIMAL(19,4) NOT NULL COMMENT 'signed',
  balance_after DECIMAL(19,4) NOT NULL,
  order_id BINARY(16) NULL,
  created_at DATETIME(6) NOT NULL,
  hash BINARY(32) NOT NULL COMMENT 'SHA-256 of this entry and the previous hash',
  CONSTRAINT pk_point_entries PRIMARY KEY (id),
  CONSTRAINT uq_point_entries_user_sequence UNIQUE (user_id, sequence),
  CONSTRAINT ck_point_entries_kind CHECK (kind IN ('top_up', 'payment', 'refund', 'adjustment')),
  CONSTRAINT ck_point_entries_balance_after CHECK (balance_after >= 0),
  CONSTRAINT ck_point_entries_sequence CHECK (sequence >= 1),
  INDEX ix_point_entries_order (order_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS products (
  id BINARY(16) NOT NULL,
  name VARCHAR(200) NOT NULL,
  description TEXT NOT NULL,
  category VARCHAR(64) NOT NULL,
  options TEXT NOT NULL COMMENT 'JSON object: value by name; part of the row, so that its lock covers them',
  item_group_id VARCHAR(64) NULL,
  price DECIMAL(19,4) NOT NULL,
  status VARCHAR(20) NOT NULL,
  created_at DATETIME(6) NOT NULL,
  updated_at DATETIME(6) NOT NULL,
  CONSTRAINT pk_products PRIMARY KEY (id),
  CONSTRAINT ck_products_price CHECK (price BETWEEN 0 AND 1000000000),
  CONSTRAINT ck_products_status CHECK (status IN ('on_sale', 'hidden', 'discontinued')),
  INDEX ix_products_status_price (status, price, id),
  INDEX ix_products_status_name (status, name, id),
  INDEX ix_products_category (category, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Options by product, for filters. Denormalized from products.options.
CREATE TABLE IF NOT EXISTS product_options (
  product_id BINARY(16) NOT NULL,
  name VARCHAR(32) NOT NULL,
  value VARCHAR(255) NOT NULL,
  CONSTRAINT pk_product_options PRIMARY KEY (product_id, name),
  INDEX ix_product_options_value (name, value, product_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Name and description in lower case, for search. The adapter lowers the case, as the databases differ in scripts
-- beyond ASCII. A separate table, so that orders do not read it.
CREATE TABLE IF NOT EXISTS product_search_texts (
  product_id BINARY(16) NOT NULL,
  search_text MEDIUMTEXT NOT NULL,
  CONSTRAINT pk_product_search_texts PRIMARY KEY (product_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS stocks (
  product_id BINARY(16) NOT NULL,
  available BIGINT NOT NULL COMMENT 'items in stock, not reserved',
  movements BIGINT NOT NULL COMMENT 'sequence of the last movement',
  CONSTRAINT pk_stocks PRIMARY KEY (product_id),
  CONSTRAINT ck_stocks_available CHECK (available >= 0),
  CONSTRAINT ck_stocks_movements CHECK (movements >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Append-only. `jangteo verify` compares it with the orders through ix_stock_movements_order.
CREATE TABLE IF NOT EXISTS stock_movements (
  id BINARY(16) NOT NULL,
  product_id BINARY(16) NOT NULL,
  sequence BIGINT NOT NULL COMMENT 'position among the product''s movements: 1, 2, 3 without gaps',
  quantity BIGINT NOT NULL COMMENT 'signed',
  available_after BIGINT NOT NULL,
  kind VARCHAR(20) NOT NULL,
  order_id BINARY(16) NULL,
  reason VARCHAR(200) NULL,
  created_at DATETIME(6) NOT NULL,
  CONSTRAINT pk_stock_movements PRIMARY KEY (id),
  CONSTRAINT uq_stock_movements_product_sequence UNIQUE (product_id, sequence),
  CONSTRAINT ck_stock_movements_kind CHECK (kind IN ('adjustment', 'reservation', 'expiry', 'cancellation', 'refund')),
  CONSTRAINT ck_stock_movements_available_after CHECK (available_after >= 0),
  CONSTRAINT ck_stock_movements_sequence CHECK (sequence >= 1),
  INDEX ix_stock_movements_order (order_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS coupon_campaigns (
  id BINARY(16) NOT NULL,
  name VARCHAR(200) NOT NULL,
  discount_kind VARCHAR(20) NOT NULL,
  discount_amount DECIMAL(19,4) NULL COMMENT 'of a fixed discount',
  discount_percent BIGINT NULL COMMENT 'of a percentage',
  discount_cap DECIMAL(19,4) NULL COMMENT 'of a percentage: the maximum',
  min_order_amount DECIMAL(19,4) NULL,
  quantity BIGINT NOT NULL,
  issued BIGINT NOT NULL,
  issue_opens_at DATETIME(6) NOT NULL,
  issue_closes_at DATETIME(6) NOT NULL,
  valid_until DATETIME(6) NULL,
  valid_days BIGINT NULL,
  created_at DATETIME(6) NOT NULL,
  updated_at DATETIME(6) NOT NULL,
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
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Coupons with their terms at the time of issue.
CREATE TABLE IF NOT EXISTS coupons (
  id BINARY(16) NOT NULL,
  campaign_id BINARY(16) NOT NULL,
  user_id VARCHAR(64) NOT NULL,
  name VARCHAR(200) NOT NULL,
  discount_kind VARCHAR(20) NOT NULL,
  discount_amount DECIMAL(19,4) NULL,
  discount_percent BIGINT NULL,
  discount_cap DECIMAL(19,4) NULL,
  min_order_amount DECIMAL(19,4) NULL,
  state VARCHAR(20) NOT NULL,
  order_id BINARY(16) NULL COMMENT 'the order that used it',
  used_at DATETIME(6) NULL,
  valid_until DATETIME(6) NOT NULL,
  issued_at DATETIME(6) NOT NULL,
  CONSTRAINT pk_coupons PRIMARY KEY (id),
  CONSTRAINT uq_coupons_campaign_user UNIQUE (campaign_id, user_id),
  CONSTRAINT ck_coupons_discount CHECK (
    (discount_kind = 'fixed' AND COALESCE(discount_amount, 0) > 0 AND discount_percent IS NULL AND discount_cap IS NULL)
    OR (discount_kind = 'percent' AND discount_amount IS NULL AND COALESCE(discount_percent, 0) BETWEEN 1 AND 100
      AND (discount_cap IS NULL OR discount_cap > 0))),
  CONSTRAINT ck_coupons_min_order_amount CHECK (min_order_amount > 0),
  CONSTRAINT ck_coupons_state CHECK (
    (state IN ('unused', 'revoked') AND order_id IS NULL AND used_at IS NULL)
    OR (state = 'used' AND order_id IS NOT NULL AND used_at IS NOT NULL)),
  INDEX ix_coupons_user (user_id, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS orders (
  id BINARY(16) NOT NULL,
  user_id VARCHAR(64) NOT NULL,
  status VARCHAR(20) NOT NULL,
  total DECIMAL(19,4) NOT NULL,
  created_at DATETIME(6) NOT NULL,
  expires_at DATETIME(6) NOT NULL,
  payment_id BINARY(16) NULL COMMENT 'this and the next five: NULL until paid',
  discount DECIMAL(19,4) NULL,
  paid_amount DECIMAL(19,4) NULL,
  coupon_id BINARY(16) NULL,
  paid_at DATETIME(6) NULL,
  sales_day DATE NULL COMMENT 'day of the sale, in the shop''s time zone',
  refunded DECIMAL(19,4) NOT NULL,
  refunds BIGINT NOT NULL,
  CONSTRAINT pk_orders PRIMARY KEY (id),
  CONSTRAINT ck_orders_status CHECK (
    (status IN ('pending_payment', 'expired', 'cancelled') AND payment_id IS NULL AND discount IS NULL
      AND paid_amount IS NULL AND coupon_id IS NULL AND paid_at IS NULL AND sales_day IS NULL)
    OR (status IN ('paid', 'partially_refunded', 'refunded') AND payment_id IS NOT NULL AND discount IS NOT NULL
      AND paid_amount IS NOT NULL AND paid_at IS NOT NULL AND sales_day IS NOT NULL)),
  CONSTRAINT ck_orders_total CHECK (total >= 0),
  CONSTRAINT ck_orders_paid_amount CHECK (discount >= 0 AND paid_amount >= 0 AND discount + paid_amount = total),
  CONSTRAINT ck_orders_refunded CHECK (refunded >= 0 AND refunded <= COALESCE(paid_amount, 0)),
  CONSTRAINT ck_orders_refunds CHECK (refunds BETWEEN 0 AND 4294967295),
  INDEX ix_orders_user (user_id, id),
  INDEX ix_orders_due (status, expires_at, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS order_lines (
  order_id BINARY(16) NOT NULL,
  product_id BINARY(16) NOT NULL,
  position BIGINT NOT NULL COMMENT 'position in the order, from 0',
  name VARCHAR(200) NOT NULL COMMENT 'name and price at the time of the order',
  quantity BIGINT NOT NULL,
  unit_price DECIMAL(19,4) NOT NULL,
  discount_share DECIMAL(19,4) NOT NULL,
  refunded_quantity BIGINT NOT NULL,
  CONSTRAINT pk_order_lines PRIMARY KEY (order_id, product_id),
  CONSTRAINT ck_order_lines_quantity CHECK (quantity BETWEEN 1 AND 4294967295),
  CONSTRAINT ck_order_lines_unit_price CHECK (unit_price >= 0),
  CONSTRAINT ck_order_lines_discount_share CHECK (discount_share BETWEEN 0 AND unit_price * quantity),
  CONSTRAINT ck_order_lines_refunded_quantity CHECK (refunded_quantity BETWEEN 0 AND quantity)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS payments (
  id BINARY(16) NOT NULL,
  order_id BINARY(16) NOT NULL,
  user_id VARCHAR(64) NOT NULL,
  total DECIMAL(19,4) NOT NULL,
  discount DECIMAL(19,4) NOT NULL,
  amount DECIMAL(19,4) NOT NULL,
  coupon_id BINARY(16) NULL,
  balance_after DECIMAL(19,4) NOT NULL,
  paid_at DATETIME(6) NOT NULL,
  sales_day DATE NOT NULL,
  CONSTRAINT pk_payments PRIMARY KEY (id),
  CONSTRAINT uq_payments_order UNIQUE (order_id),
  CONSTRAINT ck_payments_amount CHECK (discount >= 0 AND amount >= 0 AND discount + amount = total),
  CONSTRAINT ck_payments_balance_after CHECK (balance_after >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS refunds (
  id BINARY(16) NOT NULL,
  order_id BINARY(16) NOT NULL,
  sequence BIGINT NOT NULL COMMENT 'position among the order''s refunds: 1, 2, 3',
  amount DECIMAL(19,4) NOT NULL,
  restocked BIGINT NOT NULL COMMENT '1: the items returned to stock',
  reason VARCHAR(200) NOT NULL,
  created_at DATETIME(6) NOT NULL,
  CONSTRAINT pk_refunds PRIMARY KEY (id),
  CONSTRAINT uq_refunds_order_sequence UNIQUE (order_id, sequence),
  CONSTRAINT ck_refunds_amount CHECK (amount >= 0),
  CONSTRAINT ck_refunds_restocked CHECK (restocked IN (0, 1)),
  CONSTRAINT ck_refunds_sequence CHECK (sequence >= 1)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS refund_lines (
  refund_id BINARY(16) NOT NULL,
  product_id BINARY(16) NOT NULL,
  quantity BIGINT NOT NULL,
  amount DECIMAL(19,4) NOT NULL,
  CONSTRAINT pk_refund_lines PRIMARY KEY (refund_id, product_id),
  CONSTRAINT ck_refund_lines_quantity CHECK (quantity >= 1),
  CONSTRAINT ck_refund_lines_amount CHECK (amount >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Items sold and paid, net of refunds, by day in the shop's time zone.
CREATE TABLE IF NOT EXISTS daily_sales (
  day DATE NOT NULL,
  product_id BINARY(16) NOT NULL,
  quantity BIGINT NOT NULL,
  revenue DECIMAL(19,4) NOT NULL,
  CONSTRAINT pk_daily_sales PRIMARY KEY (day, product_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Events for the data platform. The relay claims due events through ix_outbox_events_due, which must equal its ORDER
-- BY: with any other index SKIP LOCKED locks every sorted row. Lists by state and the backlog use
-- ix_outbox_events_state.
CREATE TABLE IF NOT EXISTS outbox_events (
  id BINARY(16) NOT NULL,
  order_id BINARY(16) NOT NULL,
  sequence BIGINT NOT NULL COMMENT 'position among the order''s events: 1, 2, 3',
  event_type VARCHAR(100) NOT NULL,
  body LONGTEXT NOT NULL COMMENT 'JSON, as sent',
  created_at DATETIME(6) NOT NULL,
  state VARCHAR(20) NOT NULL,
  due_at DATETIME(6) NOT NULL COMMENT 'earliest claim; while claimed, the end of the lease',
  attempts BIGINT NOT NULL,
  lease BINARY(16) NULL COMMENT 'id of the current claim, the only one that may record an outcome',
  last_error VARCHAR(500) NULL,
  delivered_at DATETIME(6) NULL,
  CONSTRAINT pk_outbox_events PRIMARY KEY (id),
  CONSTRAINT uq_outbox_events_order_sequence UNIQUE (order_id, sequence),
  CONSTRAINT ck_outbox_events_state CHECK (state IN ('pending', 'delivered', 'dead')),
  CONSTRAINT ck_outbox_events_sequence CHECK (sequence >= 1),
  CONSTRAINT ck_outbox_events_attempts CHECK (attempts >= 0),
  INDEX ix_outbox_events_due (state, due_at, id),
  INDEX ix_outbox_events_state (state, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- The append-only audit log of the back office.
CREATE TABLE IF NOT EXISTS audit_log (
  id BINARY(16) NOT NULL,
  created_at DATETIME(6) NOT NULL,
  actor VARCHAR(64) NOT NULL,
  action VARCHAR(64) NOT NULL COMMENT 'name of the command',
  subject_kind VARCHAR(20) NOT NULL,
  subject_id VARCHAR(64) NOT NULL,
  reason VARCHAR(200) NULL,
  body LONGTEXT NOT NULL COMMENT 'of the response, as sent',
  CONSTRAINT pk_audit_log PRIMARY KEY (id),
  CONSTRAINT ck_audit_log_subject_kind CHECK (
    subject_kind IN ('user', 'product', 'campaign', 'coupon', 'order', 'event')),
  INDEX ix_audit_log_actor (actor, id),
  INDEX ix_audit_log_subject (subject_id, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Answered requests. Clustered by time, so that wide rows are appended and old ones pruned as a range;
-- only the narrow unique index is written at random.
CREATE TABLE IF NOT EXISTS idempotency_keys (
  created_at DATETIME(6) NOT NULL,
  request_key BINARY(16) NOT NULL,
  fingerprint BINARY(16) NOT NULL,
  head VARCHAR(200) NOT NULL COMMENT 'of the response, as rendered',
  body LONGTEXT NOT NULL COMMENT 'of the response, as sent',
  CONSTRAINT pk_idempotency_keys PRIMARY KEY (created_at, request_key),
  CONSTRAINT uq_idempotency_keys_request_key UNIQUE (request_key)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- One row per committed transaction: evidence of a commit with a lost response.
CREATE TABLE IF NOT EXISTS commit_markers (
  id BINARY(16) NOT NULL,
  is_tombstone TINYINT NOT NULL DEFAULT 0 COMMENT '1 for a transaction that was ruled out',
  created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  CONSTRAINT pk_commit_markers PRIMARY KEY (id),
  INDEX ix_commit_markers_created (created_at, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- A row of each server, written while it can write.
CREATE TABLE IF NOT EXISTS heartbeats (
  slot SMALLINT NOT NULL COMMENT 'chosen at random by each server',
  beat BIGINT UNSIGNED NOT NULL COMMENT 'a number that the server has not written before',
  beaten_at DATETIME(6) NOT NULL,
  CONSTRAINT pk_heartbeats PRIMARY KEY (slot)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- The corrections of the books: of two that count from the same number, one fails on the key.
CREATE TABLE IF NOT EXISTS book_corrections (
  sequence BIGINT NOT NULL,
  corrected_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  CONSTRAINT pk_book_corrections PRIMARY KEY (sequence)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- The keys that authenticate cursors. The newest two are valid.
CREATE TABLE IF NOT EXISTS cursor_keys (
  sequence BIGINT NOT NULL,
  secret BINARY(32) NOT NULL,
  created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  CONSTRAINT pk_cursor_keys PRIMARY KEY (sequence)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;
