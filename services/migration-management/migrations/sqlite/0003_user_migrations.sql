-- The migration of users between two systems, TS 23.280 10.17.5, in either role. The row is the outbox: next_step is what is still to be
-- done, and whoever does it claims the row for a while. Lists that are only ever read whole are JSON.
CREATE TABLE user_migration (
    migration_id TEXT PRIMARY KEY,
    request_id TEXT NOT NULL,
    role TEXT NOT NULL CONSTRAINT user_migration_role_check CHECK (role IN ('PRIMARY', 'PARTNER')),
    peer_mc_system_id TEXT NOT NULL,
    mc_id TEXT,
    primary_issuer TEXT,
    primary_subject TEXT NOT NULL,
    primary_impi TEXT NOT NULL,
    primary_impus TEXT NOT NULL,
    primary_mc_service_ids TEXT NOT NULL,
    visitor_impi TEXT,
    visitor_impus TEXT,
    visitor_mc_service_ids TEXT,
    scopes TEXT,
    granted_group_ids TEXT,
    ue_configuration_digest TEXT,
    valid_until BIGINT,
    state TEXT NOT NULL,
    next_step TEXT,
    is_peer_told BOOLEAN NOT NULL,
    reason TEXT,
    cause TEXT NOT NULL,
    failed_attempts BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    last_error TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    claim_id TEXT,
    claimed_until BIGINT NOT NULL DEFAULT 0
);
-- Of one user to one partner at most one migration goes on.
CREATE UNIQUE INDEX user_migration_role_peer_mc_system_id_primary_impi_key
    ON user_migration (role, peer_mc_system_id, primary_impi) WHERE state NOT IN ('REFUSED', 'REVOKED');
CREATE UNIQUE INDEX user_migration_role_peer_mc_system_id_primary_subject_key
    ON user_migration (role, peer_mc_system_id, primary_subject) WHERE state NOT IN ('REFUSED', 'REVOKED');
CREATE INDEX user_migration_due ON user_migration (role, next_step, peer_mc_system_id, next_attempt_at) WHERE next_step IS NOT NULL;
CREATE INDEX user_migration_claim ON user_migration (claim_id) WHERE claim_id IS NOT NULL;
CREATE INDEX user_migration_request ON user_migration (request_id, migration_id);
CREATE INDEX user_migration_peer ON user_migration (peer_mc_system_id, migration_id);
CREATE INDEX user_migration_mc_id ON user_migration (mc_id, migration_id);
CREATE INDEX user_migration_visitor ON user_migration (visitor_impi) WHERE visitor_impi IS NOT NULL;
CREATE INDEX user_migration_valid_until ON user_migration (valid_until)
    WHERE valid_until IS NOT NULL AND state NOT IN ('REFUSED', 'REVOKING', 'REVOKED');

-- What partners' UEs need to reach them, as reported: the same for thousands of users, and so kept once.
CREATE TABLE partner_ue_configuration (
    digest TEXT PRIMARY KEY,
    content BLOB NOT NULL,
    created_at BIGINT NOT NULL
);

-- Whom this system lets in, per primary MC system.
CREATE TABLE admission_policy (
    primary_mc_system_id TEXT PRIMARY KEY REFERENCES agreement (partner_mc_system_id) ON DELETE CASCADE,
    mode TEXT NOT NULL,
    mc_services TEXT NOT NULL,
    scopes TEXT NOT NULL,
    granted_group_ids TEXT NOT NULL,
    max_users BIGINT,
    validity_limit BIGINT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- The user migration that keeps the row in step with the other system; NULL: an operator made it.
ALTER TABLE binding ADD COLUMN migration_id TEXT;
CREATE INDEX binding_migration ON binding (migration_id) WHERE migration_id IS NOT NULL;
ALTER TABLE permit ADD COLUMN migration_id TEXT;
CREATE INDEX permit_migration ON permit (migration_id) WHERE migration_id IS NOT NULL;

ALTER TABLE audit_record ADD COLUMN migration_id TEXT;
ALTER TABLE audit_record ADD COLUMN decided_by TEXT;
ALTER TABLE audit_record ADD COLUMN cause TEXT;
CREATE INDEX audit_record_migration ON audit_record (migration_id, audit_record_id) WHERE migration_id IS NOT NULL;
