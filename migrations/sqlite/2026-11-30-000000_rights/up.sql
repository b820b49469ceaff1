-- The audit log in chains, with the origin of each request, and the revoked tokens. SQLite cannot change a CHECK, so the table is copied.

-- The heads of the chains, each locked by every audited change of its actor.
CREATE TABLE IF NOT EXISTS audit_chains (
  actor TEXT NOT NULL,
  entries INTEGER NOT NULL, -- sequence of the last entry
  hash BLOB NOT NULL, -- hash of the last entry
  CONSTRAINT pk_audit_chains PRIMARY KEY (actor),
  CONSTRAINT ck_audit_chains_entries CHECK (entries >= 0)
) STRICT, WITHOUT ROWID;

-- Deleted after expires_at.
CREATE TABLE IF NOT EXISTS token_revocations (
  id BLOB NOT NULL,
  token_id TEXT, -- the claim jti of one token
  user_id TEXT, -- of all tokens of a user issued before a time
  issued_before INTEGER,
  expires_at INTEGER NOT NULL, -- when all of these tokens have expired
  created_at INTEGER NOT NULL,
  CONSTRAINT pk_token_revocations PRIMARY KEY (id),
  CONSTRAINT ck_token_revocations_tokens CHECK (
    (token_id IS NULL) <> (user_id IS NULL) AND (user_id IS NULL) = (issued_before IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ix_token_revocations_expires ON token_revocations (expires_at);

CREATE TABLE audit_log_in_chains (
  id BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL, -- name of the command
  subject_kind TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  reason TEXT,
  body TEXT NOT NULL, -- of the response, as sent
  sequence INTEGER, -- position in the actor's chain: 1, 2, 3 without gaps; NULL in rows of 0.2.0
  request_id TEXT,
  address TEXT, -- of the client
  hash BLOB, -- SHA-256 of this entry and the previous hash
  CONSTRAINT pk_audit_log PRIMARY KEY (id),
  CONSTRAINT uq_audit_log_actor_sequence UNIQUE (actor, sequence),
  CONSTRAINT ck_audit_log_subject CHECK (
    subject_kind IN ('user', 'product', 'campaign', 'coupon', 'order', 'event', 'table', 'token')),
  CONSTRAINT ck_audit_log_link CHECK ((sequence IS NULL) = (hash IS NULL) AND (sequence IS NULL OR sequence >= 1))
) STRICT;
INSERT INTO audit_log_in_chains (id, created_at, actor, action, subject_kind, subject_id, reason, body)
  SELECT id, created_at, actor, action, subject_kind, subject_id, reason, body FROM audit_log;
DROP TABLE audit_log;
ALTER TABLE audit_log_in_chains RENAME TO audit_log;
CREATE INDEX ix_audit_log_actor ON audit_log (actor, id);
CREATE INDEX ix_audit_log_subject ON audit_log (subject_id, id);
