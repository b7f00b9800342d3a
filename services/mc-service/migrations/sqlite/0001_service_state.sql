-- What the MC service server keeps. Times are microseconds since the epoch.

-- One client of a user or visitor that is authorized for an MC service here. TS 23.280 10.1.1.1, 10.6.3.
CREATE TABLE service_authorization (
    mc_service TEXT NOT NULL,
    mc_service_id TEXT NOT NULL,
    client_instance TEXT NOT NULL,
    authorization_id TEXT NOT NULL UNIQUE,
    profile_index BIGINT NOT NULL,
    rule TEXT NOT NULL,
    primary_mc_system_id TEXT,
    primary_mc_service_id TEXT,
    migration_id TEXT,
    authorized_at BIGINT NOT NULL,
    refreshed_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (mc_service, mc_service_id, client_instance),
    CONSTRAINT service_authorization_visitor_check
        CHECK ((primary_mc_system_id IS NULL) = (primary_mc_service_id IS NULL)
           AND (primary_mc_system_id IS NULL) = (migration_id IS NULL))
);
CREATE INDEX service_authorization_expires_at ON service_authorization (expires_at);
CREATE INDEX service_authorization_migration_id ON service_authorization (migration_id);
CREATE INDEX service_authorization_primary ON service_authorization (primary_mc_system_id);

-- The mark that a client of an own user is served by a partner. TS 23.280 10.6.3.
CREATE TABLE served_by (
    mc_service TEXT NOT NULL,
    primary_mc_service_id TEXT NOT NULL,
    client_instance TEXT NOT NULL,
    authorization_id TEXT NOT NULL UNIQUE,
    partner_mc_system_id TEXT NOT NULL,
    partner_mc_service_id TEXT NOT NULL,
    profile_index BIGINT NOT NULL,
    migration_id TEXT NOT NULL,
    authorized_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (mc_service, primary_mc_service_id, client_instance)
);
CREATE INDEX served_by_expires_at ON served_by (expires_at);
CREATE INDEX served_by_migration_id ON served_by (migration_id);
CREATE INDEX served_by_partner ON served_by (partner_mc_system_id);

-- An affiliation of a client that is authorized here; it ends with the authorization. TS 23.280 10.8.
CREATE TABLE affiliation (
    mc_service TEXT NOT NULL,
    mc_service_id TEXT NOT NULL,
    client_instance TEXT NOT NULL,
    group_id TEXT NOT NULL,
    home_mc_system_id TEXT NOT NULL,
    implicit BOOLEAN NOT NULL,
    affiliated_at BIGINT NOT NULL,
    PRIMARY KEY (mc_service, mc_service_id, client_instance, group_id),
    FOREIGN KEY (mc_service, mc_service_id, client_instance)
        REFERENCES service_authorization (mc_service, mc_service_id, client_instance) ON DELETE CASCADE
);

-- An affiliation to a group of this MC system that a partner made for a client that it serves. TS 23.280 10.8.3.2.
CREATE TABLE partner_affiliation (
    serving_mc_system_id TEXT NOT NULL,
    mc_service TEXT NOT NULL,
    mc_service_id TEXT NOT NULL,
    client_instance TEXT NOT NULL,
    group_id TEXT NOT NULL,
    requested_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (serving_mc_system_id, mc_service, mc_service_id, client_instance, group_id)
);
CREATE INDEX partner_affiliation_expires_at ON partner_affiliation (expires_at);

-- Who has a functional alias now. TS 23.280 10.13.
CREATE TABLE alias_activation (
    functional_alias TEXT NOT NULL,
    mc_service TEXT NOT NULL,
    mc_service_id TEXT NOT NULL,
    activated_at BIGINT NOT NULL,
    PRIMARY KEY (functional_alias, mc_service, mc_service_id)
);
CREATE INDEX alias_activation_user ON alias_activation (mc_service, mc_service_id);

-- Migrations that were ended for good. They stay: what is late must not begin them again.
CREATE TABLE ended_migration (
    migration_id TEXT PRIMARY KEY,
    ended_at BIGINT NOT NULL
);

-- What other MC systems have to be told, though they are away now. Each is repeated until it arrives, and may arrive twice.
CREATE TABLE notice (
    notice_id TEXT PRIMARY KEY,
    mc_system_id TEXT NOT NULL,
    kind TEXT NOT NULL
        CONSTRAINT notice_kind_check CHECK (kind IN ('DEAUTHORIZE', 'END', 'DEAFFILIATE')),
    content BLOB NOT NULL,
    attempts BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX notice_next_attempt_at ON notice (next_attempt_at);

-- Rows that stand for a user, a functional alias or a migration, taken by whoever changes several rows of it at once.
CREATE TABLE lock (
    name TEXT PRIMARY KEY,
    taken BIGINT NOT NULL
);

-- Mutating requests and their first answers, for repetitions: mcx-store, "idempotency".
CREATE TABLE request (
    id TEXT PRIMARY KEY,
    method TEXT NOT NULL,
    content BLOB NOT NULL,
    response BLOB,
    created_at BIGINT NOT NULL
);
CREATE INDEX request_created_at ON request (created_at);

-- What watching clients are told: mcx-store, "changes".
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
