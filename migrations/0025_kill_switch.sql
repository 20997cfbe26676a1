-- The engaged kill switches. A released one has no row: the custody log keeps both events.
CREATE TABLE kill_switch (
    kill_switch_id uuid PRIMARY KEY,
    scope          text        NOT NULL CHECK (scope IN ('tool', 'role', 'agent', 'sponsor', 'all')),
    target         text        CHECK ((scope = 'all') = (target IS NULL)),
    reason         text        NOT NULL,
    engaged_by     text        NOT NULL,
    engage_time    timestamptz NOT NULL
);

-- The versions that were last active may be asked for again, so servers keep them compiled.
CREATE INDEX policy_activated ON policy (activate_time DESC) WHERE activate_time IS NOT NULL;
