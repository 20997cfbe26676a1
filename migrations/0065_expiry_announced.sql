-- Which end of what was announced how many days ahead: once, over all servers and restarts. Something that is renewed ends at
-- another time, and is announced again. `id` is a key's or a sponsor's, or the SHA-256 of a certificate.
CREATE TABLE expiry_announced (
    kind          text        NOT NULL,
    id            text        NOT NULL,
    end_time      timestamptz NOT NULL,
    days          smallint    NOT NULL CHECK (days IN (1, 7, 14)),
    announce_time timestamptz NOT NULL,
    PRIMARY KEY (kind, id, end_time, days)
);
CREATE INDEX expiry_announced_end ON expiry_announced (end_time);
-- What ends soon is asked every few seconds. The same of reviews is there.
CREATE INDEX api_key_end ON api_key (expire_time) WHERE revoke_time IS NULL;
