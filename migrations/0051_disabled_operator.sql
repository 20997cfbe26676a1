-- Logins that admit nobody, of whichever kind: an operator's of this server, an identity provider's, a client certificate's.
CREATE TABLE disabled_operator (
    operator_id  text PRIMARY KEY,
    disabled_by  text        NOT NULL,
    disable_time timestamptz NOT NULL,
    -- For good: the id stays taken, for the custody log speaks of it.
    deleted      boolean     NOT NULL
);

ALTER TABLE operator
    -- Counts its changes.
    ADD COLUMN revision bigint NOT NULL DEFAULT 1;
