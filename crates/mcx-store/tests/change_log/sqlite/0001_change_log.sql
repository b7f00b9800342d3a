CREATE TABLE change_log (
    sequence    BIGINT PRIMARY KEY,
    topic       TEXT NOT NULL,
    document    TEXT NOT NULL,
    version     BIGINT NOT NULL,
    payload     BLOB NOT NULL,
    recorded_at BIGINT NOT NULL
);
CREATE INDEX change_log_topic_sequence ON change_log (topic, sequence);
CREATE TABLE change_counter (
    id                BIGINT PRIMARY KEY CONSTRAINT change_counter_single CHECK (id = 1),
    log_id            BIGINT NOT NULL,
    last_sequence     BIGINT NOT NULL,
    compacted_through BIGINT NOT NULL
);
INSERT INTO change_counter VALUES (1, random(), 0, 0);
