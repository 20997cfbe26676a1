-- How far the custody log is counted by its manifests. A server that does not know of manifests appends none, and a newer one catches
-- up. Changed only by who holds the log head, so that no event is counted twice or by none.
CREATE TABLE log_manifest (
    log_id         smallint    PRIMARY KEY,
    -- The events before this one are counted.
    size           bigint      NOT NULL CHECK (size >= 0),
    -- As of when they were all events. NULL before the first manifest.
    whole_time     timestamptz,
    -- Of the decisions before it that allowed, those without an outcome before it.
    open_decisions bigint      NOT NULL CHECK (open_decisions >= 0),
    -- Allowed calls whose outcome was reported, and was not by the deadline: in the last hour that is counted, and since.
    reported       bigint      NOT NULL CHECK (reported >= 0),
    overdue        bigint      NOT NULL CHECK (overdue >= 0),
    -- The last full hour at which the log was counted.
    hour_time      timestamptz NOT NULL
);
INSERT INTO log_manifest (log_id, size, open_decisions, reported, overdue, hour_time)
VALUES (0, 0, 0, 0, 0, date_trunc('hour', now(), 'UTC'));
