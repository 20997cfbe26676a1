-- Notices for webhooks, each written in the transaction of the event that it tells of, a row for each endpoint. A row goes
-- when its notice is delivered.
CREATE TABLE webhook_outbox (
    -- The same for every endpoint and every try: receivers tell repeats by it.
    message_id   uuid        NOT NULL,
    -- The endpoint's name in the configuration.
    endpoint     text        NOT NULL,
    topic        text        NOT NULL,
    -- JSON, exactly as it is signed and sent.
    body         text        NOT NULL,
    create_time  timestamptz NOT NULL,
    -- Tries that were begun; only who began the last one says how it ended.
    attempts     integer     NOT NULL DEFAULT 0,
    -- Not tried again before. While a try goes on: when it counts as lost, with the server that made it. None: given up.
    next_time    timestamptz,
    PRIMARY KEY (message_id, endpoint)
);
CREATE INDEX webhook_outbox_due ON webhook_outbox (endpoint, next_time) WHERE next_time IS NOT NULL;
