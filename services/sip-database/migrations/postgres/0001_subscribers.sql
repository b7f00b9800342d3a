-- What outlives a subscriber: the sequence number and the version go on where they stood when it is made again.
CREATE TABLE sequence (
    impi         TEXT COLLATE "C" PRIMARY KEY,
    -- SEQ_HE, the last SEQ issued, of 43 bits (TS 33.102 Annex C.1.1); 0: none yet.
    last_issued  BIGINT NOT NULL DEFAULT 0,
    -- The version of the last subscriber with this identity that was removed.
    last_version BIGINT NOT NULL DEFAULT 0,
    CONSTRAINT sequence_has_43_bits CHECK (last_issued BETWEEN 0 AND 8796093022207)
-- Room on each page keeps the update of a counter on its page, without new index entries.
) WITH (fillfactor = 50);

CREATE TABLE subscriber (
    impi       TEXT COLLATE "C" PRIMARY KEY REFERENCES sequence (impi),
    -- In the order given, separated by single spaces, which no identity contains. public_identity has them one a row.
    impus      TEXT NOT NULL,
    -- The digest algorithm as SIP names it, such as AKAv1-MD5.
    scheme     TEXT NOT NULL,
    amf        BYTEA NOT NULL,
    barred     BOOLEAN NOT NULL,
    version    BIGINT NOT NULL,
    -- The key-encryption key, and K and OPc sealed under it: nonce, ciphertext, tag.
    key_id     TEXT NOT NULL,
    keys       BYTEA NOT NULL,
    -- Microseconds since the epoch.
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX subscriber_key_id ON subscriber (key_id, impi);

-- Each public user identity is of one subscriber only.
CREATE TABLE public_identity (
    impu TEXT PRIMARY KEY,
    impi TEXT COLLATE "C" NOT NULL REFERENCES subscriber (impi) ON DELETE CASCADE
);
CREATE INDEX public_identity_impi ON public_identity (impi);

-- The MC systems on whose behalf vectors were asked, in the order of their first request. The number chooses the IND.
CREATE TABLE requester (
    mc_system_id TEXT PRIMARY KEY,
    number       BIGINT NOT NULL UNIQUE,
    CONSTRAINT requester_number_is_positive CHECK (number > 0)
);

-- Mutating requests and their answers, for repetitions.
CREATE TABLE request (
    id         TEXT PRIMARY KEY,
    method     TEXT NOT NULL,
    content    BYTEA NOT NULL,
    response   BYTEA,
    created_at BIGINT NOT NULL
);
CREATE INDEX request_created_at ON request (created_at);
