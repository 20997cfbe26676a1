-- The answer to every write that named a request_id, for a day. Holds claims, never a signed token.
CREATE TABLE idempotency (
    caller      text        NOT NULL,
    method      text        NOT NULL,
    request_id  text        NOT NULL,
    fingerprint bytea       NOT NULL CHECK (octet_length(fingerprint) = 32),
    answer      text        NOT NULL,
    expire_time timestamptz NOT NULL,
    PRIMARY KEY (caller, method, request_id)
);
CREATE INDEX idempotency_expire ON idempotency (expire_time);

-- A decision has one outcome: the second one meets the first here.
CREATE TABLE tool_call (
    decision_id uuid PRIMARY KEY,
    event_id    uuid   NOT NULL,
    log_index   bigint NOT NULL,
    -- SHA-256 over outcome, response hash and duration: the same report again is answered, another is refused.
    fingerprint bytea  NOT NULL CHECK (octet_length(fingerprint) = 32)
);
