-- Requests for a person's answer. Why the run asked, and what the person said, are read from their events, where they can be
-- erased.
CREATE TABLE approval (
    approval_id      uuid PRIMARY KEY,
    -- The decision that asks; its event has the purpose.
    decision_id      uuid        NOT NULL,
    -- EXPIRED follows from the clock; a row says so a moment later, with its event.
    state            text        NOT NULL CHECK (state IN ('PENDING', 'APPROVED', 'REJECTED', 'EXPIRED', 'USED')),
    instance_id      uuid        NOT NULL,
    root_instance_id uuid        NOT NULL,
    sponsor_id       text        NOT NULL,
    tool_id          text        NOT NULL,
    action           text        NOT NULL,
    -- None: the call stated none.
    request_hash     bytea       CHECK (octet_length(request_hash) = 32),
    -- The operator who asked for the run; none: it asked itself.
    asked_by         text,
    create_time      timestamptz NOT NULL,
    expire_time      timestamptz NOT NULL,
    answered_by      text,
    answer_time      timestamptz,
    -- The event of the answer, which has its reason; and its leaf hash, which an ALLOW names.
    answer_event     uuid,
    answer_leaf      bytea       CHECK (octet_length(answer_leaf) = 32),
    revision         bigint      NOT NULL,
    CHECK (num_nonnulls(answered_by, answer_time, answer_event, answer_leaf) IN (0, 4))
);
-- Lists, newest first.
CREATE INDEX approval_sponsor ON approval (sponsor_id, approval_id);
CREATE INDEX approval_instance ON approval (instance_id, approval_id);
-- What waits: found again when the same call asks again, and counted.
CREATE INDEX approval_pending ON approval (instance_id) WHERE state = 'PENDING';
-- The clock.
CREATE INDEX approval_open ON approval (expire_time) WHERE state IN ('PENDING', 'APPROVED');
