-- What identity management keeps. Times are microseconds since the epoch. Lists that are only ever read whole are JSON. What proves
-- something (passwords, client secrets, codes, refresh tokens) is here as a hash only; private keys are sealed.

CREATE TABLE account (
    mc_id TEXT PRIMARY KEY,
    subject TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    mc_service_identities TEXT NOT NULL,
    scopes TEXT NOT NULL,
    state TEXT NOT NULL CONSTRAINT account_state_check CHECK (state IN ('ENABLED', 'DISABLED')),
    password_hash TEXT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- An MC service ID is of one account or visitor. They themselves hold theirs too, so that issuing a token reads one row.
CREATE TABLE mc_service_identity (
    mc_service TEXT NOT NULL,
    mc_service_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    PRIMARY KEY (mc_service, mc_service_id)
);
CREATE INDEX mc_service_identity_subject ON mc_service_identity (subject);

-- Wrong passwords, by the MC ID as it was given, whether there is such an account or not. The empty source stands for all together.
CREATE TABLE login_source (
    mc_id TEXT NOT NULL,
    source TEXT NOT NULL,
    failures BIGINT NOT NULL,
    locked_until BIGINT,
    succeeded_at BIGINT,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (mc_id, source)
);
CREATE INDEX login_source_updated_at ON login_source (updated_at);

CREATE TABLE client (
    client_id TEXT PRIMARY KEY,
    authentication TEXT NOT NULL
        CONSTRAINT client_authentication_check CHECK (authentication IN ('NONE', 'SECRET_BASIC')),
    secret_hash TEXT,
    redirect_uris TEXT NOT NULL,
    scopes TEXT NOT NULL,
    display_name TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE partner_trust (
    mc_system_id TEXT PRIMARY KEY,
    issuer TEXT NOT NULL UNIQUE,
    keys TEXT NOT NULL,
    allowed_scopes TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- At most one key is the next one, and at most one signs.
CREATE TABLE signing_key (
    kid TEXT PRIMARY KEY,
    state TEXT NOT NULL CONSTRAINT signing_key_state_check CHECK (state IN ('NEXT', 'ACTIVE', 'RETIRING')),
    x TEXT NOT NULL,
    y TEXT NOT NULL,
    sealed_key BYTEA NOT NULL,
    key_encryption_key_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    activated_at BIGINT,
    remove_at BIGINT
);
CREATE UNIQUE INDEX signing_key_one_next ON signing_key (state) WHERE state = 'NEXT';
CREATE UNIQUE INDEX signing_key_one_active ON signing_key (state) WHERE state = 'ACTIVE';

-- A login and everything that came of it: revoked together.
CREATE TABLE token_family (
    family_id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    scopes TEXT NOT NULL,
    nonce TEXT,
    authenticated_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX token_family_subject ON token_family (subject);
CREATE INDEX token_family_ends_at ON token_family (ends_at);

CREATE TABLE authorization_code (
    code_hash TEXT PRIMARY KEY,
    family_id TEXT NOT NULL REFERENCES token_family (family_id) ON DELETE CASCADE,
    redirect_uri TEXT NOT NULL,
    code_challenge TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX authorization_code_family ON authorization_code (family_id);

CREATE TABLE refresh_token (
    token_hash TEXT PRIMARY KEY,
    family_id TEXT NOT NULL REFERENCES token_family (family_id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX refresh_token_family ON refresh_token (family_id);

-- Access tokens that may not have expired, so that a family can be revoked.
CREATE TABLE issued_token (
    token_id TEXT PRIMARY KEY,
    family_id TEXT NOT NULL REFERENCES token_family (family_id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL
);
CREATE INDEX issued_token_family ON issued_token (family_id);
CREATE INDEX issued_token_expires_at ON issued_token (expires_at);

CREATE TABLE revoked_token (
    token_id TEXT PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE TABLE revoked_subject (
    subject TEXT PRIMARY KEY,
    revoked_at BIGINT NOT NULL,
    forget_at BIGINT NOT NULL
);

-- Who a user of a partner is here, for ever, so that she is the same whenever she comes.
CREATE TABLE visitor_subject (
    issuer TEXT NOT NULL,
    primary_subject TEXT NOT NULL,
    subject TEXT NOT NULL UNIQUE,
    PRIMARY KEY (issuer, primary_subject)
);
CREATE TABLE visitor (
    migration_id TEXT PRIMARY KEY,
    subject TEXT NOT NULL UNIQUE REFERENCES visitor_subject (subject),
    primary_mc_system_id TEXT NOT NULL REFERENCES partner_trust (mc_system_id),
    primary_issuer TEXT NOT NULL,
    primary_subject TEXT NOT NULL,
    mc_service_identities TEXT NOT NULL,
    scopes TEXT NOT NULL,
    valid_until BIGINT
);
CREATE INDEX visitor_primary_mc_system ON visitor (primary_mc_system_id);

CREATE TABLE exchange_target (
    migration_id TEXT PRIMARY KEY,
    subject TEXT NOT NULL REFERENCES account (subject) ON DELETE CASCADE,
    partner_mc_system_id TEXT NOT NULL,
    resource TEXT NOT NULL,
    valid_until BIGINT
);
CREATE INDEX exchange_target_subject ON exchange_target (subject, resource);

-- Security tokens that were taken: none is taken twice.
CREATE TABLE used_security_token (
    issuer TEXT NOT NULL,
    token_id TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, token_id)
);
CREATE INDEX used_security_token_expires_at ON used_security_token (expires_at);

-- Mutating requests and their first answers, for repetitions: mcx-store, "idempotency".
CREATE TABLE request (
    id TEXT PRIMARY KEY,
    method TEXT NOT NULL,
    content BYTEA NOT NULL,
    response BYTEA,
    created_at BIGINT NOT NULL
);
CREATE INDEX request_created_at ON request (created_at);
