-- The head of the custody log. Whoever appends locks this one row, assigns contiguous indices, and commits.
-- authority_epoch counts the changes of what may be allowed; a decision stands only on the epoch it was evaluated at.
CREATE TABLE log_head (
    log_id          smallint PRIMARY KEY,
    size            bigint   NOT NULL CHECK (size >= 0),
    -- RFC 6962 frontier: the roots of the full subtrees, largest first, 32 bytes each.
    frontier        bytea    NOT NULL CHECK (octet_length(frontier) % 32 = 0),
    authority_epoch bigint   NOT NULL,
    -- The newest entry of `revocation`; assigned under the row's lock, so it has no gaps and commits in order.
    revocation_seq  bigint   NOT NULL
) WITH (fillfactor = 10); -- One hot row: leave the page to its versions, so that updates stay heap-only.

INSERT INTO log_head VALUES (0, 0, '', 1, 0);
