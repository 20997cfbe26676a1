-- How far each sink of the export has come: it took, or refused, every event before next_index. A row for each name in the
-- configuration, made by the first server that serves it. A server that does not know of sinks exports nothing.
CREATE TABLE sink (
    name           text PRIMARY KEY,
    log_id         smallint    NOT NULL,
    next_index     bigint      NOT NULL CHECK (next_index >= 0),
    -- Which server's task serves it, and until when; by the database's clock.
    holder         uuid        NOT NULL,
    lease_end      timestamptz NOT NULL,
    -- When it last took events.
    delivered_time timestamptz
);

-- Events that a sink refused for what they are, while it took later ones.
CREATE TABLE sink_refusal (
    sink        text        NOT NULL,
    log_index   bigint      NOT NULL,
    event_id    text        NOT NULL,
    why         text        NOT NULL CHECK (char_length(why) <= 1000),
    refuse_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (sink, log_index)
);
