-- What configuration management keeps. Times are microseconds since the epoch. Contents are messages of mcx.configuration.v1, encoded: the
-- contract is what stays compatible.

-- A document of any kind. Keys are compared by their bytes, so that those with the same beginning come together on every machine.
CREATE TABLE document (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    version BIGINT NOT NULL,
    content BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (kind, key)
);

-- Every version that there was; no content: it was removed.
CREATE TABLE document_version (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    version BIGINT NOT NULL,
    content BLOB,
    changed_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (kind, key, version)
);

-- A user of this MC system in one MC service; her row is locked while her profiles change, and counts those changes.
CREATE TABLE service_user (
    mc_service TEXT NOT NULL,
    mc_service_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (mc_service, mc_service_id)
);

-- To which partner an own user may migrate, and what she needs for it.
CREATE TABLE migration_target (
    migration_id TEXT NOT NULL,
    mc_service TEXT NOT NULL,
    mc_service_id TEXT NOT NULL,
    partner_mc_system_id TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (migration_id, mc_service),
    UNIQUE (mc_service, mc_service_id, partner_mc_system_id)
);

-- What a partner is to have of the profiles of a user (CSC-17). A row with next_attempt_at is work to be done.
CREATE TABLE share (
    share_id TEXT PRIMARY KEY,
    mc_service TEXT NOT NULL,
    mc_service_id TEXT NOT NULL,
    partner_mc_system_id TEXT NOT NULL,
    is_withdrawn BOOLEAN NOT NULL,
    wanted_version BIGINT NOT NULL,
    pushed_version BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    next_attempt_at BIGINT,
    UNIQUE (mc_service, mc_service_id, partner_mc_system_id)
);
CREATE INDEX share_next_attempt_at ON share (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

-- A user of a partner MC system who may come here, in one MC service.
CREATE TABLE visitor (
    migration_id TEXT NOT NULL,
    mc_service TEXT NOT NULL,
    primary_mc_system_id TEXT NOT NULL,
    primary_mc_service_id TEXT NOT NULL,
    partner_mc_service_id TEXT NOT NULL,
    valid_until BIGINT,
    -- The highest version that her primary gave; 0: nothing yet.
    share_version BIGINT NOT NULL,
    -- When her profiles are to be asked for again.
    refresh_at BIGINT NOT NULL,
    -- The policy for her has changed, and her watchers were not told yet.
    is_policy_news BOOLEAN NOT NULL,
    PRIMARY KEY (migration_id, mc_service),
    UNIQUE (mc_service, partner_mc_service_id),
    UNIQUE (mc_service, primary_mc_system_id, primary_mc_service_id)
);
CREATE INDEX visitor_valid_until ON visitor (valid_until) WHERE valid_until IS NOT NULL;
CREATE INDEX visitor_is_policy_news ON visitor (migration_id, mc_service) WHERE is_policy_news;
CREATE INDEX visitor_primary ON visitor (primary_mc_system_id);

-- Her profiles as her primary gave them; adapted when they are read, so that a policy is in force at once.
CREATE TABLE visitor_profile (
    migration_id TEXT NOT NULL,
    mc_service TEXT NOT NULL,
    profile_index BIGINT NOT NULL,
    content BLOB NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (migration_id, mc_service, profile_index),
    FOREIGN KEY (migration_id, mc_service) REFERENCES visitor (migration_id, mc_service) ON DELETE CASCADE
);

-- The right of a UE to fetch the initial UE configuration once. Of the code only the SHA-256 is kept.
CREATE TABLE ue_enrolment (
    ue_id TEXT PRIMARY KEY,
    code_sha256 BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    failures BIGINT NOT NULL
);

-- The changes that watchers are told: mcx-store, "changes".
CREATE TABLE change_log (
    sequence BIGINT PRIMARY KEY,
    topic TEXT NOT NULL,
    document TEXT NOT NULL,
    version BIGINT NOT NULL,
    payload BLOB NOT NULL,
    recorded_at BIGINT NOT NULL
);
CREATE INDEX change_log_topic_sequence ON change_log (topic, sequence);
CREATE TABLE change_counter (
    id BIGINT PRIMARY KEY CONSTRAINT change_counter_single CHECK (id = 1),
    log_id BIGINT NOT NULL,
    last_sequence BIGINT NOT NULL,
    compacted_through BIGINT NOT NULL
);
INSERT INTO change_counter VALUES (1, random(), 0, 0);

-- Mutating requests and their first answers, for repetitions: mcx-store, "idempotency".
CREATE TABLE request (
    id TEXT PRIMARY KEY,
    method TEXT NOT NULL,
    content BLOB NOT NULL,
    response BLOB,
    created_at BIGINT NOT NULL
);
CREATE INDEX request_created_at ON request (created_at);
