-- For how long an ALLOW may be cached while an incident lasts: what somebody proposed, and somebody else confirmed. The last one
-- stands; the rest is history, which the custody log tells in full.
CREATE TABLE cache_extension (
    cache_extension_id uuid        PRIMARY KEY,
    extend_to_seconds  integer     NOT NULL CHECK (extend_to_seconds BETWEEN 31 AND 300),
    life_seconds       integer     NOT NULL CHECK (life_seconds BETWEEN 60 AND 14400),
    reason             text        NOT NULL,
    proposed_by        text        NOT NULL,
    propose_time       timestamptz NOT NULL,
    confirmed_by       text,
    end_time           timestamptz CHECK ((end_time IS NULL) = (confirmed_by IS NULL)),
    stop_time          timestamptz
);
