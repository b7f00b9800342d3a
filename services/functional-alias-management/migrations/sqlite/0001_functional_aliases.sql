-- What functional alias management keeps. Times are microseconds since the epoch. What is only ever read whole is JSON.

CREATE TABLE functional_alias (
    functional_alias TEXT PRIMARY KEY,
    terms TEXT NOT NULL,
    allow_visitors BOOLEAN NOT NULL,
    version BIGINT NOT NULL,
    -- Grows with every change, also where an alias is removed and made anew.
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Who may activate it.
CREATE TABLE allowed_user (
    functional_alias TEXT NOT NULL REFERENCES functional_alias (functional_alias) ON DELETE CASCADE,
    mc_service_id TEXT NOT NULL,
    PRIMARY KEY (functional_alias, mc_service_id)
);
CREATE INDEX allowed_user_mc_service_id ON allowed_user (mc_service_id, functional_alias);

-- Mutating requests and their first answers, for repetitions: mcx-store, "idempotency".
CREATE TABLE request (
    id TEXT PRIMARY KEY,
    method TEXT NOT NULL,
    content BLOB NOT NULL,
    response BLOB,
    created_at BIGINT NOT NULL
);
CREATE INDEX request_created_at ON request (created_at);

-- What connected clients are told: mcx-store, "changes".
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
