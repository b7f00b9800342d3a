-- What group management keeps. Times are microseconds since the epoch. What is only ever read whole is JSON.

-- Groups of this MC system (is_own), and groups of primary MC systems that visitors are members of.
CREATE TABLE mc_group (
    group_id TEXT PRIMARY KEY,
    home_mc_system_id TEXT NOT NULL,
    is_own BOOLEAN NOT NULL,
    terms TEXT NOT NULL,
    allow_visitors BOOLEAN NOT NULL,
    -- Provisioned members of the own system; visitors are not counted.
    member_count BIGINT NOT NULL,
    version BIGINT NOT NULL,
    -- Grows with every change, also where a group is removed and made anew.
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- A member by her MC service ID in this MC system. GRANTED: a visitor, by her grant. SHARED: a visitor, by her primary MC system.
CREATE TABLE member (
    group_id TEXT NOT NULL REFERENCES mc_group (group_id),
    mc_service_id TEXT NOT NULL,
    origin TEXT NOT NULL CONSTRAINT member_origin_check CHECK (origin IN ('PROVISIONED', 'GRANTED', 'SHARED')),
    mc_system_id TEXT NOT NULL,
    terms TEXT NOT NULL,
    PRIMARY KEY (group_id, mc_service_id)
);
CREATE INDEX member_mc_service_id ON member (mc_service_id, group_id);

-- As partner: users of primary MC systems who have migrated here.
CREATE TABLE visitor (
    migration_id TEXT PRIMARY KEY,
    primary_mc_system_id TEXT NOT NULL,
    content TEXT NOT NULL,
    valid_until BIGINT,
    -- When her groups are next to be asked for at her primary MC system.
    pull_at BIGINT NOT NULL,
    -- When they were asked for last.
    pulled_at BIGINT NOT NULL
);
CREATE INDEX visitor_valid_until ON visitor (valid_until);
CREATE INDEX visitor_pull_at ON visitor (pull_at);

CREATE TABLE visitor_identity (
    migration_id TEXT NOT NULL REFERENCES visitor (migration_id) ON DELETE CASCADE,
    mc_service TEXT NOT NULL,
    primary_mc_system_id TEXT NOT NULL,
    primary_mc_service_id TEXT NOT NULL,
    partner_mc_service_id TEXT NOT NULL,
    PRIMARY KEY (migration_id, mc_service)
);
CREATE INDEX visitor_identity_primary ON visitor_identity (primary_mc_system_id, primary_mc_service_id);
CREATE INDEX visitor_identity_partner ON visitor_identity (partner_mc_service_id);

CREATE TABLE visitor_grant (
    migration_id TEXT NOT NULL REFERENCES visitor (migration_id) ON DELETE CASCADE,
    group_id TEXT NOT NULL,
    PRIMARY KEY (migration_id, group_id)
);
CREATE INDEX visitor_grant_group ON visitor_grant (group_id);

-- As primary: own users who may migrate, and which groups their partners are told of.
CREATE TABLE shared_user (
    migration_id TEXT PRIMARY KEY,
    content TEXT NOT NULL,
    valid_until BIGINT
);
CREATE INDEX shared_user_valid_until ON shared_user (valid_until);

CREATE TABLE shared_user_identity (
    migration_id TEXT NOT NULL REFERENCES shared_user (migration_id) ON DELETE CASCADE,
    partner_mc_system_id TEXT NOT NULL,
    mc_service_id TEXT NOT NULL,
    PRIMARY KEY (migration_id, mc_service_id)
);
CREATE INDEX shared_user_identity_user ON shared_user_identity (mc_service_id, partner_mc_system_id);

-- The partner knows the group as of `pushed`, and is to know it as of `wanted`. Stays until the partner knows that the group is gone.
CREATE TABLE share (
    partner_mc_system_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    wanted BIGINT NOT NULL,
    pushed BIGINT NOT NULL,
    told_at BIGINT,
    -- One replica at a time tells the partner.
    claimed_until BIGINT NOT NULL,
    PRIMARY KEY (partner_mc_system_id, group_id)
);
CREATE INDEX share_group ON share (group_id);
CREATE INDEX share_pending ON share (partner_mc_system_id, group_id) WHERE pushed < wanted;

-- Mutating requests and their first answers, for repetitions: mcx-store, "idempotency".
CREATE TABLE request (
    id TEXT PRIMARY KEY,
    method TEXT NOT NULL,
    content BYTEA NOT NULL,
    response BYTEA,
    created_at BIGINT NOT NULL
);
CREATE INDEX request_created_at ON request (created_at);

-- What connected clients are told: mcx-store, "changes".
CREATE TABLE change_log (
    sequence BIGINT PRIMARY KEY,
    topic TEXT NOT NULL,
    document TEXT NOT NULL,
    version BIGINT NOT NULL,
    payload BYTEA NOT NULL,
    recorded_at BIGINT NOT NULL
);
CREATE INDEX change_log_topic_sequence ON change_log (topic, sequence);
CREATE TABLE change_counter (
    id BIGINT PRIMARY KEY CONSTRAINT change_counter_single CHECK (id = 1),
    log_id BIGINT NOT NULL,
    last_sequence BIGINT NOT NULL,
    compacted_through BIGINT NOT NULL
);
INSERT INTO change_counter VALUES (1, hashtextextended(gen_random_uuid()::text, 0), 0, 0);
