-- Policy documents: versioned, immutable once stored.
CREATE TABLE policy (
    version      bigint PRIMARY KEY,
    content_hash bytea       NOT NULL UNIQUE CHECK (octet_length(content_hash) = 32),
    document     text        NOT NULL,
    create_time  timestamptz NOT NULL,
    created_by   text        NOT NULL
);

-- Which version answers where no rollout does. One row, or none before the first activation.
CREATE TABLE active_policy (
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version       bigint      NOT NULL REFERENCES policy,
    activate_time timestamptz NOT NULL,
    activated_by  text        NOT NULL
);

CREATE TABLE rollout (
    rollout_id        uuid PRIMARY KEY,
    baseline          text        NOT NULL,
    candidate         bigint      NOT NULL REFERENCES policy,
    percent           integer     NOT NULL CHECK (percent BETWEEN 0 AND 100),
    sticky_key        text        NOT NULL,
    state             text        NOT NULL CHECK (state IN ('RUNNING', 'PAUSED', 'COMPLETED', 'ROLLED_BACK')),
    steps             integer[]   NOT NULL,
    increment_per_day integer,
    gates             jsonb       NOT NULL,
    min_soak_seconds  bigint      NOT NULL,
    scope             jsonb       NOT NULL,
    salt              bytea       NOT NULL CHECK (octet_length(salt) = 32),
    create_time       timestamptz NOT NULL,
    advance_time      timestamptz NOT NULL,
    rollback_reason   text,
    revision          bigint      NOT NULL
);
-- One open rollout at a time: two would leave it open which baseline answers.
CREATE UNIQUE INDEX rollout_one_open ON rollout ((true)) WHERE state IN ('RUNNING', 'PAUSED');
