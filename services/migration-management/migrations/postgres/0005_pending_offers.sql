-- How many users offered by the partner may wait for a decision; NULL: as the configuration says.
ALTER TABLE agreement ADD COLUMN pending_offers BIGINT;

-- Counts them without looking at the migrations that are decided.
CREATE INDEX user_migration_pending ON user_migration (peer_mc_system_id) WHERE role = 'PARTNER' AND state = 'PENDING';
