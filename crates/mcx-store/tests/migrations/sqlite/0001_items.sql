CREATE TABLE items (
    id      BIGINT PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    payload BLOB,
    ready   BOOLEAN,
    amount  BIGINT NOT NULL DEFAULT 0 CONSTRAINT amount_not_negative CHECK (amount >= 0),
    parent  BIGINT REFERENCES items (id),
    UNIQUE (parent, amount)
);
