-- One row a run, not a token. Not read on the way of a decision.
CREATE TABLE instance (
    instance_id      uuid PRIMARY KEY,
    parent_id        uuid,
    root_instance_id uuid        NOT NULL,
    chain            uuid[]      NOT NULL,
    sponsor_id       text        NOT NULL REFERENCES sponsor,
    agent            text        NOT NULL,
    role             text        NOT NULL,
    tools            text[]      NOT NULL,
    purpose          text        NOT NULL,
    depth            integer     NOT NULL,
    state            text        NOT NULL CHECK (state IN ('LIVE', 'ENDED', 'REVOKED', 'ORPHANED')),
    labels           jsonb       NOT NULL,
    create_time      timestamptz NOT NULL,
    expire_time      timestamptz NOT NULL,
    end_time         timestamptz,
    -- The newest revocation seen by its last credential; a later entry that matches kills it.
    rev              bigint      NOT NULL,
    -- Leaf hash of the event that granted its last credential.
    custody_ref      bytea       NOT NULL
);
CREATE INDEX instance_sponsor ON instance (sponsor_id, instance_id);
CREATE INDEX instance_root ON instance (root_instance_id);
