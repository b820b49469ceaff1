-- Entries of new kinds of subjects must be deleted before.
ALTER TABLE audit_log
  DROP CONSTRAINT ck_audit_log_link,
  DROP CONSTRAINT ck_audit_log_subject,
  DROP INDEX uq_audit_log_actor_sequence,
  MODIFY COLUMN subject_id VARCHAR(64) NOT NULL,
  DROP COLUMN sequence,
  DROP COLUMN request_id,
  DROP COLUMN address,
  DROP COLUMN hash,
  ADD CONSTRAINT ck_audit_log_subject_kind CHECK (
    subject_kind IN ('user', 'product', 'campaign', 'coupon', 'order', 'event'));
DROP TABLE IF EXISTS audit_chains;
DROP TABLE IF EXISTS token_revocations;
