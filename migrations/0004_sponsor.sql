CREATE TABLE sponsor (
    sponsor_id      text PRIMARY KEY,
    display_name    text        NOT NULL,
    email           text        NOT NULL,
    roles           text[]      NOT NULL,
    max_ttl_seconds integer     NOT NULL CHECK (max_ttl_seconds BETWEEN 1 AND 900),
    max_depth       integer     NOT NULL CHECK (max_depth BETWEEN 0 AND 8),
    state           text        NOT NULL CHECK (state IN ('PENDING', 'ACTIVE', 'SUSPENDED', 'REJECTED', 'REVOKED', 'DEPARTED')),
    review_due_at   timestamptz,
    create_time     timestamptz NOT NULL,
    approve_time    timestamptz,
    revoke_time     timestamptz,
    revision        bigint      NOT NULL,
    labels          jsonb       NOT NULL,
    registered_by   text        NOT NULL,
    -- Leaf hash of the approval that instances stand on.
    grant_leaf      bytea
);
