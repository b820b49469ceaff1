-- Entries of new kinds of subjects must be deleted before.
CREATE TABLE audit_log_of_0_2_0 (
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
INSERT INTO audit_log_of_0_2_0 (id, created_at, actor, action, subject_kind, subject_id, reason, body)
  SELECT id, created_at, actor, action, subject_kind, subject_id, reason, body FROM audit_log;
DROP TABLE audit_log;
ALTER TABLE audit_log_of_0_2_0 RENAME TO audit_log;
CREATE INDEX ix_audit_log_actor ON audit_log (actor, id);
CREATE INDEX ix_audit_log_subject ON audit_log (subject_id, id);
DROP TABLE IF EXISTS audit_chains;
DROP TABLE IF EXISTS token_revocations;
