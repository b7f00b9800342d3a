-- When a revocation was written, in microseconds since the epoch by the clock of whoever wrote it, so that replicas read the recent ones only.
-- 0: by a program that does not say; those are always read.
ALTER TABLE revoked_token ADD COLUMN recorded_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX revoked_token_recorded_at ON revoked_token (recorded_at);
ALTER TABLE revoked_subject ADD COLUMN recorded_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX revoked_subject_recorded_at ON revoked_subject (recorded_at);
