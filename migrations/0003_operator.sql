CREATE TABLE operator (
    operator_id  text PRIMARY KEY,
    display_name text        NOT NULL,
    roles        text[]      NOT NULL,
    create_time  timestamptz NOT NULL,
    created_by   text        NOT NULL
);

-- The secret is kept as a keyed hash only; the key is derived from the key-encryption key and is not in the database.
CREATE TABLE api_key (
    key_id      uuid PRIMARY KEY,
    operator_id text        NOT NULL REFERENCES operator,
    secret_hash bytea       NOT NULL CHECK (octet_length(secret_hash) = 32),
    roles       text[]      NOT NULL,
    create_time timestamptz NOT NULL,
    expire_time timestamptz,
    revoke_time timestamptz
);
CREATE INDEX api_key_operator ON api_key (operator_id);
