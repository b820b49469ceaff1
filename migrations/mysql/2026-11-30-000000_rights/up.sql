-- The audit log in chains, with the origin of each request, and the revoked tokens.
--
-- Each statement is idempotent: the next server resumes an interrupted migration. MySQL has no ADD COLUMN IF NOT EXISTS,
-- so the change of the table, which is one statement, depends on its last column.

-- The heads of the chains, each locked by every audited change of its actor.
CREATE TABLE IF NOT EXISTS audit_chains (
  actor VARCHAR(64) NOT NULL,
  entries BIGINT NOT NULL COMMENT 'sequence of the last entry',
  hash BINARY(32) NOT NULL COMMENT 'hash of the last entry',
  CONSTRAINT pk_audit_chains PRIMARY KEY (actor),
  CONSTRAINT ck_audit_chains_entries CHECK (entries >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Deleted after expires_at.
CREATE TABLE IF NOT EXISTS token_revocations (
  id BINARY(16) NOT NULL,
  token_id VARCHAR(255) NULL COMMENT 'the claim jti of one token',
  user_id VARCHAR(64) NULL COMMENT 'of all tokens of a user issued before a time',
  issued_before DATETIME(6) NULL,
  expires_at DATETIME(6) NOT NULL COMMENT 'when all of these tokens have expired',
  created_at DATETIME(6) NOT NULL,
  CONSTRAINT pk_token_revocations PRIMARY KEY (id),
  CONSTRAINT ck_token_revocations_tokens CHECK (
    (token_id IS NULL) <> (user_id IS NULL) AND (user_id IS NULL) = (issued_before IS NULL)),
  INDEX ix_token_revocations_expires (expires_at, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

SET @change_audit_log = IF(
  (SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'audit_log' AND column_name = 'hash') > 0,
  'DO 0',
  'ALTER TABLE audit_log
    MODIFY COLUMN subject_id VARCHAR(255) NOT NULL,
    ADD COLUMN sequence BIGINT NULL COMMENT ''position in the chain of the actor: 1, 2, 3 without gaps; NULL in rows of 0.2.0'',
    ADD COLUMN request_id VARCHAR(64) NULL,
    ADD COLUMN address VARCHAR(45) NULL COMMENT ''of the client'',
    ADD COLUMN hash BINARY(32) NULL COMMENT ''SHA-256 of this entry and the previous hash'',
    ADD CONSTRAINT uq_audit_log_actor_sequence UNIQUE (actor, sequence),
    DROP CONSTRAINT ck_audit_log_subject_kind,
    ADD CONSTRAINT ck_audit_log_subject CHECK (
      subject_kind IN (''user'', ''product'', ''campaign'', ''coupon'', ''order'', ''event'', ''table'', ''token'')),
    ADD CONSTRAINT ck_audit_log_link CHECK ((sequence IS NULL) = (hash IS NULL) AND (sequence IS NULL OR sequence >= 1))'
);
PREPARE change_audit_log FROM @change_audit_log;
EXECUTE change_audit_log;
DEALLOCATE PREPARE change_audit_log;
