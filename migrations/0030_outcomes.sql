-- Who reported an outcome: a decision has at most one of each. The server's own (UNKNOWN, at the deadline) is provisional, and an
-- operator's may follow that of the run. What is there already says of none who it was: it stands.
ALTER TABLE tool_call ADD COLUMN reporter text NOT NULL DEFAULT 'OPERATOR' CHECK (reporter IN ('RUN', 'OPERATOR', 'SERVER'));
ALTER TABLE tool_call DROP CONSTRAINT tool_call_pkey, ADD PRIMARY KEY (decision_id, reporter);

-- How long the log was when, by this database's clock: which decisions have waited for their outcome long enough.
CREATE TABLE outcome_mark (
    size      bigint PRIMARY KEY,
    mark_time timestamptz NOT NULL
);
-- Below this place every decision that allowed has an outcome.
CREATE TABLE outcome_closed (
    log_id smallint PRIMARY KEY,
    size   bigint NOT NULL
);
INSERT INTO outcome_closed (log_id, size) VALUES (0, 0);
