-- What migration management keeps. Times are microseconds since the epoch. Lists that are only ever read whole are JSON.

CREATE TABLE agreement (
    partner_mc_system_id TEXT PRIMARY KEY,
    peer_endpoints TEXT NOT NULL,
    trust_bundle_pem TEXT NOT NULL,
    state TEXT NOT NULL CONSTRAINT agreement_state_check CHECK (state IN ('ACTIVE', 'SUSPENDED')),
    valid_from BIGINT,
    valid_until BIGINT,
    partner_may_ask TEXT NOT NULL,
    requests_per_minute BIGINT,
    requests_per_user_per_minute BIGINT,
    resynchronisations_per_user_per_hour BIGINT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- A partner private user identity is in one binding, and a user of a primary MC system has at most one.
CREATE TABLE binding (
    binding_id TEXT PRIMARY KEY,
    partner_impi TEXT NOT NULL UNIQUE,
    partner_impus TEXT NOT NULL,
    primary_mc_system_id TEXT NOT NULL REFERENCES agreement (partner_mc_system_id),
    primary_impi TEXT NOT NULL,
    primary_impus TEXT NOT NULL,
    signalling_access TEXT NOT NULL
        CONSTRAINT binding_signalling_access_check CHECK (signalling_access IN ('FEDERATED_AUTH', 'LOCAL_CREDENTIALS')),
    state TEXT NOT NULL CONSTRAINT binding_state_check CHECK (state IN ('ENABLED', 'SUSPENDED')),
    valid_from BIGINT,
    valid_until BIGINT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (primary_mc_system_id, primary_impi)
);

-- A partner public user identity belongs to exactly one binding. The binding itself holds them too, in their order, so that the
-- lookup of a registration reads one row.
CREATE TABLE binding_partner_impu (
    partner_impu TEXT PRIMARY KEY,
    binding_id TEXT NOT NULL REFERENCES binding (binding_id) ON DELETE CASCADE
);
CREATE INDEX binding_partner_impu_binding ON binding_partner_impu (binding_id);

-- A user has at most one permit per partner, and an identity that a partner allotted stands for one user.
CREATE TABLE permit (
    permit_id TEXT PRIMARY KEY,
    primary_impi TEXT NOT NULL,
    partner_mc_system_id TEXT NOT NULL REFERENCES agreement (partner_mc_system_id),
    partner_impi TEXT NOT NULL,
    partner_impus TEXT NOT NULL,
    state TEXT NOT NULL CONSTRAINT permit_state_check CHECK (state IN ('ENABLED', 'SUSPENDED')),
    valid_from BIGINT,
    valid_until BIGINT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (primary_impi, partner_mc_system_id),
    UNIQUE (partner_mc_system_id, partner_impi)
);

-- Never changed once written.
CREATE TABLE audit_record (
    audit_record_id TEXT PRIMARY KEY,
    decided_at BIGINT NOT NULL,
    action TEXT NOT NULL,
    decision TEXT NOT NULL,
    reason TEXT,
    role TEXT NOT NULL,
    peer_mc_system_id TEXT,
    peer_certificate_sha256 TEXT NOT NULL,
    primary_impi TEXT,
    partner_impi TEXT NOT NULL,
    scheme TEXT,
    vector_count BIGINT NOT NULL,
    transaction_id TEXT,
    trace_id TEXT NOT NULL
);
CREATE INDEX audit_record_peer ON audit_record (peer_mc_system_id, audit_record_id);
CREATE INDEX audit_record_user ON audit_record (primary_impi, audit_record_id);

-- Mutating requests and their first answers, for repetitions: mcx-store, "idempotency".
CREATE TABLE request (
    id TEXT PRIMARY KEY,
    method TEXT NOT NULL,
    content BLOB NOT NULL,
    response BLOB,
    created_at BIGINT NOT NULL
);
CREATE INDEX request_created_at ON request (created_at);
