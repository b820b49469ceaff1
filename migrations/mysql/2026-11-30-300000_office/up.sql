-- The back office: verifications as rows, statistics, and the indexes of its lists and numbers.
--
-- MySQL commits at every statement, so each is idempotent. It has no CREATE INDEX IF NOT EXISTS; an index is created in
-- place, while the tables are written.

-- Verifications of the books, one at a time in all servers. A run whose server is gone has an old heartbeat.
CREATE TABLE IF NOT EXISTS verifications (
  id BINARY(16) NOT NULL,
  status VARCHAR(20) NOT NULL,
  running TINYINT NULL COMMENT '1 while it runs, else NULL: at most one row has it',
  request_key BINARY(16) NULL COMMENT 'of the request that started it',
  server VARCHAR(255) NOT NULL,
  started_at DATETIME(6) NOT NULL,
  heartbeat_at DATETIME(6) NOT NULL,
  finished_at DATETIME(6) NULL,
  step BIGINT NOT NULL COMMENT 'part of the verification, from 1',
  violations BIGINT NOT NULL,
  findings LONGTEXT NOT NULL COMMENT 'JSON array of the first ones',
  error VARCHAR(500) NULL,
  CONSTRAINT pk_verifications PRIMARY KEY (id),
  CONSTRAINT uq_verifications_running UNIQUE (running),
  CONSTRAINT uq_verifications_request_key UNIQUE (request_key),
  CONSTRAINT ck_verifications_status CHECK (
    (status = 'running' AND running IS NOT NULL AND finished_at IS NULL)
    OR (status IN ('passed', 'violated', 'failed', 'interrupted') AND running IS NULL AND finished_at IS NOT NULL)),
  CONSTRAINT ck_verifications_running CHECK (running = 1),
  CONSTRAINT ck_verifications_violations CHECK (violations >= 0),
  INDEX ix_verifications_started (started_at, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Paid orders and refunds by quarter of an hour, counted in the background from payments and refunds; none that is
-- empty. The days and hours of every time zone consist of quarters.
CREATE TABLE IF NOT EXISTS quarter_hours (
  starts_at DATETIME(6) NOT NULL,
  orders BIGINT NOT NULL COMMENT 'paid',
  revenue DECIMAL(19,4) NOT NULL COMMENT 'the amounts paid',
  refunded_orders BIGINT NOT NULL COMMENT 'orders by their first refund',
  refunded DECIMAL(19,4) NOT NULL COMMENT 'of all refunds',
  CONSTRAINT pk_quarter_hours PRIMARY KEY (starts_at),
  CONSTRAINT ck_quarter_hours_orders CHECK (orders >= 0),
  CONSTRAINT ck_quarter_hours_revenue CHECK (revenue >= 0),
  CONSTRAINT ck_quarter_hours_refunded_orders CHECK (refunded_orders >= 0),
  CONSTRAINT ck_quarter_hours_refunded CHECK (refunded >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- The progress of that count, and the lease of the server that does it: one row.
CREATE TABLE IF NOT EXISTS quarter_hour_count (
  id BIGINT NOT NULL,
  holder BINARY(16) NULL,
  leased_until DATETIME(6) NOT NULL,
  final_to DATETIME(6) NOT NULL COMMENT 'earlier quarters are counted for good',
  complete_to DATETIME(6) NOT NULL COMMENT 'earlier payments and refunds are counted',
  CONSTRAINT pk_quarter_hour_count PRIMARY KEY (id),
  CONSTRAINT ck_quarter_hour_count_id CHECK (id = 1)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

INSERT IGNORE INTO quarter_hour_count (id, leased_until, final_to, complete_to)
  VALUES (1, '1970-01-01 00:00:00', '1970-01-01 00:00:00', '1970-01-01 00:00:00');

-- Orders of a product, newest first.
SET @jangteo_index = IF(
  (SELECT COUNT(*) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'order_lines' AND index_name = 'ix_order_lines_product') = 0,
  'CREATE INDEX ix_order_lines_product ON order_lines (product_id, order_id) ALGORITHM = INPLACE LOCK = NONE', 'DO 0');
PREPARE jangteo_index FROM @jangteo_index;
EXECUTE jangteo_index;
DEALLOCATE PREPARE jangteo_index;

-- Coupons of a campaign, newest first, of any or of one state.
SET @jangteo_index = IF(
  (SELECT COUNT(*) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'coupons' AND index_name = 'ix_coupons_campaign') = 0,
  'CREATE INDEX ix_coupons_campaign ON coupons (campaign_id, id) ALGORITHM = INPLACE LOCK = NONE', 'DO 0');
PREPARE jangteo_index FROM @jangteo_index;
EXECUTE jangteo_index;
DEALLOCATE PREPARE jangteo_index;

SET @jangteo_index = IF(
  (SELECT COUNT(*) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'coupons' AND index_name = 'ix_coupons_campaign_state') = 0,
  'CREATE INDEX ix_coupons_campaign_state ON coupons (campaign_id, state, id) ALGORITHM = INPLACE LOCK = NONE', 'DO 0');
PREPARE jangteo_index FROM @jangteo_index;
EXECUTE jangteo_index;
DEALLOCATE PREPARE jangteo_index;

-- Campaigns that are not closed.
SET @jangteo_index = IF(
  (SELECT COUNT(*) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'coupon_campaigns' AND index_name = 'ix_coupon_campaigns_closes') = 0,
  'CREATE INDEX ix_coupon_campaigns_closes ON coupon_campaigns (issue_closes_at, id) ALGORITHM = INPLACE LOCK = NONE', 'DO 0');
PREPARE jangteo_index FROM @jangteo_index;
EXECUTE jangteo_index;
DEALLOCATE PREPARE jangteo_index;

-- Products that are sold out, or nearly.
SET @jangteo_index = IF(
  (SELECT COUNT(*) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'stocks' AND index_name = 'ix_stocks_available') = 0,
  'CREATE INDEX ix_stocks_available ON stocks (available, product_id) ALGORITHM = INPLACE LOCK = NONE', 'DO 0');
PREPARE jangteo_index FROM @jangteo_index;
EXECUTE jangteo_index;
DEALLOCATE PREPARE jangteo_index;

-- Products of all states by price and by name.
SET @jangteo_index = IF(
  (SELECT COUNT(*) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'products' AND index_name = 'ix_products_price') = 0,
  'CREATE INDEX ix_products_price ON products (price, id) ALGORITHM = INPLACE LOCK = NONE', 'DO 0');
PREPARE jangteo_index FROM @jangteo_index;
EXECUTE jangteo_index;
DEALLOCATE PREPARE jangteo_index;

SET @jangteo_index = IF(
  (SELECT COUNT(*) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'products' AND index_name = 'ix_products_name') = 0,
  'CREATE INDEX ix_products_name ON products (name, id) ALGORITHM = INPLACE LOCK = NONE', 'DO 0');
PREPARE jangteo_index FROM @jangteo_index;
EXECUTE jangteo_index;
DEALLOCATE PREPARE jangteo_index;

-- Changes of one row by one member of the staff.
SET @jangteo_index = IF(
  (SELECT COUNT(*) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'audit_log' AND index_name = 'ix_audit_log_actor_subject') = 0,
  'CREATE INDEX ix_audit_log_actor_subject ON audit_log (actor, subject_id, id) ALGORITHM = INPLACE LOCK = NONE', 'DO 0');
PREPARE jangteo_index FROM @jangteo_index;
EXECUTE jangteo_index;
DEALLOCATE PREPARE jangteo_index;
