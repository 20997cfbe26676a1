-- The jti of every single-use credential that was used, until it would have expired anyway.
CREATE TABLE consumed_credential (
    credential_id uuid PRIMARY KEY,
    expire_time   timestamptz NOT NULL
);

-- Append-only: a credential is dead when an entry that matches it has seq > its rev.
CREATE TABLE revocation (
    seq         bigint PRIMARY KEY,
    kind        text        NOT NULL CHECK (kind IN ('sponsor', 'instance', 'credential', 'key', 'tool', 'all')),
    id          text        NOT NULL,
    create_time timestamptz NOT NULL
);

-- Signing keys, shared by replicas; the private half is encrypted (AES-256-GCM) under the key-encryption key.
CREATE TABLE signing_key (
    kid           text PRIMARY KEY,
    state         text        NOT NULL CHECK (state IN ('next', 'active', 'retired', 'compromised')),
    public_jwk    text        NOT NULL,
    private_nonce bytea       NOT NULL,
    private_key   bytea       NOT NULL,
    create_time   timestamptz NOT NULL,
    activate_time timestamptz,
    retire_time   timestamptz
);
CREATE UNIQUE INDEX signing_key_one_active ON signing_key (state) WHERE state = 'active';
