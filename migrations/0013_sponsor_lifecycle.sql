-- Why a sponsor is suspended, who changed the terms last, and a departure: what the transitions of their life go by.
ALTER TABLE sponsor
    -- Recertifying undoes a lapsed review, and nothing that a person ordered.
    ADD COLUMN suspend_cause text CHECK (suspend_cause IN ('REVIEW_LAPSED', 'OPERATOR')),
    -- Who changed the terms last; none: they are as registered.
    ADD COLUMN changed_by text,
    ADD COLUMN depart_time timestamptz,
    -- Who recorded the departure.
    ADD COLUMN departed_by text,
    -- The revocation entry of the departure: what was live until it is ORPHANED.
    ADD COLUMN depart_seq bigint,
    -- When what nobody accepted is revoked; none: that is done, or there is no departure.
    ADD COLUMN orphans_due_at timestamptz,
    ADD CONSTRAINT sponsor_departure CHECK (num_nonnulls(depart_time, departed_by, depart_seq) IN (0, 3));

UPDATE sponsor SET suspend_cause = 'OPERATOR' WHERE state = 'SUSPENDED';
ALTER TABLE sponsor ADD CONSTRAINT sponsor_suspended CHECK ((state = 'SUSPENDED') = (suspend_cause IS NOT NULL));

-- The clocks: both are asked every second.
CREATE INDEX sponsor_review_due ON sponsor (review_due_at) WHERE state = 'ACTIVE';
CREATE INDEX sponsor_orphans_due ON sponsor (orphans_due_at) WHERE orphans_due_at IS NOT NULL;
